"""A network as plain data: a flat sequence of instructions for a small stack machine.

The machine carries one pair of rows, or a whole tile of pairs, through the network. Its state is
the gap and the NTK of the pair and the variance of each row; a stack holds the states that residual
branches set aside. Engines interpret the sequence; nothing is compiled for a new network.

Rows that are images or sequences have a state for each pair of their positions: its squared
distance, which windows and sums map linearly, in place of the gap.
"""

from typing import NamedTuple

import numpy as np

from .._values import value
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
    """Instructions, the deepest stack that they need, and the shape of rows that have positions.

    Rates are along the logarithms of the kernel's variances or, if ``by_rows``, along the standard
    deviation of the left row, at the same gap, and along the gap of the pair.

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
    by_rows: bool = False

    @property
    def activations(self):
        """The distinct activations, in an order that does not depend on the network's."""
        return tuple(sorted({step.activation for step in self.steps} - {None}, key=repr))

    @property
    def n_outputs(self):
        """Number of results."""
        return self.steps.count(Output())

    @property
    def n_ntks(self):
        """Number of NTKs, if they have an axis of their own, or None for a single one."""
        flags = (step.trained for step in self.steps)
        return next((len(flag) for flag in flags if isinstance(flag, tuple)), None)

    @property
    def is_trained(self):
        """Whether any layer is trained; the NTK is zero otherwise."""
        return any(np.any(step.trained) for step in self.steps)

    @property
    def ties(self):
        """Whether any weight variance, and any bias variance, is the kernel's own."""
        return tuple(any(step.ties[p] for step in self.steps) for p in range(2))

    @property
    def along_rows(self):
        """The program with rates ``by_rows``."""
        return self._replace(steps=tuple(step.untied for step in self.steps), by_rows=True)

    @property
    def outline(self):
        """The program without all that positions do not depend on."""
        return self._replace(steps=tuple(step.outline for step in self.steps))


def assemble(instructions, shape=None):
    """Make a `Program`: fuse each affine map with the activation before it, and size the stack.

    Two outputs in a row are one.
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
    """Whether steps end with an activation that has nothing behind it, and is not a part of one."""
    is_part = len(steps) > 1 and steps[-2].runs_next
    return bool(steps) and steps[-1].is_bare and not is_part
