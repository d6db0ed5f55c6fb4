"""Traced formulas: graphs, and their derivatives."""

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal
from traces import POINTS, each_operation, names, rebuilt, traced

from sklearn_ntk.formulas import special as _special
from sklearn_ntk.formulas.tracing import Graph, Node, differentiate, formula
from sklearn_ntk.formulas.writing import build, expand, source


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


def test_branches_are_refused():
    """They would be traced one way, silently."""
    for branching in (lambda x: x if x > 0.0 else -x, lambda x: np.where(x > 0.0, x, -x)):
        with pytest.raises(TypeError, match="free of branches"):
            traced(branching, 1)


# --- Derivatives along one input ------------------------------------------------------------------


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
