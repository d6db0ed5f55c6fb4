"""Traced formulas: graphs, their derivatives, and the source code made from them."""

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk import _special
from sklearn_ntk._trace import (
    ROUNDING,
    TINY,
    Graph,
    Node,
    Writer,
    build,
    differentiate,
    expand,
    formula,
    source,
    statements,
)
from sklearn_ntk.engines._loops import Scalars


def names(n):
    """Names of inputs."""
    return [f"x{i}" for i in range(n)]


def traced(function, n):
    """Graph inputs and the outputs of a function of them."""
    inputs = Graph().inputs(*names(n))
    outputs = function(*inputs)
    return inputs, outputs if isinstance(outputs, tuple) else (outputs,)


def rebuilt(function, n):
    """The function made from the source code of the graph of a function."""
    return build(source("made", {"x": names(n)}, traced(function, n)[1]))


def derivative(function, n, position=0):
    """Derivatives of all outputs with respect to one input, as a function."""
    inputs, outputs = traced(function, n)
    rates = differentiate(outputs, {inputs[position]: 1.0})
    return build(source("rate", {"x": names(n)}, tuple(rates)))


# --- Recording ------------------------------------------------------------------------------------


@pytest.fixture
def xy():
    return Graph().inputs(*names(2))


def test_repetitions_are_recorded_once(xy):
    x, y = xy
    assert np.sqrt(x * y) + 1.0 is np.sqrt(x * y) + 1.0
    assert x * y is not y * x
    n = len(x.graph.nodes)
    assert np.sqrt(x * y) is np.sqrt(np.multiply(x, y)) and len(x.graph.nodes) == n


def constant(node):
    """The number that a node stands for."""
    assert node.operation == "constant"
    return node.arguments[0]


def test_simplifications(xy):
    x, _ = xy
    for same in (x * 1.0, 1.0 * x, x / 1.0, x + 0.0, 0.0 + x, x - 0.0, x**1, np.float64(1.0) * x):
        assert same is x
    for zero in (x * 0.0, 0.0 * x, 0.0 / x):
        assert constant(zero) == 0.0
    for other in (0.0 - x, 1.0 / x, x + 1.0, x - 1.0, x / 2.0, 2.0 * x):
        assert other is not x and other.operation != "constant"


def test_constants_are_folded(xy):
    two, three = (xy[0].graph.constant(number) for number in (2, 3.0))
    results = [two + three, two - three, two * three, two / three, 1.0 + two, 1 / two]
    assert [constant(node) for node in results] == [5.0, -1.0, 6.0, 2.0 / 3.0, 3.0, 0.5]
    assert xy[0].graph.constant(2.0) is two


def test_inputs():
    inputs = Graph().inputs("gap", "x3", "y0_1")
    assert [node.arguments for node in inputs] == [("gap",), ("x3",), ("y0_1",)]
    assert all(isinstance(node, Node) and node.operation == "input" for node in inputs)


@pytest.mark.parametrize(
    "function",
    [
        np.tanh,
        np.add.reduce,
        lambda x: np.sqrt(x, out=np.zeros(1)),
        lambda x: x**5,
        lambda x: x**0.5,
        lambda x: 2.0**x,
        lambda x: x % 2.0,
        lambda x: x // 2.0,
        float,
    ],
)
def test_unknown_operations(function, xy):
    with pytest.raises(TypeError):
        function(xy[0])


# --- Every operation ------------------------------------------------------------------------------

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
}
POINTS = np.array([[0.3, 1.7], [1.7, 0.3], [2.9, 2.1], [1.1, 0.9], [0.7, 0.7 + 1e-3]])
each_operation = pytest.mark.parametrize("function", OPERATIONS.values(), ids=OPERATIONS)


@each_operation
def test_source_equals_direct_call(function):
    """On numbers and on arrays."""
    made = rebuilt(function, 2)
    grid = np.array(np.meshgrid([0.5, 1.0, 1.5, 3.0], [0.5, 1.0, 2.5])).reshape(2, -1)
    (actual,) = made(grid)
    assert_allclose(actual + 0.0 * grid[0], function(*grid), rtol=1e-14)
    for point in POINTS:
        assert_allclose(made(point)[0], function(*point), rtol=1e-14)


@each_operation
@pytest.mark.parametrize("position", [0, 1])
def test_derivative(function, position):
    rate, step = derivative(function, 2, position), 1e-5
    for point in POINTS:
        move = step * np.eye(2)[position]
        expected = (function(*(point + move)) - function(*(point - move))) / (2.0 * step)
        assert_allclose(rate(point)[0], expected, rtol=1e-8, atol=1e-9)


def test_derivative_at_corners():
    """A square root at zero has the rate zero, as rows that coincide have."""
    assert derivative(lambda x: np.sqrt(x * x), 1)([0.0]) == (0.0,)
    assert derivative(lambda x: np.abs(x), 1)([-2.0]) == (-1.0,)
    assert derivative(lambda x, y: np.maximum(x, y), 2)([1.0, 1.0]) == (0.0,)
    assert derivative(lambda x, y: np.maximum(x, y), 2, 1)([1.0, 1.0]) == (1.0,)
    assert derivative(lambda x, y: np.minimum(x, y), 2)([1.0, 1.0]) == (0.0,)
    assert derivative(lambda x, y: np.minimum(x, y), 2, 1)([1.0, 1.0]) == (1.0,)
    assert derivative(lambda x: _special.arc(x)[0], 1)([0.0])[0] < np.inf
    assert derivative(lambda x: _special.arc(x)[1], 1)([0.0]) == (0.0,)
    assert np.isfinite(derivative(lambda x: _special.arc(x)[0], 1)([1.0])[0])
    assert derivative(lambda y: _special.angle(y, 0.0), 1)([0.0]) == (0.0,)


@pytest.mark.parametrize("h", [1e-200, 1e-12, 0.1, 0.499, 0.501, 0.9, 1.0 - 1e-9])
def test_derivative_of_arc(h):
    """Against high precision: ``dt = dg / sqrt(g (1 - g))``, ``dwedge = t sin t dt``."""
    actual = derivative(_special.arc, 1)([h])
    with mp.workdps(60):
        sign = 1 - 2 * (h > 0.5)
        g = 1 - mpf(h) if h > 0.5 else mpf(h)
        t, dt = 2 * mp.asin(mp.sqrt(g)), sign / mp.sqrt(g * (1 - g))
        rates = 0, sign, dt, mp.cos(t) * dt, t * mp.sin(t) * dt
        expected = [float(rate) for rate in rates]
    assert_allclose(actual, expected, rtol=1e-14)


@pytest.mark.parametrize("h", [1e-200, 1e-12, 0.1, 0.499, 0.501, 0.9, 1.0 - 1e-9])
def test_derivative_of_bent_arc(h):
    actual = derivative(lambda h: _special.bent_arc(h, 0.7), 1)([h])
    with mp.workdps(60):
        g = mpf(h)
        t, dt = 2 * mp.asin(mp.sqrt(g)), 1 / mp.sqrt(g * (1 - g))
        rates = 2 - 2 * mpf(0.7) / mp.pi * t, dt, mp.cos(t) * dt
        expected = [float(rate) for rate in rates]
    assert_allclose(actual, expected, rtol=1e-14)


@pytest.mark.parametrize("h", [-1e-17, 0.0, 1.0 - 1e-16, 1.0, 1.0 + 1e-15])
def test_derivative_of_arc_at_the_ends(h):
    """Rounding in the rate of the argument does not blow up."""
    assert_array_equal(derivative(_special.arc, 1)([h]), 0.0)
    assert_array_equal(derivative(lambda h: _special.bent_arc(h, 0.7), 1)([h]), 0.0)


def test_branches_are_refused():
    """They would be traced one way, silently."""
    for branching in (lambda x: x if x > 0.0 else -x, lambda x: np.where(x > 0.0, x, -x)):
        with pytest.raises(TypeError, match="free of branches"):
            traced(branching, 1)


# --- Derivatives along several inputs -------------------------------------------------------------


def test_seeds():
    """Rates may be numbers or nodes; inputs without one stay as they are."""
    (x, y, dy), (output,) = traced(lambda x, y, dy: x * y + np.exp(y), 3)
    (rate,) = differentiate([output], {x: 2.0, y: dy})
    made = build(source("rate", {"x": names(3)}, rate))
    assert made([0.3, 0.7, 5.0]) == pytest.approx(2.0 * 0.7 + 5.0 * (0.3 + np.exp(0.7)), rel=1e-15)
    (rate,) = differentiate([output], {y: 0.0, x: 1.0})
    assert build(source("rate", {"x": names(3)}, rate))([0.3, 0.7, 5.0]) == 0.7


def test_outputs_that_do_not_move():
    (x, y), outputs = traced(lambda x, y: (x, np.sqrt(x), x * y, x > y), 2)
    by_x, by_sqrt, by_product, by_comparison = differentiate(outputs, {y: 1.0})
    assert by_x == by_sqrt == 0.0 and by_product is x and by_comparison == 0.0
    assert differentiate([y, x], {y: 3.0}) == [3.0, 0.0]


def test_second_derivative():
    (x,), (output,) = traced(lambda x: np.sin(x) * np.exp(x), 1)
    (first,) = differentiate([output], {x: 1.0})
    (second,) = differentiate([first], {x: 1.0})
    expected = 2.0 * np.cos(0.4) * np.exp(0.4)
    assert build(source("second", {"x": names(1)}, second))([0.4]) == pytest.approx(
        expected, rel=1e-14
    )


# --- Source code ----------------------------------------------------------------------------------


def test_source():
    x, y = Graph().inputs("x", "y")
    text = source("name", {"x": (), "y": ()}, ((x, 2), np.sqrt(x * y) + -1.5, (), y))
    assert text.startswith("def name(x, y):\n    t")
    assert text.count("\n") == 5  # two operations and a sum between the first and last line
    space = {"np": np}
    exec(text, space)
    assert space["name"](4.0, 9.0) == ((4.0, 2.0), 4.5, (), 9.0)
    assert build(text)(4.0, 9.0) == space["name"](4.0, 9.0)


def test_parameters_are_unpacked():
    x, y, z = Graph().inputs("x", "y", "z")
    made = build(source("made", {"pair": ["x", "y"], "z": (), "one": ["u"]}, x - y * z))
    assert made((7.0, 2.0), 3.0, (1.0,)) == 1.0


def test_source_has_only_what_is_needed():
    x, y = Graph().inputs("x", "y")
    np.exp(y)
    assert "exp" not in source("name", {"x": ()}, np.sqrt(x))
    assert statements(np.sqrt(x), Writer())[0] == ["x"]


def test_statements():
    """Inputs in order of use, one line for each operation, and the texts of the results."""
    x, y = Graph().inputs("x", "y")
    inputs, lines, texts = statements((np.sqrt(x * y), (x, 2.0)), Writer())
    assert inputs == ["x", "y"] and len(lines) == 2
    assert lines[0].endswith("= x * y") and texts[1] == ("x", "2.0")


def run_scalars(outputs, single, **inputs):
    """Values of the statements for compiled loops, all of which must have the wanted precision."""
    number = np.float32 if single else np.float64
    writer = Scalars(single)
    _, lines, texts = statements(outputs, writer)
    space = {"np": np, "F": number, "select": lambda truth, yes, no: yes if truth else no}
    space |= {name: eval(text, space) for text, name in writer.constants.items()}
    space |= {name: number(value) for name, value in inputs.items()}
    for line in lines:
        exec(line, space)
        assert isinstance(space[line.split(" = ")[0]], (number, np.bool_))
    return [eval(text, space) for text in texts]


@pytest.mark.parametrize("single", [False, True])
@each_operation
def test_scalars(function, single):
    outputs = traced(function, 2)[1]
    for point in POINTS:
        result = run_scalars(outputs, single, x0=point[0], x1=point[1])
        rtol, atol = (2e-5, 1e-6) if single else (1e-14, 1e-15)
        assert_allclose(result[0], function(*point), rtol=rtol, atol=atol)


@pytest.mark.parametrize("truth", [0.0, 2.0])
def test_scalars_select(truth):
    """Products with truth values do not turn what is not selected to NaN."""
    x, y = Graph().inputs("x0", "x1")
    outputs = (y * (x > 1.0), (x > 1.0) * y, (x > 1.0) * (y > x), (x > 1.0) + y)
    result = run_scalars(outputs, False, x0=truth, x1=np.inf)
    assert result == ([np.inf, np.inf, 1.0, np.inf] if truth else [0.0, 0.0, 0.0, np.inf])


def test_small_constants_in_single_precision():
    (x,) = Graph().inputs("x")
    writer = Scalars(single=True)
    statements((x + TINY) * (x > ROUNDING), writer)
    assert set(writer.constants) == {"F(1e-37)", "F(1e-06)"}


# --- Formulas -------------------------------------------------------------------------------------


@pytest.fixture
def power():
    """A formula with two results and a rule that is twice the derivative, to be told apart."""

    def rule(arguments, rates, result):
        (x,), (dx,) = arguments, rates
        square = result.graph.node("item", result, 0)
        return 4.0 * x * dx, 6.0 * square * dx

    @formula(rule, n_results=2)
    def power(x):
        """Square and cube."""
        return x * x, x * x * x

    return power


def test_formula_on_numbers(power):
    assert power(3.0) == (9.0, 27.0)
    assert power.__name__ == "power" and power.__doc__ == "Square and cube."
    assert_array_equal(power(np.array([1.0, 2.0])), [[1.0, 4.0], [1.0, 8.0]])


def test_formula_is_kept_whole(power):
    """Until it is expanded; then only its operations are left."""
    _, outputs = traced(lambda x: tuple(y + 1.0 for y in power(2.0 * x)), 1)
    kinds = [node.operation for node in outputs[0].graph.nodes]
    assert kinds.count(power) == 1 and "item" in kinds
    expanded = expand(outputs)
    kinds = [node.operation for node in expanded[0].graph.nodes]
    assert power not in kinds and "item" not in kinds
    assert rebuilt(lambda x: tuple(y + 1.0 for y in power(2.0 * x)), 1)([1.5]) == (10.0, 28.0)


def test_rule_of_a_formula(power):
    assert derivative(lambda x: power(2.0 * x), 1)([1.5]) == (24.0, 108.0)
    (_, y), outputs = traced(lambda x, y: power(x), 2)
    assert differentiate(outputs, {y: 1.0}) == [0.0, 0.0]
