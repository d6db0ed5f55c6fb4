"""Traced formulas: graphs, their derivatives, and the source code made from them."""

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk.engines.sources.tiles import Scalars
from sklearn_ntk.formulas import special as _special
from sklearn_ntk.formulas.tracing import (
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


def test_simplifications_keep_types(xy):
    """What leaves a number as it is makes a number of a truth value."""
    truth = xy[0] > 0.0
    numbers = (truth * 1.0, 1.0 * truth, truth / 1.0, truth + 0.0, 0.0 + truth, truth - 0.0)
    for number in (*numbers, truth**1, truth**2 * 1.0):
        assert truth.is_truth and not number.is_truth
    assert all(number is numbers[0] for number in numbers)
    assert constant(truth * 0.0) == constant(0.0 / truth) == 0.0
    far = _special.arc(xy[0])[0]
    assert far.is_truth and not (1.0 * far).is_truth and not _special.arc(xy[0])[1].is_truth
    for both in (truth + far, truth * far, np.maximum(far, truth), np.minimum(far, truth)):
        assert both.is_truth and not (both * xy[1]).is_truth
    for number in (np.sqrt(truth), -truth, truth - far, truth / far, abs(truth), np.exp(far)):
        assert not number.is_truth


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
    "truths": lambda x, y: np.sqrt(1.0 * (x > y)) + np.exp((y > 1.0) / 1.0) + (0.0 + (x < y)) * x,
    "or": lambda x, y: ((x > y) + (x > 1.0)) * y + np.maximum(y > 1.0, x > y) / x,
    "and": lambda x, y: ((x > y) * (x > 1.0)) * y + np.minimum(y > 1.0, x < y) / x,
    "number of truths": lambda x, y: 1.0 * (x > y) + 1.0 * (x > 1.0) + (y > 1.0),
    "far": lambda x, y: np.sqrt(1.0 * _special.arc(0.3 * x)[0]) + y * _special.arc(0.2 * y)[0],
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


def random_number(rng, x, depth):
    """A random expression of the arrays or nodes ``x`` that is a number."""
    if depth == 0:
        return x[rng.integers(len(x))]
    kind = rng.integers(10)
    if kind < 4:
        truth = random_truth(rng, x, depth - 1)
        number = random_number(rng, x, depth - 1) if kind == 0 else (0.0, 1.0, 0.5)[kind - 1]
        joined = [
            lambda a, b: a * b, lambda a, b: b * a, lambda a, b: a + b, lambda a, b: b - a,
            lambda a, b: a / (1.0 + b), lambda a, b: np.maximum(a, b),
        ][rng.integers(6)]  # fmt: skip
        return joined(truth, number)
    a, b = (random_number(rng, x, depth - 1) for _ in range(2))
    functions = [
        lambda: a + b, lambda: a * b, lambda: a - 1.0 * b, lambda: np.sqrt(np.abs(a)),
        lambda: np.minimum(np.exp(np.minimum(a, 2.0)), b), lambda: a / (1.0 + b * b),
    ]  # fmt: skip
    return functions[kind - 4]()


def random_truth(rng, x, depth):
    """A random expression that is a truth value."""
    kind = rng.integers(4 if depth else 2)
    if kind < 2:
        a, b = (random_number(rng, x, max(depth - 1, 0)) for _ in range(2))
        return a > b if kind else a <= 0.5
    a, b = (random_truth(rng, x, depth - 1) for _ in range(2))
    return a + b if kind == 2 else a * b


@pytest.mark.parametrize("seed", range(60))
def test_random_expressions(seed):
    """Numbers stay numbers of full precision, however they are made, on arrays and on scalars."""
    points = np.random.default_rng(seed).standard_normal((2, 5))

    def both(*x):
        rng = np.random.default_rng(seed)
        return random_number(rng, x, 4), random_truth(rng, x, 3)

    expected = both(*points)
    found = build(source("made", {"x": names(2)}, traced(both, 2)[1], ["x0"]))(points)
    for part, wanted in zip(found, expected, strict=True):
        assert part.dtype == np.float64 and part.shape == (5,)
        assert_allclose(part, wanted, rtol=1e-13, atol=1e-14)
    for single in (False, True):
        result = [run_scalars(traced(both, 2)[1], single, x0=x, x1=y) for x, y in points.T]
        assert_allclose(np.transpose(result)[0], expected[0], rtol=1e-4 if single else 1e-13)


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
    assert differentiate([2.0, y, 3], {y: 1.0}) == [0.0, 1.0, 0.0]
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


def test_outputs_have_the_shape_of_an_input():
    """Constants, truth values, what depends on smaller inputs; what has it stays as it is."""
    x, y = Graph().inputs("x", "y")
    outputs = (x * 0.0 + 3.0, 2, (x > 1.0, y, np.sqrt(x)), 0.0 * x, x)
    made = build(source("made", {"x": (), "y": ()}, outputs, ["x"]))
    square = np.array([[1.0, 4.0], [9.0, 0.25]])
    three, two, (truth, column, root), zero, same = made(square, square[:, :1])
    assert same is square
    assert_array_equal(np.stack([three, two, zero]), np.multiply.outer([3.0, 2.0, 0.0], square**0))
    assert_array_equal(truth, [[0.0, 1.0], [1.0, 0.0]])
    assert_array_equal(column, [[1.0, 1.0], [9.0, 9.0]])
    assert_array_equal(root, np.sqrt(square))
    assert {part.dtype.name for part in (three, two, truth, column, root, zero)} == {"float64"}
    constants = build(source("made", {"x": ()}, (1.0, (0, True)), ["x"]))(square)
    assert [part.shape for part in (constants[0], *constants[1])] == [(2, 2)] * 3


def test_source_holds_only_what_is_to_come():
    x, y = Graph().inputs("x", "y")
    lines = source("name", {"x": (), "y": ()}, np.sqrt(x * y) * (x * y)).splitlines()
    assert [line.partition("; ")[2] for line in lines] == ["", "", "", "del t2, t3", ""]


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
