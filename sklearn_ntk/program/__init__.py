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
from ..activations import Identity


@value
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


@value
class Save(NamedTuple):
    """Push a copy of the state on the stack."""


@value
class Swap(NamedTuple):
    """Exchange the state with the top of the stack."""


@value
class Add(NamedTuple):
    """Pop a state and add it: the sum of two independent branches."""


@value
class Output(NamedTuple):
    """The kernels of the state are one of the results; a program ends in one."""


# --- Positions ------------------------------------------------------------------------------------


@value
class Convolve(NamedTuple):
    """Sum over the positions in a window, the same ones in both rows: weights do not mix them.

    ``K(p, q) <- sum_s K(p + s, q + s)``, and ``T`` likewise.
    """

    grid: tuple
    window: tuple
    strides: tuple
    padding: str


@value
class Pool(NamedTuple):
    """Mean, or sum, of the signal in a window, whose positions all mix.

    ``K(p, q) <- scale sum_{s, t} K(p + s, q + t)``, and ``T`` likewise.
    """

    grid: tuple
    window: tuple
    strides: tuple
    padding: str
    scale: float


@value
class Flatten(NamedTuple):
    """Mean over equal positions, as weights of their own for each position leave it."""

    grid: tuple


@value
class Normalize(NamedTuple):
    """Divide the signal at each position by its standard deviation."""


@value
class Drop(NamedTuple):
    """Drop entries at random and divide the others by ``kept``: noise of each row of its own."""

    kept: float


@value
class Embed(NamedTuple):
    """Add a Gaussian signal of the positions, the same for all rows.

    Its covariance is ``variance exp(-|p - q|^2 / (2 length_scale^2))``, for a length scale of zero
    that of independent positions.
    """

    grid: tuple
    variance: float
    length_scale: float
    trained: bool


@value
class Attend(NamedTuple):
    """Self-attention: sums over all positions, by weights that depend on the row.

    With linear scaling ``K <- S K S'`` for a matrix ``S`` of each row, its scores after the
    mechanism. The scores are ``score_scale K(x, x)``. With the scaling "sqrt" they stay random:
    ``K(p, q) <- score_scale^2 K(p, q) sum_{s, t} K(s, t)^2``, and they are trained, too.
    """

    grid: tuple
    mechanism: str
    scaling: str
    score_scale: float
    trained: bool


@value
class Recur(NamedTuple):
    """Recurrence in time: the `Pointwise` behind it has the activation of each step.

    ``K_g(p, q) = recurrent_var K_h(p - 1, q - 1) + weight_var K(p, q) + bias_var``, where ``h`` is
    ``g`` after the activation, and zero before the beginning. Weights are the same at all times.
    """

    grid: tuple
    weight_var: float
    recurrent_var: float
    bias_var: float
    trained: bool
    weight_tied: bool
    recurrent_tied: bool
    bias_tied: bool


@value
class Last(NamedTuple):
    """Keep the last position only."""

    grid: tuple


@value
class Program(NamedTuple):
    """Instructions, the deepest stack that they need, and the shape of rows that have positions.

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

    @property
    def activations(self):
        """The distinct activations, in an order that does not depend on the network's."""
        found = {step.activation for step in self.steps if isinstance(step, Pointwise)}
        return tuple(sorted(found, key=repr))

    @property
    def n_outputs(self):
        """Number of results."""
        return sum(isinstance(step, Output) for step in self.steps)

    @property
    def n_ntks(self):
        """Number of NTKs, if they have an axis of their own, or None for a single one."""
        flags = (step.trained for step in self.steps if hasattr(step, "trained"))
        return next((len(flag) for flag in flags if isinstance(flag, tuple)), None)

    @property
    def is_trained(self):
        """Whether any layer is trained; the NTK is zero otherwise."""
        return any(np.any(getattr(step, "trained", False)) for step in self.steps)

    @property
    def ties(self):
        """Whether any weight variance, and any bias variance, is the kernel's own."""
        maps = [step for step in self.steps if isinstance(step, (Pointwise, Recur))]
        weights = (step.weight_tied or getattr(step, "recurrent_tied", False) for step in maps)
        return any(weights), any(step.bias_tied for step in maps)


def assemble(instructions, shape=None):
    """Make a `Program`: fuse each affine map with the activation before it, and size the stack.

    Two outputs in a row are one.
    """
    steps, height, deepest = [], 0, 0
    for step in instructions:
        height += {Save: 1, Add: -1}.get(type(step), 0)
        deepest = max(deepest, height)
        previous = steps[-1] if steps else None
        is_affine = isinstance(step, Pointwise) and step.activation == Identity()
        is_recurrent = len(steps) > 1 and isinstance(steps[-2], Recur)  # its own activation
        if is_affine and is_bare(previous) and not is_recurrent:
            step = step._replace(activation=steps.pop().activation)
        if step == Output() and step == previous:
            continue
        steps.append(step)
    return Program(tuple(steps), deepest, shape)


def is_bare(step):
    """Whether ``step`` is an activation with nothing behind it yet."""
    return isinstance(step, Pointwise) and step == Pointwise(step.activation)
