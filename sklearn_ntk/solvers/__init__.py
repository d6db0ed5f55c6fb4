"""Solutions on a Gram matrix: ridge regression, training in time, and choices among them."""

from .ridge import RELATIVE_RIDGES

__all__ = ["RELATIVE_RIDGES"]
