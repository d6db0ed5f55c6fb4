"""A network as plain data: a flat sequence of instructions for a small stack machine.

The machine carries one pair of rows, or a whole tile of pairs, through the network. Its state is
the gap and the NTK of the pair and the variance of each row; a stack holds the states that residual
branches set aside. Engines interpret the sequence; nothing is compiled for a new network.
"""

from typing import NamedTuple

from ._values import value
from .activations import Identity


@value
class Pointwise(NamedTuple):
    """Activation, then an affine map of its output: one layer of a dense network.

    ``K <- weight_var E[f f] + bias_var`` and ``T <- weight_var E[f' f'] T + (K if trained)``. The
    flags tell which variance is the kernel's own, so that its derivatives pass through here.
    """

    activation: tuple
    weight_var: float = 1.0
    bias_var: float = 0.0
    trained: bool = False
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


@value
class Program(NamedTuple):
    """Instructions, and the deepest stack that they need.

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
    def is_trained(self):
        """Whether any layer is trained; the NTK is zero otherwise."""
        return any(step.trained for step in self.steps if isinstance(step, Pointwise))

    @property
    def ties(self):
        """Whether any weight variance, and any bias variance, is the kernel's own."""
        maps = [step for step in self.steps if isinstance(step, Pointwise)]
        return any(s.weight_tied for s in maps), any(s.bias_tied for s in maps)


def assemble(instructions):
    """Make a `Program`: fuse each affine map with the activation before it, and size the stack.

    Two outputs in a row are one.
    """
    steps, height, deepest = [], 0, 0
    for step in instructions:
        height += {Save: 1, Add: -1}.get(type(step), 0)
        deepest = max(deepest, height)
        previous = steps[-1] if steps else None
        if isinstance(step, Pointwise) and step.activation == Identity() and _is_bare(previous):
            step = step._replace(activation=steps.pop().activation)
        if step == Output() and step == previous:
            continue
        steps.append(step)
    return Program(tuple(steps), deepest)


def _is_bare(step):
    """Whether ``step`` is an activation with nothing behind it yet."""
    return isinstance(step, Pointwise) and step == Pointwise(step.activation)
