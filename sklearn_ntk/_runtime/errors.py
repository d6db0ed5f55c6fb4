"""Error classes that callers catch by type: kernels reject an optimiser's trial by `OutOfRange`."""


class OutOfRange(ValueError):
    """The kernel of a network overflows, or has no accurate value, for these rows and variances."""
