"""Errors that callers tell apart."""


class OutOfRange(ValueError):
    """The kernel of a network overflows, or cannot be computed, on rows or variances so large."""
