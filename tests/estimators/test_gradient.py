"""Gradients of predictions with respect to rows, against central differences."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_iris
from sklearn.gaussian_process.kernels import RBF

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk.architectures import cnn

X, LABELS = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
TARGETS = np.column_stack([1e3 * LABELS, np.sin(X[:, 0])])
NEW = X[::7] + 0.05
PAIR = LABELS < 2
SEARCH = {"depth": [1, 2], "activation": ["erf", "relu"]}


def assert_derivative(model, function, new=NEW):
    step, found = 1e-5, model.predict_gradient(new)
    ends = [function(new + move) - function(new - move) for move in step * np.eye(new.shape[1])]
    expected = np.stack(ends, axis=-1) / (2.0 * step)
    assert_allclose(found, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "model, y",
    [
        (NTKRegressor(), LABELS),
        (NTKRegressor(), TARGETS),
        (NTKRegressor("nngp", activation="erf", alpha=0.1), TARGETS),
        (NTKRegressor(NTKKernel(1, "erf", bias_var=0.0), alpha=1.0), LABELS),
        (NTKRegressor(training_time="auto"), TARGETS),
        (NTKRegressorCV(SEARCH), LABELS),
        (NTKRegressorCV(SEARCH), TARGETS),
    ],
    ids=["ntk", "ntk several", "nngp", "kernel", "trained", "search", "search several"],
)
def test_regressors(model, y):
    model.fit(X, y)
    assert_derivative(model, model.predict)
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.predict_gradient(X), model.predict_gradient(X))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [slice(None), PAIR], ids=["three", "two"])
@pytest.mark.parametrize(
    "model",
    [NTKClassifier(), NTKClassifier(loss="log_loss"), NTKClassifierCV(SEARCH)],
    ids=["squared error", "log loss", "search"],
)
def test_classifiers(model, rows):
    model.fit(X[rows], LABELS[rows])
    assert_derivative(model, model.decision_function)


def test_hinge():
    model = NTKClassifier(loss="hinge")
    model.fit(X[PAIR], LABELS[PAIR])
    assert_derivative(model, model.decision_function)
    with pytest.raises(ValueError, match=r"more than two classes are counts, .*; got 3 classes"):
        model.fit(X, LABELS).predict_gradient(X)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cls, readout",
    [
        *((NTKRegressor, "flatten"), (NTKClassifier, "pool")),
        pytest.param(NTKRegressor, "pool", marks=pytest.mark.thorough),
        pytest.param(NTKClassifier, "flatten", marks=pytest.mark.thorough),
    ],
)
def test_pixels(cls, readout):
    """Of digits whose pixels are means over 2 x 2, some of them zero."""
    images, digits = load_digits(n_class=3, return_X_y=True)
    images = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)[:40] / 16
    model = cls(architecture=cnn((4, 4, 1), 2, readout)).fit(images[:35], digits[:35])
    function = model.predict if cls is NTKRegressor else model.decision_function
    assert_derivative(model, function, images[35:])


@pytest.mark.parametrize("kernel", [2.0 * NTKKernel(), RBF()], ids=["product", "rbf"])
def test_other_kernels_are_named(kernel):
    model = NTKRegressor(kernel).fit(X, LABELS)
    with pytest.raises(ValueError, match=r"a kernel with a method gradient_x, .*; got .*RBF|NTK"):
        model.predict_gradient(X)


@pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])
def test_precomputed_kernels_have_none(cls):
    K = NTKKernel()(X)
    with pytest.raises(ValueError, match=r"gradient_x, .*; got a precomputed one"):
        cls("precomputed").fit(K, LABELS).predict_gradient(K)
