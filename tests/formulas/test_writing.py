"""Source code made from traces: on arrays, and as compiled loops have it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from traces import POINTS, each_operation, names, rebuilt, traced

from sklearn_ntk.engines.sources.tiles import Scalars
from sklearn_ntk.formulas.tracing import ROUNDING, TINY, Graph
from sklearn_ntk.formulas.writing import Writer, build, source, statements


@each_operation
def test_source_equals_direct_call(function):
    """On numbers and on arrays."""
    made = rebuilt(function, 2)
    grid = np.array(np.meshgrid([0.5, 1.0, 1.5, 3.0], [0.5, 1.0, 2.5])).reshape(2, -1)
    (actual,) = made(grid)
    assert_allclose(actual + 0.0 * grid[0], function(*grid), rtol=1e-14)
    for point in POINTS:
        assert_allclose(made(point)[0], function(*point), rtol=1e-14)


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


# --- Scalars --------------------------------------------------------------------------------------


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


@pytest.mark.slow
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
