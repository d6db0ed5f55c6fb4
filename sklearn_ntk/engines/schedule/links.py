"""Sums of lines that the operations of a schedule write, to be transposed."""

import numpy as np
from scipy.sparse import csr_array

from .operations import Blend, Gather, Scatter


class Links:
    """The sums ``lines[targets[e]] += lines[sources[e]]`` of an operation, to be transposed."""

    def __init__(self, sources, targets):
        self.sources, columns = np.unique(sources, return_inverse=True)
        self.targets, rows = np.unique(targets, return_inverse=True)
        shape = len(self.sources), len(self.targets)
        self.matrix = csr_array((np.ones(len(rows)), (columns, rows)), shape=shape)

    def add(self, bars, of_targets):
        """Add the bars (2, n_targets, n, m) of the targets to those of their sources."""
        for part, values in zip(bars, of_targets, strict=True):
            sums = self.matrix @ values.reshape(len(values), -1)
            part[self.sources] += sums.reshape(-1, *part.shape[1:])


def links_of(op):
    """Tuple of the `Links` of an operation."""
    out = op.out + np.arange(op.n_lines)
    if isinstance(op, Gather):
        return (Links(op.sources.ravel(), np.repeat(out, op.argument)),)
    if isinstance(op, Scatter):
        return (Links(op.sources, op.targets),)
    return (Links(op.previous, out), Links(op.inputs, out)) if isinstance(op, Blend) else ()
