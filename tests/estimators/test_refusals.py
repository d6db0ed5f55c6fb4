"""What both estimators refuse, with the value seen."""

import numpy as np
import pytest
from both_estimators import both, data
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics.pairwise import rbf_kernel

from sklearn_ntk import NTKKernel
from sklearn_ntk.activations import Erf
from sklearn_ntk.layers import Dense

# --- Bad input -----------------------------------------------------------------------------------

BAD_PARAMETERS = [
    ({"kernel": "rbf"}, "'kernel' parameter .* must be .*'ntk'.* Got 'rbf'"),
    ({"kernel": rbf_kernel}, "'kernel' parameter .* Got <function rbf_kernel"),
    ({"kernel": NTKKernel}, "'kernel' parameter .* Got <class .*NTKKernel"),
    ({"kernel": None}, "'kernel' parameter .* Got None"),
    ({"depth": 2.5}, "'depth' parameter .* Got 2.5"),
    ({"depth": -1}, "'depth' parameter .* Got -1"),
    ({"depth": True}, "depth must be an integer|'depth' parameter .* Got True"),
    ({"activation": "rellu"}, "Unknown activation 'rellu': choose one of abs, .*relu"),
    ({"weight_var": 0.0}, "'weight_var' parameter .* Got 0.0"),
    ({"weight_var": "2"}, "'weight_var' parameter .* Got '2'"),
    ({"weight_var": np.inf}, "weight_var.* [Gg]ot inf"),
    ({"weight_var": np.nan}, "weight_var.* [Gg]ot nan"),
    ({"bias_var": -0.1}, "'bias_var' parameter .* Got -0.1"),
    ({"n_frozen": -1}, "'n_frozen' parameter .* Got -1"),
    ({"n_frozen": 3}, "n_frozen must be less than .* 3; got 3"),
    ({"architecture": "mlp"}, "'architecture' parameter .* Got 'mlp'"),
    ({"architecture": ("relu", Dense())}, "must follow a layer with weights"),
    ({"alpha": -0.5}, "'alpha' parameter .* Got -0.5"),
    ({"alpha": "best"}, "'alpha' parameter .* Got 'best'"),
    ({"alpha": None}, "'alpha' parameter .* Got None"),
    ({"alpha": np.nan}, "alpha.* [Gg]ot nan"),
    ({"training_time": -1.0}, "'training_time' parameter .* Got -1.0"),
    ({"training_time": np.inf}, "'training_time' parameter .* Got inf"),
    ({"training_time": np.nan}, "'training_time' parameter .* Got nan"),
    ({"training_time": "best"}, "'training_time' parameter .* Got 'best'"),
    ({"training_time": 1.0, "learning_rate": 0.0}, "'learning_rate' parameter .* Got 0.0"),
]


@both
@pytest.mark.parametrize("params, message", BAD_PARAMETERS, ids=[row[1] for row in BAD_PARAMETERS])
def test_bad_parameters_are_named_in_fit(cls, params, message):
    model = clone(cls(**params))
    with pytest.raises(ValueError, match=message):
        model.fit(*data())


@both
@pytest.mark.parametrize("activation", [3, None, Erf], ids=str)
def test_activation_of_another_type_is_refused(cls, activation):
    with pytest.raises(TypeError, match=r"sklearn_ntk\.activations"):
        cls(activation=activation).fit(*data())


BAD_ROWS = [
    ([["a", "b"]] * 40, ValueError, "could not convert string to float: 'a'"),
    (np.array([["a", "1"]] * 40), ValueError, r"columns \[0\]: encode them"),
    (np.ones(40), ValueError, "Expected 2D array, got 1D array"),
    (np.ones((40, 2, 2)), ValueError, "dim 3"),
    (sparse.csr_array(np.ones((40, 2))), TypeError, "[Ss]parse"),
    (np.full((40, 2), np.nan), ValueError, "NaN"),
    (np.full((40, 2), np.inf), ValueError, "infinity"),
    (np.ones((40, 2)) * 1j, ValueError, "Complex data not supported"),
    (np.empty((0, 2)), ValueError, r"0 sample\(s\)"),
    (np.empty((40, 0)), ValueError, r"0 feature\(s\)"),
    (np.ones((39, 2)), ValueError, "inconsistent numbers of samples"),
    (np.full((40, 2), 1e200), ValueError, "overflows.* scale the data"),
]


@pytest.mark.slow
@both
@pytest.mark.parametrize("X, error, message", BAD_ROWS, ids=[row[2] for row in BAD_ROWS])
def test_bad_rows_are_named(cls, X, error, message):
    good, y = data()
    with pytest.raises(error, match=message):
        cls(squash=None).fit(X, y)
    if "inconsistent" not in message:
        model = cls(squash=None).fit(good, y)
        with pytest.raises(error, match=message):
            model.predict(X)


@both
@pytest.mark.parametrize(
    "weights, message",
    [
        (np.full(40, -1.0), "sample_weight must be >= 0; got -1"),
        (np.arange(40) - 0.25, "sample_weight must be >= 0; got -0.25"),
        (np.zeros(40), "all zero: give some row a positive weight|at least one non-zero number"),
        (np.ones(39), "sample_weight.shape == .* expected"),
        (np.ones((40, 2)), "[Ss]ample.weight.* must be 1D"),
        (np.full(40, np.nan), "sample_weight contains NaN"),
        (np.full(40, np.inf), "sample_weight contains infinity"),
    ],
)
def test_bad_weights_are_named(cls, weights, message):
    X, y = data()
    for model, rows in ((cls(), X), (cls(kernel="precomputed"), np.eye(40))):
        with pytest.raises(ValueError, match=message):
            model.fit(rows, y, sample_weight=weights)


@pytest.mark.slow
@both
def test_bad_precomputed_matrices_are_named(cls):
    X, y = data()
    model = cls(kernel="precomputed")
    with pytest.raises(ValueError, match=r"square matrix in fit; got shape \(40, 2\)"):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"must be positive definite.* eigenvalue is -2.*alpha"):
        cls(kernel="precomputed", alpha=1.0).fit(np.diag([*np.ones(39), -3.0]), y)
    with pytest.raises(ValueError, match="must be positive definite"):
        cls(kernel="precomputed", alpha=0.5).fit(-np.eye(40), y)
    with pytest.raises(ValueError, match="symmetric in fit; opposite entries differ by up to 1:"):
        model.fit(np.triu(np.ones((40, 40))), y)
    with pytest.raises(ValueError, match=r"2 features, but .* expecting 40"):
        model.fit(NTKKernel()(X), y).predict(X)
