"""A network as plain data: a flat sequence of instructions for a small stack machine.

Layers lower to a `Program`; engines run it. The state of a pair of rows is its gap ``2 (sqrt(K(x,
x) K(y, y)) - K(x, y))`` and its NTK, that of a row its variance ``K(x, x)`` and its NTK; each
instruction maps the state to the next one. A stack keeps states for the other branch of a residual
block. Instructions are data: nothing is compiled for a new network.

Rows that are images or sequences have a state for each pair of positions: its squared distance
``K(x_p, x_p) + K(y_q, y_q) - 2 K(x_p, y_q)``, on which windows and sums act linearly, and its NTK.
"""

from typing import NamedTuple

import numpy as np

from .._values import publish, value
from . import grids
from ._instructions import Add, Drop, Normalize, Output, Pointwise, Save, Swap
from ._positions import Attend, Convolve, Embed, Flatten, Pool, Recur

__all__ = [
    "Add",
    "Attend",
    "Convolve",
    "Drop",
    "Embed",
    "Flatten",
    "Normalize",
    "Output",
    "Pointwise",
    "Pool",
    "Program",
    "Recur",
    "Save",
    "Swap",
    "assemble",
    "grids",
]


@value
class Program(NamedTuple):
    """Instructions in their order, the largest size of the stack, and the shape of the rows.

    ``shape`` is that of `layers.Input`, positions then channels, or None for rows without
    positions.

    Rates are along the logarithms of the kernel's variances unless ``by_rows`` is set. Then the
    second direction is the gap of a pair, and the first is the standard deviation of the left row,
    at the same gap ("std"), or the logarithm of a factor of the "left" row, or of "both" rows.

    Examples
    --------
    >>> from sklearn_ntk.layers import Dense, lower
    >>> from sklearn_ntk.activations import ReLU
    >>> program = lower((Dense(2.0, 0.1), ReLU(), Dense(2.0, 0.1)))
    >>> [type(step).__name__ for step in program.steps]
    ['Pointwise', 'Pointwise', 'Output']
    >>> [act.name for act in program.activations]
    ['identity', 'relu']
    """

    steps: tuple
    stack_size: int = 0
    shape: tuple | None = None
    by_rows: str = ""

    @property
    def activations(self):
        """The distinct activations, sorted by their repr."""
        return tuple(sorted({step.activation for step in self.steps} - {None}, key=repr))

    @property
    def n_outputs(self):
        """Number of `Output` instructions: networks whose kernels are results."""
        return self.steps.count(Output())

    @property
    def n_ntks(self):
        """Number of NTKs, one for each ``n_frozen`` of a tuple; None if it was a single number."""
        flags = (step.trained for step in self.steps)
        return next((len(flag) for flag in flags if isinstance(flag, tuple)), None)

    @property
    def is_trained(self):
        """Whether any layer is trained; the NTK is zero otherwise."""
        return any(np.any(step.trained) for step in self.steps)

    @property
    def ties(self):
        """Whether any layer takes the kernel's ``weight_var``, and whether any its ``bias_var``."""
        return tuple(any(step.ties[p] for step in self.steps) for p in range(2))

    def along_rows(self, which):
        """The program with rates ``by_rows``: "std", "left" or "both"."""
        return self._replace(steps=tuple(step.untied for step in self.steps), by_rows=which)

    @property
    def outline(self):
        """The program with geometry only: equal for networks that have the same schedule."""
        return self._replace(steps=tuple(step.outline for step in self.steps))


def assemble(instructions, shape=None):
    """Make a `Program`: fuse each affine map with the activation before it, and size the stack.

    Of two `Output` instructions in a row one is left.
    """
    steps, height, deepest = [], 0, 0
    for step in instructions:
        height += step.height
        deepest = max(deepest, height)
        if step.rule == "affine" and _ends_bare(steps):
            step = step._replace(activation=steps.pop().activation)
        if step == Output() and step == (steps or [None])[-1]:
            continue
        steps.append(step)
    return Program(tuple(steps), deepest, shape)


def _ends_bare(steps):
    """Whether the last instruction is an activation that an affine map can be fused with.

    The activation of a recurrence cannot: it is applied at each time step.
    """
    is_recurrent = len(steps) > 1 and steps[-2].runs_next
    return bool(steps) and steps[-1].is_bare and not is_recurrent


publish(__name__, globals())
