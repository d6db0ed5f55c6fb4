"""Instructions for rows, and what generic code asks of all of them."""

from typing import NamedTuple

import numpy as np

from .._values import complete, value
from ..activations import Identity


class _Answers:
    """What engines ask of an instruction, with the answers of those that give no other.

    ``rule`` is the name of what it does, by which the tables of engines and formulas find theirs.
    """

    grid = ()
    """Positions that it looks at."""

    activation = None
    """The activation that it applies."""

    trained = False
    """Whether it has weights that are trained; a tuple answers for each of several NTKs."""

    height = 0
    """States that it adds to the stack."""

    mixes = False
    """Whether a pair of positions depends on pairs of other differences."""

    takes_all = False
    """Whether it takes all pairs of positions at once, not sums over some of them."""

    is_ring = False
    """Whether it continues a grid at its opposite end."""

    runs_next = False
    """Whether the instruction behind it runs as a part of it."""

    is_bare = False
    """Whether it is an activation with nothing behind it yet."""

    ties = (False, False)
    """Whether any weight variance, and any bias variance, is the kernel's own."""

    parameters = ()
    """Inputs of the formulas of its activation."""

    covariances = np.empty((0, 0))
    """Covariances (positions, positions) of a signal that it adds."""

    @property
    def numbers(self):
        """Inputs of its formulas by name; rates are along the direction of the variance."""
        return {}

    def take(self, names):
        """Inputs of its formulas; those that it lacks are zero."""
        numbers = self.numbers
        return [numbers.get(name, 0.0) for name in names]

    @property
    def untied(self):
        """The instruction with the same variances, none of which is the kernel's own."""
        ties = (name for name in self._fields if name.endswith("_tied"))
        return self._replace(**dict.fromkeys(ties, False))

    @property
    def outline(self):
        """The instruction without all that positions do not depend on."""
        numbers = set(self._fields).difference(("grid", "windows"))
        return self._replace(**dict.fromkeys(numbers))

    def after(self, grid):
        """Grid behind the instruction."""
        return grid

    def needed(self, codes, n, n_after):
        """Pairs among ``n`` positions on which pairs ``p n_after + q`` behind it depend."""
        return codes


def instruction(cls):
    """Make a NamedTuple an instruction; usable as a decorator."""
    return value(complete(cls, _Answers))


@instruction
class Pointwise(NamedTuple):
    """Activation, then an affine map of its output: one layer of a dense network.

    ``K <- weight_var E[f f] + bias_var`` and ``T <- weight_var E[f' f'] T + (K if trained)``. A
    tuple ``trained`` has an entry for each of several NTKs, which share the rest of the state. The
    other flags tell which variance is the kernel's own, so that its derivatives pass through here.
    """

    activation: tuple
    weight_var: float = 1.0
    bias_var: float = 0.0
    trained: bool | tuple = False
    weight_tied: bool = False
    bias_tied: bool = False

    @property
    def rule(self):
        """Whether the activation does nothing, is a series, or has a closed dual."""
        if self.activation == Identity():
            return "affine"
        return "series" if self.activation.is_series else "pointwise"

    @property
    def outline(self):
        """An activation is one like any other."""
        return Pointwise(Identity())

    @property
    def is_bare(self):
        return self == Pointwise(self.activation)

    @property
    def ties(self):
        return self.weight_tied, self.bias_tied

    @property
    def numbers(self):
        return {
            "weight": self.weight_var,
            "bias": self.bias_var,
            "trained": self.trained,
            "weight_rate": self.weight_var * self.weight_tied,
            "bias_rate": self.bias_var * self.bias_tied,
        }

    @property
    def parameters(self):
        return () if self.activation.is_series else tuple(self.activation)


@instruction
class Save(NamedTuple):
    """Push a copy of the state on the stack."""

    rule, height = "save", 1


@instruction
class Swap(NamedTuple):
    """Exchange the state with the top of the stack."""

    rule = "swap"


@instruction
class Add(NamedTuple):
    """Pop a state and add it: the sum of two independent branches."""

    rule, height = "add", -1


@instruction
class Output(NamedTuple):
    """The kernels of the state are one of the results; a program ends in one."""

    rule = "output"


@instruction
class Normalize(NamedTuple):
    """Divide the signal at each position by its standard deviation."""

    rule = "normalize"


@instruction
class Drop(NamedTuple):
    """Drop entries at random and divide the others by ``kept``: noise of each row of its own."""

    kept: float

    rule = "drop"

    @property
    def numbers(self):
        return {"kept": self.kept}
