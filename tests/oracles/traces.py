"""Traces of functions, and functions that together use every operation of formulas."""

import numpy as np
import pytest

from sklearn_ntk.formulas import special as _special
from sklearn_ntk.formulas.tracing import Graph
from sklearn_ntk.formulas.writing import build, source


def names(n):
    """Names of ``n`` inputs."""
    return [f"x{i}" for i in range(n)]


def traced(function, n):
    """Input nodes of a new graph, and the tuple of the outputs of a function of them."""
    inputs = Graph().inputs(*names(n))
    outputs = function(*inputs)
    return inputs, outputs if isinstance(outputs, tuple) else (outputs,)


def rebuilt(function, n):
    """A function built from the source code of the trace of ``function``."""
    return build(source("rebuilt", {"x": names(n)}, traced(function, n)[1]))


OPERATIONS = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "reflected": lambda x, y: (2.0 - x) * (3.0 / y) + (0.5 + x) * (2.0 * y),
    "ufuncs": lambda x, y: np.add(x, np.subtract(2.0, np.multiply(y, np.divide(x, y)))),
    "NumPy numbers": lambda x, y: np.float64(2.0) * x - np.float64(3.0) / y,
    "sqrt": lambda x, y: np.sqrt(x),
    "exp": lambda x, y: np.exp(x - y),
    "expm1": lambda x, y: np.expm1(x - y),
    "log": lambda x, y: np.log(x * x + y * y),
    "square": lambda x, y: np.square(x - y) - np.negative(x),
    "arctan": lambda x, y: np.arctan(x / y),
    "arcsin": lambda x, y: np.arcsin(np.cos(x) * np.sin(y)),
    "arccos": lambda x, y: np.arccos(np.cos(x) * np.sin(y)),
    "cos": lambda x, y: np.cos(x * y),
    "sin": lambda x, y: np.sin(x * y),
    "abs": lambda x, y: np.abs(x - y) + abs(y - x) + np.absolute(x),
    "negative": lambda x, y: -x * np.negative(y),
    "arctan2": lambda x, y: np.arctan2(x, y) + np.arctan2(1.0, x) + np.arctan2(y, -x),
    "maximum": lambda x, y: np.maximum(x, y) + 2.0 * np.maximum(y, 1.0),
    "minimum": lambda x, y: np.minimum(x, y) + 2.0 * np.minimum(1.0, y),
    "squares": lambda x, y: x**2 - 2.0 * y**3 + x**4 * y**1,
    "less": lambda x, y: (x < y) * x + (x < 1.0) * y + (1.0 < y) * x * y,
    "less_equal": lambda x, y: (x <= y) * x + (x <= 1.0) * y + (1.0 <= y) * x * y,
    "greater": lambda x, y: (x > y) * x + (x > 1.0) * y + (1.0 > y) * x * y,
    "greater_equal": lambda x, y: (x >= y) * x + (x >= 1.0) * y + (1.0 >= y) * x * y,
    "equal": lambda x, y: (x == y) * x + (x == 1.0) * y,
    "not_equal": lambda x, y: (x != y) * x + (x != 1.0) * y,
    "angle": lambda x, y: _special.angle(x, y) + _special.angle(y, -x) + _special.angle(x, 2.0),
    "arc": lambda x, y: _special.arc(0.2 * x)[2] * y + _special.arc(0.3 * y)[3],
    "arc twice": lambda x, y: _special.arc(0.1 * _special.arc(0.3 * x)[3] + 0.2)[2],
    "mixing": lambda x, y: _special.mixing((x, y), (y, x + 1.0)),
    "halves": lambda x, y: _special.halves(x, y, x + y)[0] * _special.halves(y, x, x + y)[1],
    "constant": lambda x, y: 3.0 + 0.0 * x,
    "truths": lambda x, y: np.sqrt(1.0 * (x > y)) + np.exp((y > 1.0) / 1.0) + (0.0 + (x < y)) * x,
    "or": lambda x, y: ((x > y) + (x > 1.0)) * y + np.maximum(y > 1.0, x > y) / x,
    "and": lambda x, y: ((x > y) * (x > 1.0)) * y + np.minimum(y > 1.0, x < y) / x,
    "number of truths": lambda x, y: 1.0 * (x > y) + 1.0 * (x > 1.0) + (y > 1.0),
    "far": lambda x, y: np.sqrt(1.0 * _special.arc(0.3 * x)[0]) + y * _special.arc(0.2 * y)[0],
}
POINTS = np.array([[0.3, 1.7], [1.7, 0.3], [2.9, 2.1], [1.1, 0.9], [0.7, 0.7 + 1e-3]])
each_operation = pytest.mark.parametrize("function", OPERATIONS.values(), ids=OPERATIONS)
