"""One network that sees rows as they are, for what is compared with its kernel or with refits."""

PLAIN = {"kernel": "ntk", "activation": "relu", "squash": None}
"""Parameters of both estimators: nothing of the kernel depends on rows or targets of the fit."""
