"""Errors and warnings that callers catch by type.

Kernels reject an optimiser's trial by `OutOfRange`; estimators turn `NotConverged` into the warning
of scikit-learn.
"""


class OutOfRange(ValueError):
    """The kernel of a network overflows, or has no accurate value, for these rows and variances."""


class NotConverged(UserWarning):
    """An iterative solution is not as exact as it was asked for."""
