"""From a tuple of layers to a program; networks are checked here and in ``lower`` of layers."""

import numbers
from typing import NamedTuple

from .._runtime.check import is_flag, read_number
from ..activations import as_activation, is_activation
from ..formulas.special import is_variance
from ..program import Output, Pointwise, assemble


class Signal(NamedTuple):
    """Properties of the signal at a point of the network, that is, of the entries of its vectors.

    ``gaussian``: they are Gaussian with equal variances, as activations need; ``centred``: their
    mean is zero; ``wide``: there are infinitely many, since some layer before had weights;
    ``fresh``: there was such a layer in the present branch of a `Residual`.
    """

    gaussian: bool = False
    centred: bool = False
    wide: bool = False
    fresh: bool = False


class Context:
    """The network up to the layer that is being lowered.

    ``signal`` is the `Signal` there, and ``path`` the names of the layer and of the branches that
    it is in, for errors. ``shape`` is the shape of the rows and ``grid`` that of the positions;
    both are None where rows have no positions, and the grid is ``()`` behind a pooling over all of
    them. ``weight_var`` and ``bias_var`` are those of layers that leave theirs at None.
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
        """Set the signal to that behind a layer of random weights: all properties hold."""
        self.signal = Signal(True, True, True, True)

    def change(self, **properties):
        """Change these properties of the signal."""
        self.signal = self.signal._replace(**properties)

    def is_trained(self, layer):
        """Count a layer with weights; whether it is trained, or a tuple of that by ``n_frozen``."""
        self.n_weights += 1
        is_free = not self.flag(layer, "frozen")
        if isinstance(self.n_frozen, tuple):
            return tuple(is_free and self.n_weights > n for n in self.n_frozen)
        return is_free and self.n_weights > self.n_frozen

    def flag(self, layer, name):
        """A field of a layer that must be True or False."""
        flag = getattr(layer, name)
        if not is_flag(flag):
            self.fail(f"{name} must be True or False; got {flag!r}", "Correct it")
        return bool(flag)

    def activation(self, spec):
        """Activation of a name or object, in the form for programs, with numbers as fields."""
        try:
            return as_activation(spec).traced()
        except (TypeError, ValueError) as error:
            raise type(error)(f"Invalid network at {'.'.join(self.path)}: {error}") from None

    def variance(self, layer, name, default=None):
        """Variance ``layer.name``, or the kernel's if it is None; and whether it is the kernel's.

        ``default`` is the name of the kernel's variance, if that is another one.
        """
        number = getattr(layer, name)
        if number is None:
            return float(getattr(self, default or name)), True
        if not is_variance(number):
            self.fail(f"{name} must be a number >= 0 or None; got {number!r}", "Correct it")
        return float(number), False

    def variances(self, layer):
        """Variances of weights and biases of a layer, and whether each is the kernel's."""
        (weight, weight_tied), (bias, bias_tied) = (
            self.variance(layer, name) for name in ("weight_var", "bias_var")
        )
        return weight, bias, (weight_tied, bias_tied)

    def fail(self, reason, remedy):
        """Raise ValueError for the present layer: "Invalid network at (path): reason. Remedy."."""
        raise ValueError(f"Invalid network at {'.'.join(self.path)}: {reason}. {remedy}.")

    def walk(self, layers, name):
        """Yield the instructions of a tuple of layers, which errors call ``name``."""
        is_one = hasattr(layers, "lower") or is_activation(layers)  # layers are tuples, too
        if is_one or not isinstance(layers, (tuple, list)):
            remedy = " A single layer is a tuple, too: (Dense(),)." if is_one else ""
            start = f"Invalid network at {'.'.join(self.path)}: " if self.path else ""
            raise TypeError(f"{start}{name} must be a tuple of layers; got {layers!r}.{remedy}")
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
    """Check a network, and lower it to a `Program`.

    Parameters
    ----------
    layers : tuple of layers and activations
        The network, from input to output. If it does not end in a layer with weights, its last
        features replace the outputs: the NNGP kernel is then the mean of their products, and the
        NTK the mean of the inner products of their gradients.
    weight_var, bias_var : float
        Variances for layers whose own are None.
    n_frozen : int or tuple of int
        Number of layers with weights, counted from the input, that are not trained. A tuple gives
        one NTK for each number, along the first axis of the results; it needs rows without
        positions.

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
