"""What functions beyond the estimators take, and how they refuse the rest: in one sentence."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor, architectures, layers
from sklearn_ntk.activations import Numerical, Polynomial
from sklearn_ntk.activations._registry import ACTIVATIONS
from sklearn_ntk.dynamics import GradientFlow
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import Conv, Dense, Input, Residual, lower
from sklearn_ntk.model_selection import precomputed

pd = pytest.importorskip("pandas")

X = np.arange(6.0).reshape(3, 2)
PROGRAM = lower(architectures.mlp(1))
K = NTKKernel(1)(X)

NO_NUMBERS = {
    "nan": [[np.nan, 1.0]],
    "inf": [[1.0, -np.inf]],
    "strings": [["a", "b"]],
    "digits": [["1", "2"]],
    "digits among objects": np.array([["1", 2.0]], dtype=object),
    "bytes": np.array([[b"1"]]),
    "complex": [[1j, 2.0]],
    "sparse": sparse.eye(2).tocsr(),
    "NA": pd.DataFrame({"a": [1, pd.NA], "b": [1, 2]}),
    "NA of integers": pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
    "NaT": pd.DataFrame({"a": [pd.NaT]}),
    "None": [[None, 1.0]],
    "nothing": None,
    "ragged": [[1.0, 2.0], [1.0]],
    "dates": np.array([["2020-01-01"]], dtype="datetime64[D]"),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", "y"])}),
    "too large": [[10**400, 1.0]],
    "too long": np.array([[np.longdouble(10) ** 400, 1.0]]),
    "masked": np.ma.masked_array([[1.0, 2.0]], mask=[[True, False]]),
    "dict": {"a": 1},
    "set": {1.0, 2.0},
    "object": object(),
}
NO_ROWS = NO_NUMBERS | {
    "scalar": 3.0,
    "one axis": [1.0, 2.0],
    "three axes": np.ones((2, 2, 2)),
    "no column": np.ones((2, 0)),
}
ROWS = {
    "list": [[0, 1], [2, 3], [4, 5]],
    "frame": pd.DataFrame(X, columns=["a", "b"]),
    "nullable": pd.DataFrame(X.astype(int)).astype("Int64"),
    "objects": X.astype(object),
    "integers": X.astype(np.uint8),
    "float32": X.astype(np.float32),
    "Fortran": np.asfortranarray(X),
    "read-only": np.frombuffer(X.tobytes()).reshape(3, 2),
    "unmasked": np.ma.masked_array(X),
}


def is_one_sentence(error):
    text = str(error.value)
    return "\n" not in text and text.endswith(".") and "; got " in text and text.count(". ") <= 1


# --- Rows -----------------------------------------------------------------------------------------

OF_ROWS = {
    "gram": lambda X: gram(PROGRAM, X),
    "gram with Y": lambda Y: gram(PROGRAM, X, Y),
    "diagonal": lambda X: diagonal(PROGRAM, X),
    "precomputed": lambda X: precomputed(NTKRegressor(NTKKernel(1)), X)[1],
}
of_rows = pytest.mark.parametrize("function", OF_ROWS.values(), ids=OF_ROWS)


@of_rows
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_rows(function, rows):
    assert_allclose(function(rows), function(X), rtol=1e-12)


@of_rows
@pytest.mark.parametrize("rows", NO_ROWS.values(), ids=NO_ROWS)
def test_no_rows(function, rows):
    rows = "nothing" if rows is None and function == OF_ROWS["gram with Y"] else rows
    with pytest.raises(ValueError, match=r"[XY] must be an array \(n, d\) of finite") as error:
        function(rows)
    assert is_one_sentence(error)


@pytest.mark.parametrize(
    ("X", "seen"),
    [
        (np.array([[1.0, 2.0], [2.0, {}]]), "{}: make it a number"),
        (np.array([[1, 10**400]], dtype=object), "1000.*: make it a number"),
        (np.ma.masked_array([[1.0, 2.0]], mask=[[True, False]]), "masked numbers: fill them in"),
        (pd.DataFrame({"a": [1, pd.NA]}), "<NA>: make it a number"),
    ],
    ids=["dict", "too large", "masked", "NA"],
)
def test_entries_of_kernels_that_are_no_numbers_are_named(X, seen):
    kernel = NTKKernel(1)
    for use in (kernel, kernel.diag, lambda X: kernel(np.eye(2), X)):
        with pytest.raises(ValueError, match=rf"X must be an array \(n, d\) .*; got .*{seen}"):
            use(X)


ODD = {
    "coefficients without axis": lambda: NTKKernel(1, Polynomial(np.array(2.0)))(X),
    "shortcut of numbers": lambda: lower((Residual((Dense(),), np.ones(2)), Dense())),
    "duration": lambda: NTKKernel(weight_var=np.timedelta64(1, "D"))(X),
    "count of durations": lambda: architectures.mlp(np.timedelta64(1, "D")),
    "too many": lambda: architectures.resmlp(10**400),
    "deep": lambda: NTKKernel(10**400)(X),
}


@pytest.mark.parametrize("use", ODD.values(), ids=ODD)
def test_odd_values(use):
    with pytest.raises((ValueError, TypeError), match=r"must be .*; got") as error:
        use()
    assert is_one_sentence(error)


@pytest.mark.parametrize("function", [gram, diagonal])
def test_other_arguments_of_gram_matrices(function):
    for program in (None, architectures.mlp(1), "relu"):
        with pytest.raises(TypeError, match=r"program must be a Program.*; got"):
            function(program, X)
    for get in (None, 5, "kernel", (), ("ntk", "ntk"), [["ntk"]], {"ntk"}, pd.NA, K, [pd.NA], [K]):
        with pytest.raises(ValueError, match="get must be 'ntk', 'nngp' or a tuple of them; got"):
            function(PROGRAM, X, get=get)
    for dtype in ("float16", None, int, "single precision", ["float64"], complex, pd.NA, K):
        with pytest.raises(ValueError, match="dtype must be 'float64' or 'float32'; got"):
            function(PROGRAM, X, dtype=dtype)
    for gradient in (None, "no", pd.NA, K, -1, 2, 1.0):
        with pytest.raises(ValueError, match="gradient must be True or False; got"):
            function(PROGRAM, X, gradient=gradient)
    assert len(function(PROGRAM, X, gradient=np.True_)) == 2
    for dtype in ("f4", np.float32, np.dtype("float32")):
        assert function(PROGRAM, X, dtype=dtype).dtype == np.float32
        assert NTKKernel(1, dtype=dtype)(X).dtype == np.float32
    assert isinstance(function(PROGRAM, X, get=["ntk"]), tuple)


def test_precomputed_leaves_the_estimator_alone():
    model = NTKClassifier(depth=1)
    twin, _ = precomputed(model, pd.DataFrame(X))
    assert twin.kernel == "precomputed" and model.kernel == "ntk"


# --- Training in time -----------------------------------------------------------------------------

Y = np.array([[1.0, 0.0], [2.0, 5.0], [4.0, 3.0]])
METHODS = {
    "coefficients": lambda flow, Y, time: flow.coefficients(Y, time)[0],
    "intercept": lambda flow, Y, time: flow.coefficients(Y, time)[1],
    "residuals": lambda flow, Y, time: flow.residuals(Y, time),
    "rotated": lambda flow, Y, time: flow.rotated(Y, time),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@each_method
def test_targets_keep_their_axes(method):
    flow = GradientFlow(K)
    expected = method(flow, Y, 0.3)
    for k in (0, 1):
        column = method(flow, Y[:, k], 0.3)
        assert np.shape(column) == expected.shape[:-1]
        assert_allclose(column, expected[..., k], rtol=1e-12)
    assert_array_equal(method(flow, Y.tolist(), 0.3), expected)
    assert_array_equal(method(flow, pd.DataFrame(Y), 0.3), expected)
    assert_array_equal(method(flow, Y[:, 0].astype(int), 0.3), method(flow, Y[:, 0], 0.3))
    assert_array_equal(method(flow, np.asfortranarray(Y), np.float32(0.5)), method(flow, Y, 0.5))
    one = GradientFlow([[2.0]])
    assert np.shape(method(one, [3.0], 1.0)) == np.shape(method(one, [[3.0]], 1.0))[:-1]


def test_trained_predictions():
    """The example that came out as nonsense: one column of targets."""
    rows = np.arange(5.0)[:, None]
    flow = GradientFlow(NTKKernel(1)(rows))
    dual, intercept = flow.coefficients(rows[:, 0], 10.0)
    assert dual.shape == (5,) and np.ndim(intercept) == 0
    model = NTKRegressor(NTKKernel(1), training_time=10.0).fit(rows, rows[:, 0])
    assert_allclose(NTKKernel(1)(rows) @ dual + intercept, model.predict(rows), rtol=1e-10)


@each_method
@pytest.mark.parametrize(
    "targets",
    [*(y for name, y in NO_NUMBERS.items() if name != "set"), Y[:2], Y[:, :, None], 1.0, []],
)
def test_no_targets(method, targets):
    with pytest.raises(ValueError, match=r"Y must be an array \(3,\) or \(3, k\) of fi") as error:
        method(GradientFlow(K), targets, 1.0)
    assert is_one_sentence(error)


@pytest.mark.parametrize("time", [-1.0, np.nan, "1", None, [1.0], True, 1j, pd.NA, 10**400])
def test_no_time(time):
    flow = GradientFlow(K)
    methods = [lambda flow, _, time: flow.variances(time)]
    methods += [lambda flow, _, time: flow.reduction(K, time)]
    for method in (*METHODS.values(), *methods):
        with pytest.raises(ValueError, match="time must be a number >= 0; got") as error:
            method(flow, Y, time)
        assert is_one_sentence(error)


@each_method
def test_infinite_time_is_the_end(method):
    flow = GradientFlow(K, alpha=0.1)
    for end in (np.inf, np.array(np.inf)):
        assert_allclose(method(flow, Y, end), method(flow, Y, 1e12), rtol=1e-6, atol=1e-9)


def test_weights():
    expected = GradientFlow(K, np.array([1.0, 2.0, 3.0])).coefficients(Y, 1.0)[0]
    for weights in ([1, 2, 3], pd.Series([1, 2, 3]), (1.0, 2.0, 3.0)):
        assert_array_equal(GradientFlow(K.tolist(), weights).coefficients(Y, 1.0)[0], expected)


@pytest.mark.parametrize(
    "weights",
    [
        [0, 1, 1],
        [-1, 1, 1],
        [1, 1],
        [[1], [1], [1]],
        2.0,
        [np.nan, 1, 1],
        ["1", "1", "1"],
        [1j] * 3,
    ],
    ids=str,
)
def test_no_weights(weights):
    with pytest.raises(ValueError, match=r"weights must be an array \(3,\) of positive n") as error:
        GradientFlow(K, weights)
    assert is_one_sentence(error)


@pytest.mark.parametrize(
    "matrix",
    [*NO_NUMBERS.values(), K[:2], K[0], np.triu(K), K[None], np.ones((0, 0)), 2.0],
)
def test_no_gram_matrix(matrix):
    with pytest.raises(ValueError, match=r"K must be a symmetric array \(n, n\) of fin") as error:
        GradientFlow(matrix)
    assert is_one_sentence(error)


def test_rounding_is_symmetric_enough():
    shifted = K * (1.0 + 1e-12 * np.arange(3.0))
    assert_allclose(GradientFlow(shifted).variances(1.0), GradientFlow(K).variances(1.0), rtol=1e-6)


@pytest.mark.parametrize(
    "number", [-1.0, np.nan, np.inf, None, "1", [1.0], True, 1j, pd.NA, 10**400]
)
def test_no_ridge_and_no_rate(number):
    with pytest.raises(ValueError, match="alpha must be a finite number >= 0; got") as error:
        GradientFlow(K, alpha=number)
    assert is_one_sentence(error)
    for rate in (number, 0.0):
        with pytest.raises(ValueError, match="learning_rate must be a finite number > 0; got"):
            GradientFlow(K, learning_rate=rate)


def test_cross():
    flow = GradientFlow(K)
    expected = flow.reduction(K[:2], 1.0)
    for found, part in zip(flow.reduction(K[:2].tolist(), 1), expected, strict=True):
        assert_array_equal(found, part)
    for cross in (K[0], K[:, :2], None, [["a"] * 3], [[np.nan] * 3]):
        with pytest.raises(ValueError, match=r"cross must be an array \(m, 3\) of fin") as error:
            flow.reduction(cross, 1.0)
        assert is_one_sentence(error)


# --- Networks -------------------------------------------------------------------------------------

ODD = [
    10**400,
    None,
    "a",
    -1,
    np.nan,
    np.inf,
    1j,
    [1],
    np.ones(2),
    np.array([True, False]),
    pd.NA,
    {},
]
ODD += [object, [[]], np.float64, 0.5]
ARGUMENTS = {
    "Conv": (3,),
    "ConvTranspose": (3,),
    "AvgPool": (2,),
    "SumPool": (2,),
    "Dropout": (0.5,),
}
ARGUMENTS["Residual"] = ((Dense(),),)
LAYERS = [name for name in layers.__all__ if name not in ("lower", "Input")]


def refuses_in_one_sentence(network):
    """Lower a network; an error must say where it is, and not come out of NumPy."""
    try:
        lower(network)
    except (ValueError, TypeError) as error:
        text = str(error)
        assert text.startswith("Invalid network at ") and "\n" not in text
        assert not any(word in text for word in ("ambiguous", "ufunc", "unhashable", "operand"))


@pytest.mark.parametrize("name", LAYERS)
def test_odd_parameters_of_layers(name):
    layer = getattr(layers, name)(*ARGUMENTS.get(name, ()))
    for field in layer._fields:
        for odd in ODD:
            if field != "strides" or odd is not ODD[0]:
                changed = layer._replace(**{field: odd})
                refuses_in_one_sentence((Input(8, 1), Dense(), changed, layers.Flatten(), Dense()))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_odd_parameters_of_activations(name):
    act = ACTIVATIONS[name]()
    for field in act._fields:
        for odd in ODD:
            refuses_in_one_sentence((Dense(), act._replace(**{field: odd}), Dense()))


def test_odd_layers():
    for odd in ODD:
        refuses_in_one_sentence((Dense(), odd, Dense()))
        refuses_in_one_sentence((Input(odd, 1), layers.Flatten(), Dense()))
        if not callable(odd):
            with pytest.raises(ValueError, match="fn of Numerical must be a function"):
                lower((Dense(), Numerical(odd), Dense()))


@pytest.mark.parametrize("number", [-1.0, np.nan, np.inf, None, "1", [1.0], True, 1j, 10**400])
@pytest.mark.parametrize("name", ["weight_var", "bias_var"])
def test_variances_of_the_network(name, number):
    with pytest.raises(ValueError, match=f"{name} must be a finite number >= 0; got"):
        lower(architectures.mlp(1), **{name: number})


@pytest.mark.parametrize("n_frozen", [-1, 0.5, None, "1", True, (0, -1), [0], (True,)])
def test_number_of_frozen_layers(n_frozen):
    with pytest.raises(ValueError, match="n_frozen must be a whole number >= 0; got"):
        lower(architectures.mlp(1), n_frozen=n_frozen)


def test_layer_without_parameters_is_not_an_empty_shortcut():
    """As a tuple it is empty; it must not be taken for the identity."""
    for shortcut in (layers.LayerNorm(), None, 0, {}):
        with pytest.raises(TypeError, match="shortcut must be a tuple of layers; got"):
            lower((Dense(), Residual(("relu", Dense()), shortcut), Dense()))
    networks = [(Dense(), Residual(("relu", Dense()), end), Dense()) for end in ((), [])]
    assert lower(networks[0]) == lower(networks[1])


SHAPES = {"cnn": (8, 8, 1), "myrtle": (8, 8, 1), "resnet": (8, 8, 1)}
SHAPES |= {"recurrent": (4, 1), "transformer": (4, 1)}
COUNTS = [("mlp", "depth"), ("resmlp", "depth"), ("cnn", "depth"), ("recurrent", "depth")]
COUNTS += [("resnet", "n_blocks"), ("resnet", "n_stages"), ("transformer", "n_blocks")]


def build(name, **parameters):
    function = getattr(architectures, name)
    return function(SHAPES[name], **parameters) if name in SHAPES else function(**parameters)


@pytest.mark.parametrize("name, parameter", COUNTS)
def test_numbers_of_layers(name, parameter):
    for number in (2.0, "2", None, [2], True, np.nan, pd.NA, np.ones(1)):
        with pytest.raises(ValueError, match=f"{parameter} must be a whole number; got"):
            build(name, **{parameter: number})
    with pytest.raises(ValueError, match=rf"{parameter} must be at least \d; got -1"):
        build(name, **{parameter: -1})
    assert build(name, **{parameter: np.int64(1)}) == build(name, **{parameter: 1})


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    function = getattr(architectures, name)
    for shape in (8, None, "881", {8: 1}, 8.0):
        with pytest.raises(TypeError, match=r"shape must be a tuple.*; got"):
            function(shape)
    assert function(list(SHAPES[name])) == function(SHAPES[name])


def test_choices():
    for odd in ODD:
        for call in (
            lambda odd=odd: architectures.cnn((8, 8, 1), 1, odd),
            lambda odd=odd: architectures.recurrent((4, 1), readout=odd),
            lambda odd=odd: architectures.myrtle((8, 8, 1), odd),
        ):
            with pytest.raises(ValueError, match=r"(readout|n_layers) must be one of .*; got"):
                call()


def test_strides_beyond_all_grids():
    network = (Input(4, 1), Conv(1, strides=10**6), layers.Flatten(), Dense())
    assert gram(lower(network), np.eye(4)).shape == (4, 4)
