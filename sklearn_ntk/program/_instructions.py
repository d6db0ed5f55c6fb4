"""Instructions for rows with and without positions, and the attributes of all instructions."""

from typing import NamedTuple

import numpy as np

from .._values import complete, value
from ..activations import Identity


class _Defaults:
    """Attributes of instructions that engines read, with their defaults.

    ``rule`` is a string, the key of the instruction in the tables of formulas and engines.
    """

    grid = ()
    """Shape of the grid of positions before the instruction, where it depends on that."""

    activation = None
    """The activation that it applies."""

    trained = False
    """Whether it has trained weights; a tuple has an entry for each of several NTKs."""

    height = 0
    """Change of the size of the stack: 1, 0 or -1."""

    mixes = False
    """Whether the state of a pair (p, q) depends on pairs with other differences ``q - p``."""

    takes_all = False
    """Whether it needs all pairs of positions at once rather than sums over windows of pairs."""

    is_ring = False
    """Whether windows that leave the grid go on at its opposite end (circular padding)."""

    runs_next = False
    """Whether the next instruction, an activation, runs inside this one (a recurrence)."""

    is_bare = False
    """Whether it is an activation alone, without an affine map."""

    ties = (False, False)
    """Whether its weight variance, and its bias variance, is the kernel's hyperparameter."""

    parameters = ()
    """Parameters of its activation, inputs of formulas."""

    covariances = np.empty((0, 0))
    """Covariances (n_positions, n_positions) of a Gaussian signal that it adds."""

    @property
    def numbers(self):
        """Other inputs of its formulas, by name.

        ``..._rate`` is the derivative of a variance with respect to the logarithm of the kernel's
        hyperparameter: the variance itself if it is tied, and else zero.
        """
        return {}

    def take(self, names):
        """List of the `numbers` of these names, zero for those that it lacks."""
        numbers = self.numbers
        return [numbers.get(name, 0.0) for name in names]

    @property
    def untied(self):
        """The instruction with the same variances, none of which is the kernel's own."""
        ties = (name for name in self._fields if name.endswith("_tied"))
        return self._replace(**dict.fromkeys(ties, False))

    @property
    def outline(self):
        """The instruction with its geometry only, other fields None: all that a schedule reads."""
        numbers = set(self._fields).difference(("grid", "windows"))
        return self._replace(**dict.fromkeys(numbers))

    def after(self, grid):
        """Shape of the grid of positions behind the instruction."""
        return grid

    def needed(self, codes, n, n_after):
        """Pairs ``p n + q`` before the instruction on which pairs ``codes`` behind it depend.

        ``codes`` are numbers ``p n_after + q``; ``n`` and ``n_after`` are numbers of positions.
        """
        return codes


def instruction(cls):
    """Decorator of a NamedTuple class: makes it an instruction."""
    return value(complete(cls, _Defaults))


@instruction
class Pointwise(NamedTuple):
    """Activation ``f``, then an affine map with random weights: one layer of a dense network.

    ``K <- weight_var E[f(u) f(v)] + bias_var`` and ``T <- weight_var E[f'(u) f'(v)] T + (K if
    trained)``. A tuple ``trained`` has an entry for each of several NTKs, which share ``K``.
    ``weight_tied`` and ``bias_tied`` tell which variance is the kernel's hyperparameter, with
    respect to which derivatives are taken.
    """

    activation: tuple
    weight_var: float = 1.0
    bias_var: float = 0.0
    trained: bool | tuple = False
    weight_tied: bool = False
    bias_tied: bool = False

    @property
    def rule(self):
        """Key: "affine" for the identity, "series" for Hermite series, else "pointwise"."""
        if self.activation == Identity():
            return "affine"
        return "series" if self.activation.is_series else "pointwise"

    @property
    def outline(self):
        """The same for all activations."""
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
    """Push a copy of the state onto the stack."""

    rule, height = "save", 1


@instruction
class Swap(NamedTuple):
    """Exchange the state with the top of the stack."""

    rule = "swap"


@instruction
class Add(NamedTuple):
    """Pop a state from the stack and add it: the sum of two uncorrelated branches."""

    rule, height = "add", -1


@instruction
class Output(NamedTuple):
    """Make NNGP and NTK of the state a result; every program ends with an `Output`."""

    rule = "output"


@instruction
class Normalize(NamedTuple):
    """Divide the signal at each position by its standard deviation."""

    rule = "normalize"


@instruction
class Drop(NamedTuple):
    """Dropout: keep entries with probability ``kept`` and divide them by it, row by row."""

    kept: float

    rule = "drop"

    @property
    def numbers(self):
        return {"kept": self.kept}
