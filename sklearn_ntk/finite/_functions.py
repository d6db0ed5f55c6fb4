"""Activations of finite networks: derivatives, and the same functions on tensors of torch.

An activation is a function of arrays, made of arithmetic and ufuncs of NumPy and SciPy. Here it is
called with objects that stand for arrays: `Moving` finds the derivative, and a subclass of
`Standing` for tensors calls torch's function of the same name in place of the ufunc.
"""

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

_SQRT_PI, _SQRT_TAU = np.sqrt(np.pi), np.sqrt(2.0 * np.pi)
_COMPARISONS = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "sign"}

_RULES = {
    "negative": (lambda z, x: -1.0,),
    "square": (lambda z, x: 2.0 * x,),
    "sqrt": (lambda z, x: 0.5 / z,),
    "exp": (lambda z, x: z,),
    "expm1": (lambda z, x: z + 1.0,),
    "log": (lambda z, x: 1.0 / x,),
    "log1p": (lambda z, x: 1.0 / (1.0 + x),),
    "sin": (lambda z, x: np.cos(x),),
    "cos": (lambda z, x: -np.sin(x),),
    "tanh": (lambda z, x: 1.0 - z * z,),
    "sinh": (lambda z, x: np.cosh(x),),
    "cosh": (lambda z, x: np.sinh(x),),
    "arctan": (lambda z, x: 1.0 / (1.0 + x * x),),
    "arcsinh": (lambda z, x: 1.0 / np.sqrt(1.0 + x * x),),
    "absolute": (lambda z, x: np.sign(x),),
    "erf": (lambda z, x: 2.0 / _SQRT_PI * np.exp(-x * x),),
    "ndtr": (lambda z, x: np.exp(-0.5 * x * x) / _SQRT_TAU,),
    "expit": (lambda z, x: z * (1.0 - z),),
    "add": (lambda z, x, y: 1.0, lambda z, x, y: 1.0),
    "subtract": (lambda z, x, y: 1.0, lambda z, x, y: -1.0),
    "multiply": (lambda z, x, y: y, lambda z, x, y: x),
    "divide": (lambda z, x, y: 1.0 / y, lambda z, x, y: -z / y),
    "maximum": (lambda z, x, y: x > y, lambda z, x, y: x < y),
    "minimum": (lambda z, x, y: x < y, lambda z, x, y: x > y),
    "logaddexp": (lambda z, x, y: np.exp(x - z), lambda z, x, y: np.exp(y - z)),
    "power": (
        lambda z, x, y: y * x ** np.where(y == 0.0, 0.0, y - 1.0),
        lambda z, x, y: z * np.log(x),
    ),
}
"""By ufunc its derivatives with respect to each argument, from the value z and the arguments."""


class Standing(NDArrayOperatorsMixin):
    """An object that stands for an array in functions made of ufuncs."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if "out" in options:
            raise TypeError("it changes its argument in place")
        if method != "__call__" or options or ufunc.nout > 1:
            return NotImplemented
        return self.called(ufunc, *inputs)

    def __array_function__(self, function, types, arguments, options):
        if function is not np.where or len(arguments) != 3:
            raise TypeError(f"{function.__name__} is not known")
        return self.either(*arguments)


class Moving(Standing):
    """An array and its derivative with respect to what it depends on, entry by entry."""

    def __init__(self, value, slope):
        self.value, self.slope = value, slope

    def called(self, ufunc, *inputs):
        """The result of a ufunc."""
        values = [x.value if isinstance(x, Moving) else x for x in inputs]
        z = ufunc(*values)
        if ufunc.__name__ in _COMPARISONS:
            return z
        rules = _RULES.get(ufunc.__name__)
        if rules is None:
            raise TypeError(f"the derivative of {ufunc.__name__} is not known")
        return Moving(
            z,
            sum(
                rule(z, *values) * x.slope
                for x, rule in zip(inputs, rules, strict=True)
                if isinstance(x, Moving)
            ),
        )

    def either(self, condition, *inputs):
        """The result of `numpy.where`."""
        pairs = [(x.value, x.slope) if isinstance(x, Moving) else (x, 0.0) for x in inputs]
        condition = condition.value if isinstance(condition, Moving) else condition
        return Moving(*(np.where(condition, *each) for each in zip(*pairs, strict=True)))


def derivative(activation, x):
    """Derivative of an activation at all entries of an array."""
    with np.errstate(all="ignore"):
        moved = activation.fn(Moving(x, 1.0))
    slope = moved.slope if isinstance(moved, Moving) else 0.0
    return slope + np.zeros_like(x)


def check_activation(activation):
    """Raise TypeError unless an activation acts on each entry and its derivative is known."""
    if getattr(activation, "fn", None) is None:
        raise TypeError("it has no function fn")
    x = np.array([[-0.5, 0.3], [1.2, 2.0]])
    whole = activation.fn(x.copy())  # it may change what it is given
    single = np.hstack([activation.fn(x[:, [k]]) for k in range(2)])
    if not np.array_equal(whole, single):
        raise TypeError("it depends on several entries at once")
    try:
        derivative(activation, x)
    except (AttributeError, ValueError) as error:
        raise TypeError(f"it is more than arithmetic and ufuncs: {error}") from None
