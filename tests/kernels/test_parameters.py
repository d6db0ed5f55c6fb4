"""Kernels as values of Python and of scikit-learn, and what they refuse."""

import pickle

import numpy as np
import pytest
from kernels_of_all_kinds import BIASES_TIED, KERNELS, every_kernel, rows
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_ntk import NNGPKernel, NTKKernel, NTKRandomFeatures
from sklearn_ntk.activations import Abs, Erf, Identity, ReLU
from sklearn_ntk.layers import Dense, Residual

# --- Values in the sense of Python and scikit-learn ----------------------------------------------


@every_kernel
def test_clone_is_equal_and_apart(kernel):
    copy = clone(kernel)
    assert copy == kernel and copy is not kernel and type(copy) is type(kernel)
    assert_array_equal(copy.theta, kernel.theta)
    assert_array_equal(copy.bounds, kernel.bounds)
    assert_array_equal(copy(rows()), kernel(rows()))


@every_kernel
def test_pickle_round_trip(kernel):
    copy = pickle.loads(pickle.dumps(kernel))
    assert copy == kernel
    assert repr(copy) == repr(kernel)
    assert_array_equal(copy(rows()), kernel(rows()))


def test_clone_after_set_params_follows_the_change():
    kernel = NTKKernel()
    kernel.set_params(weight_var=1.5, weight_var_bounds=(1e-2, 1e2), depth=1)
    copy = clone(kernel)
    assert copy == kernel and copy.depth == 1
    assert_allclose(copy.bounds[1], np.log([1e-2, 1e2]))


def test_kernels_of_all_kinds_differ():
    kernels = [*KERNELS.values(), NTKKernel(bias_var=0.2), NTKKernel(n_frozen=1)]
    for i, kernel in enumerate(kernels):
        assert [other == kernel for other in kernels] == [j == i for j in range(len(kernels))]


@pytest.mark.parametrize("other", [Abs(), Identity(), ReLU(2.0), "relu"])
def test_equality_looks_at_the_type_of_the_activation(other):
    kernel = NTKKernel(activation=ReLU())
    assert kernel == NTKKernel(activation=ReLU(1.0))
    assert kernel != NTKKernel(activation=other)
    network, changed = (Dense(), ReLU(), Dense()), (Dense(), other, Dense())
    assert NTKKernel(architecture=network) == NTKKernel(architecture=tuple(network))
    assert NTKKernel(architecture=network) != NTKKernel(architecture=changed)


def test_repr_names_what_distinguishes_the_kernel():
    text = repr(NTKKernel(2, "erf", 1.23456, 0.5, n_frozen=1))
    assert text == "NTKKernel(depth=2, activation='erf', n_frozen=1, weight_var=1.23, bias_var=0.5)"
    text = repr(NNGPKernel(activation=ReLU(0.5)) + WhiteKernel(2.0))
    assert "activation=ReLU(gain=0.5)" in text and "WhiteKernel(noise_level=2)" in text
    text = repr(NTKKernel(architecture=BIASES_TIED))
    assert "architecture=(Dense(weight_var=1.4" in text and "depth" not in text
    assert "n_frozen" not in text


def test_get_and_set_params():
    kernel = NNGPKernel(depth=1, activation="erf")
    params = kernel.get_params()
    assert set(params) == {
        *("depth", "activation", "weight_var", "bias_var", "column_layers", "architecture"),
        *("weight_var_bounds", "bias_var_bounds", "dtype", "device", "verbose"),
        *("length_scale", "length_scale_bounds"),
    }
    assert NNGPKernel(**params) == kernel
    assert set(NTKKernel().get_params()) == {*params, "n_frozen"}
    with pytest.raises(ValueError, match="Invalid parameter"):
        kernel.set_params(n_frozen=1)


def test_params_of_nested_kernels_have_paths():
    kernel = (NTKKernel() + WhiteKernel(0.5)) * RBF()
    params = kernel.get_params()
    assert params["k1__k1__depth"] == 2 and params["k1__k1__n_frozen"] == 0
    kernel.set_params(k1__k1__depth=1, k1__k1__activation="erf", k1__k2__noise_level=2.0)
    assert kernel == (NTKKernel(1, "erf") + WhiteKernel(2.0)) * RBF()


# --- Bad input -----------------------------------------------------------------------------------

BAD_PARAMETERS = [
    (
        {"activation": "rellu"},
        ValueError,
        r"Unknown activation 'rellu': choose one of abs, .*erf.*relu.*Did you mean 'relu'\?",
    ),
    ({"activation": 3}, TypeError, "sklearn_ntk.activations.*got 3"),
    ({"activation": None}, TypeError, "sklearn_ntk.activations.*got None"),
    ({"activation": ReLU}, TypeError, "ReLU.*sklearn_ntk.activations"),
    ({"activation": ReLU(np.nan)}, ValueError, "gain of ReLU must be .*; got nan"),
    ({"activation": Erf("1")}, ValueError, "scale of Erf must be .*; got '1'"),
    *(
        ({"weight_var": bad}, ValueError, f"weight_var must be a finite number > 0; got {shown}")
        for bad, shown in [
            (-1.5, "-1.5"),
            (0, "0"),
            (np.nan, "nan"),
            (np.inf, "inf"),
            ("2", "'2'"),
            (None, "None"),
            (True, "True"),
            (1j, "1j"),
            ([1.0], r"\[1.0\]"),
        ]
    ),
    *(
        ({"bias_var": bad}, ValueError, f"bias_var must be a finite number >= 0; got {shown}")
        for bad, shown in [(-0.1, "-0.1"), (np.nan, "nan"), (np.inf, "inf"), ("0", "'0'")]
    ),
    *(
        ({"depth": bad}, ValueError, f"depth must be an integer >= 0; got {shown}")
        for bad, shown in [(2.5, "2.5"), (2.0, "2.0"), (True, "True"), (-1, "-1"), ("3", "'3'")]
    ),
    ({"n_frozen": 1.0}, ValueError, "n_frozen must be an integer >= 0; got 1.0"),
    *(
        ({"length_scale": bad}, ValueError, f"length_scale must be None, a finite .*; got {shown}")
        for bad, shown in [
            (0.0, "0.0"),
            (-1, "-1"),
            (np.inf, "inf"),
            ([1.0, np.nan, 1.0], "nan"),
            ([1.0, 0.0, 1.0], r"\[1.0, 0.0, 1.0\]"),
            ("2", "'2': make it a number"),
            ([1.0, None], "None"),
            ([], r"\[\]"),
            ([[1.0, 2.0]], r"shape \(1, 2\)"),
        ]
    ),
    ({"n_frozen": -1}, ValueError, "n_frozen must be an integer >= 0; got -1"),
    ({"n_frozen": 3}, ValueError, "n_frozen must be less than .*, which is 3; got 3"),
    ({"architecture": 5}, TypeError, "architecture must be a tuple of layers; got 5"),
    ({"architecture": Dense}, TypeError, "architecture must be a tuple of layers; got .*Dense"),
    ({"architecture": ()}, ValueError, "a network must have layers. Append Dense"),
    (
        {"architecture": ("identity",)},
        ValueError,
        "NTK of a network without a trained layer is zero",
    ),
    ({"architecture": ("relu", Dense())}, ValueError, r"architecture\[0\].*Put Dense\(\) before"),
    ({"architecture": (Dense(), 3)}, TypeError, r"architecture\[1\]: 3 is neither a layer nor"),
    ({"architecture": (Dense,)}, TypeError, r"architecture\[0\]: .* is neither a layer nor"),
    ({"architecture": (Dense(-1.0),)}, ValueError, r"architecture\[0\]: weight_var .* got -1.0"),
    (
        {"architecture": (Dense(), Residual(("relu",)), Dense())},
        ValueError,
        r"architecture\[1\]: one path of a Residual must end .*End the body in Dense",
    ),
    (
        {"architecture": (Dense(), Residual(("relu", Dense(0.1, "x"))), Dense())},
        ValueError,
        r"architecture\[1\].body\[1\]: bias_var .* got 'x'",
    ),
]


@pytest.mark.parametrize("params, error, message", BAD_PARAMETERS, ids=str)
def test_bad_parameters_are_named_when_used(params, error, message):
    kernel = clone(NTKKernel(**params))  # the constructor accepts anything, as clone demands
    for use in (kernel, kernel.diag, lambda X: kernel.theta):
        with pytest.raises(error, match=message) as caught:
            use(rows())
        assert "\n" not in str(caught.value)


BAD_ROWS = [
    ([[np.nan, 1.0]], ValueError, "NaN"),
    ([[np.inf, 1.0]], ValueError, "infinity"),
    (np.ones(3), ValueError, "Expected 2D array, got 1D array"),
    (np.ones((2, 2, 2)), ValueError, "dim 3"),
    (sparse.csr_array(np.eye(2)), TypeError, "[Ss]parse.*dense"),
    (np.empty((0, 2)), ValueError, r"0 sample\(s\)"),
    (np.empty((2, 0)), ValueError, r"0 feature\(s\)"),
    (np.eye(2) * 1j, ValueError, "Complex data not supported"),
    ([["a", "b"]], ValueError, "could not convert string to float: 'a'"),
    (None, ValueError, "Expected 2D array"),
    (np.full((1, 2), 1e200), ValueError, "overflows.* scale the data"),
]
BAD_ROWS_IDS = [
    "nan",
    "inf",
    "1d",
    "3d",
    "sparse",
    "empty",
    "thin",
    "complex",
    "text",
    "none",
    "big",
]


@pytest.mark.parametrize("X, error, message", BAD_ROWS, ids=BAD_ROWS_IDS)
def test_bad_rows_are_named(X, error, message):
    kernel = NTKKernel()
    uses = [kernel, kernel.diag, lambda X: kernel(X, eval_gradient=True)]
    uses += [] if X is None else [lambda X: kernel(np.eye(2), X), lambda X: kernel(X, np.eye(2))]
    for use in uses:
        with pytest.raises(error, match=message):
            use(X)


FRAMES = {
    "text": {"a": [1.0, 2.0], "city": ["x", None]},
    "category": {"city": ("category", ["x", "y"]), "a": [1.0, 2.0]},
    "time": {"a": [1.0, 2.0], "city": ("datetime64[ns]", ["2020", "2021"])},
    "zone": {"city": ("datetime64[ns, UTC]", ["2020", "2021"]), "a": [1.0, 2.0]},
    "times": {"city": ("datetime64[ns]", ["2020", "2021"])},
}


@pytest.mark.parametrize("columns", FRAMES.values(), ids=FRAMES)
def test_columns_that_are_no_numbers_are_named(columns):
    pd = pytest.importorskip("pandas")
    columns = {
        name: pd.Series(each[1], dtype=each[0]) if isinstance(each, tuple) else each
        for name, each in columns.items()
    }
    X = pd.DataFrame(columns)
    for use in (NTKKernel(), NTKKernel().diag, NTKRandomFeatures(10).fit_transform):
        with pytest.raises(ValueError, match=r"X must have .* \['city'\]: .*OneHotEncoder"):
            use(X)
    features = NTKRandomFeatures(10).fit(np.ones((2, X.shape[1])))
    with pytest.raises(ValueError, match=r"X must have .* \['city'\]: .*OneHotEncoder"):
        features.transform(X)


def test_columns_of_numbers_of_other_types():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": pd.Categorical([1, 2]), "b": ["1", "2"], "c": pd.array([1, 2], "Int64")})
    assert_array_equal(NTKKernel()(X), NTKKernel()(np.outer([1.0, 2.0], np.ones(3))))
    with pytest.raises(ValueError, match=r"columns \[1\]"):
        NTKKernel()(np.array([[1.0, "a"], [2.0, "b"]], dtype=object))


@pytest.mark.parametrize("Y", [[[np.nan] * 3], [[None, {}, 1.0]], np.array([["a", "b", "c"]])])
def test_bad_rows_on_the_right_are_named(Y):
    for use in (NTKKernel(), NTKKernel().gradient_x):
        with pytest.raises(ValueError, match=r"\bY\b") as caught:
            use(rows(), Y)
        assert "X" not in str(caught.value)


def test_columns_must_match():
    with pytest.raises(ValueError, match="same number of columns; got 3 and 2"):
        NTKKernel()(rows(), rows(d=2))


def test_no_gradient_between_two_sets():
    with pytest.raises(ValueError, match="Gradient can only be evaluated when Y is None"):
        NTKKernel()(rows(), rows(), eval_gradient=True)


@pytest.mark.parametrize("bad", ["2", None, [1.0]], ids=str)
def test_repr_shows_bad_values_instead_of_failing(bad):
    assert f"weight_var={bad!r}" in repr(NTKKernel(weight_var=bad))


@pytest.mark.parametrize(
    "bounds",
    [
        *("fix", None, (1, 2, 3), (2.0, 1.0), (-1.0, 1.0), (0.0, 1.0), (np.nan, 1.0)),
        *([(1, 2), (2, 3)], [(0.1, 2)] * 3, np.ones((1, 1, 2)), [], [(1, 2), (3,)]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["weight_var", "bias_var", "length_scale"])
def test_bounds_that_are_none(name, bounds):
    kernel = NTKKernel(1, length_scale=1.0, **{f"{name}_bounds": bounds})
    with pytest.raises(ValueError, match=f"{name}_bounds must be 'fixed' or one pair of .* > 0"):
        kernel.theta  # noqa: B018


def test_number_of_bounds_of_length_scales():
    for bounds in ((0.1, 2.0), [(0.1, 2.0)], [(0.1, 2.0), (1.0, 3.0)]):
        kernel = NTKKernel(1, length_scale=[1.0, 2.0], length_scale_bounds=bounds)
        assert kernel.bounds.shape == (4, 2)
    with pytest.raises(ValueError, match=r"length_scale_bounds must be .* or 2 such pairs; got"):
        NTKKernel(1, length_scale=[1.0, 2.0], length_scale_bounds=[(0.1, 2.0)] * 3).theta  # noqa: B018


@pytest.mark.parametrize("name", ["weight_var", "bias_var", "length_scale"])
def test_kernels_with_bounds_of_other_shapes_differ(name):
    shapes = (1.0, 2.0), [(1.0, 2.0)] * 2, [(1.0, 2.0)] * 3
    for make in (list, np.array):
        one, two, three = (NTKKernel(**{f"{name}_bounds": make(each)}) for each in shapes)
        assert one != two != three and clone(two) == two
    assert one != NTKKernel(**{f"{name}_bounds": "fixed"})
