"""Work on many rows, some at a time, so that what is held in between is bounded."""

import math

CHUNK = 2**23
"""Entries of a matrix that are held at a time."""


def chunks(m, n, most=None):
    """Slices of m rows of n entries, with at most ``most``, or `CHUNK`, entries or of one row."""
    step = max(1, (most or CHUNK) // max(1, n))
    return [slice(start, start + step) for start in range(0, m, step)]


def sides(n):
    """Slices of n rows, two of which make a block of at most `CHUNK` entries."""
    return chunks(n, 1, math.isqrt(CHUNK))
