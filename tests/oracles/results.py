"""Comparison of the results of two engines: arrays, or tuples of them."""

import numpy as np


def entries(result):
    """The arrays of a result."""
    return [a for part in result for a in entries(part)] if isinstance(result, tuple) else [result]


def assert_equal(found, expected, tolerance):
    """Assert that no entry differs by more, relative to the largest of its matrix."""
    for part, other in zip(entries(found), entries(expected), strict=True):
        assert part.shape == other.shape and part.dtype == other.dtype
        assert np.abs(part - other).max() <= tolerance * np.abs(other).max()
        assert np.isfinite(part).all()
