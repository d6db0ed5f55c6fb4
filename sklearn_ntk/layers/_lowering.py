"""From a tuple of layers to a program: the one place where a network is checked."""

import numbers
from typing import NamedTuple

from .._runtime.check import is_flag, read_number
from ..activations import as_activation, is_activation
from ..formulas.special import is_variance
from ..program import Output, Pointwise, assemble


class Signal(NamedTuple):
    """What lowering knows of the signal that a layer meets.

    ``gaussian`` tells whether all entries are Gaussian, as an activation demands; ``centred``
    whether their mean is zero; ``wide`` whether they have passed weights, behind which there are
    infinitely many, and ``fresh`` whether they have done so since the branch at hand began.
    """

    gaussian: bool = False
    centred: bool = False
    wide: bool = False
    fresh: bool = False


class Context:
    """What lowering knows of the network so far.

    ``signal`` is what is known of the `Signal` and ``path`` where it is. ``shape`` is that of the
    rows and ``grid`` that of the positions; both are None where rows have no positions, and the
    grid is empty where none are left.
    """

    def __init__(self, weight_var, bias_var, n_frozen):
        self.weight_var = weight_var
        self.bias_var = bias_var
        self.n_frozen = n_frozen
        self.signal = Signal()
        self.n_weights = 0
        self.shape = self.grid = None
        self.path = []

    def weigh(self):
        """The signal has passed weights of its own."""
        self.signal = Signal(True, True, True, True)

    def change(self, **known):
        """Something else is known of the signal now."""
        self.signal = self.signal._replace(**known)

    def is_trained(self, layer):
        """Count a layer with weights, and tell whether it is trained, for each `n_frozen`."""
        self.n_weights += 1
        is_free = not self.flag(layer, "frozen")
        if isinstance(self.n_frozen, tuple):
            return tuple(is_free and self.n_weights > n for n in self.n_frozen)
        return is_free and self.n_weights > self.n_frozen

    def flag(self, layer, name):
        """Whether a layer has something set."""
        found = getattr(layer, name)
        if not is_flag(found):
            self.fail(f"{name} must be True or False; got {found!r}", "Correct it")
        return bool(found)

    def activation(self, given):
        """The activation that a name or an object stands for, as a value of numbers."""
        try:
            return as_activation(given).traced()
        except (TypeError, ValueError) as error:
            raise type(error)(f"Invalid network at {'.'.join(self.path)}: {error}") from None

    def variance(self, layer, name, default=None):
        """A variance of a layer, or that of the kernel, and whether it is the kernel's."""
        number = getattr(layer, name)
        if number is None:
            return float(getattr(self, default or name)), True
        if not is_variance(number):
            self.fail(f"{name} must be a number >= 0 or None; got {number!r}", "Correct it")
        return float(number), False

    def variances(self, layer):
        """Variances of weights and biases of a layer, and whether they are the kernel's."""
        (weight, weight_tied), (bias, bias_tied) = (
            self.variance(layer, name) for name in ("weight_var", "bias_var")
        )
        return weight, bias, (weight_tied, bias_tied)

    def fail(self, reason, remedy):
        """Raise the error for the layer at hand."""
        raise ValueError(f"Invalid network at {'.'.join(self.path)}: {reason}. {remedy}.")

    def walk(self, layers, name):
        """Instructions of a sequence of layers."""
        is_one = hasattr(layers, "lower") or is_activation(layers)  # these are tuples, too
        if is_one or not isinstance(layers, (tuple, list)):
            remedy = " A single layer is a tuple, too: (Dense(),)." if is_one else ""
            place = f"Invalid network at {'.'.join(self.path)}: " if self.path else ""
            raise TypeError(f"{place}{name} must be a tuple of layers; got {layers!r}.{remedy}")
        for position, layer in enumerate(layers):
            self.path.append(f"{name}[{position}]")
            yield from self._lower_one(layer)
            self.path.pop()

    def _lower_one(self, layer):
        if isinstance(layer, str) or is_activation(layer):
            traced = self.activation(layer)
            if not traced.is_linear:
                self._check_gaussian(as_activation(layer))
                self.change(gaussian=False, centred=False)
            yield Pointwise(traced)
        elif isinstance(layer, type) or not hasattr(layer, "lower"):
            raise TypeError(
                f"Invalid network at {'.'.join(self.path)}: {layer!r} is neither a layer nor an "
                "activation. Use objects of sklearn_ntk.layers and sklearn_ntk.activations."
            )
        else:
            yield from layer.lower(self)

    def _check_gaussian(self, layer):
        if self.signal.gaussian:
            return
        elsewhere = ", or move it before the Dropout or Flatten" if self.signal.centred else ""
        self.fail(
            f"the activation {layer!r} must follow a layer with weights, whose output is Gaussian",
            f"Put Dense() before it{elsewhere}",
        )


def lower(layers, weight_var=2.0, bias_var=0.1, n_frozen=0):
    """Lower a network to a `Program`, checking it on the way.

    Parameters
    ----------
    layers : tuple of layers and activations
        The network from input to output. One that ends without weights has the kernels of its
        features: the means over them of products, and of inner products of gradients.
    weight_var, bias_var : float
        Variances of the layers that leave theirs at None.
    n_frozen : int or tuple of int
        So many of the first layers with weights are not trained. The NTKs for several numbers come
        out of one pass, along an axis in front; rows must not have positions then.

    Returns
    -------
    Program

    Raises
    ------
    ValueError
        If the network is not valid; the message names the position and the remedy.
    """
    counts = n_frozen if isinstance(n_frozen, tuple) and n_frozen else (n_frozen,)
    are_numbers = (isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in counts)
    if not all(are_numbers) or min(counts) < 0:
        raise ValueError(f"n_frozen must be a whole number >= 0; got {n_frozen!r}.")
    weight_var, bias_var = read_number(weight_var, "weight_var"), read_number(bias_var, "bias_var")
    context = Context(weight_var, bias_var, n_frozen)
    instructions = list(context.walk(layers, "architecture"))
    context.path = ["architecture"]
    if not len(layers):
        context.fail("a network must have layers", "Append Dense()")
    if context.grid:
        context.fail(
            f"the network ends with {context.grid} positions, and a kernel has one number for "
            f"each pair of rows",
            "Append Flatten(), GlobalAvgPool() or a Recurrent layer",
        )
    program = assemble([*instructions, Output()], context.shape)
    if program.n_ntks is not None and program.shape is not None:
        raise ValueError(
            f"a network over positions takes one n_frozen at a time; got {n_frozen!r}."
        )
    if max(counts) >= max(1, context.n_weights):
        raise ValueError(
            f"n_frozen must be less than the number of layers with weights, which is "
            f"{context.n_weights}; got {n_frozen}."
        )
    return program
