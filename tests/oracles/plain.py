"""One network that sees rows as they are, for what is compared with it, and few activations."""

PLAIN = {"kernel": "ntk", "activation": "relu", "squash": None}
"""Parameters of both estimators: nothing of the kernel depends on rows or targets of the fit."""

QUICK = {"relu", "erf", "sin", "tanh", "monomial", "sign"}
"""One activation of each kind of formulas; loops of each of the others take seconds to compile."""
