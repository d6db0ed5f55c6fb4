"""Kernels and estimators of images."""

import pickle

import numpy as np
import pytest
from contract_positions import NETWORKS, B, W, fewer_networks, rows_of, to_layers
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.model_selection import GridSearchCV

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk.layers import Conv, Dense, Flatten, GlobalAvgPool, Input

# --- Properties of the matrices -------------------------------------------------------------------


@fewer_networks
def test_symmetric_and_positive(name):
    X = rows_of(name, 20)
    for kernel in (NTKKernel, NNGPKernel):
        kernel = kernel(architecture=to_layers(NETWORKS[name]), weight_var=W, bias_var=B)
        K = kernel(X)
        np.testing.assert_array_equal(K, K.T)
        np.testing.assert_array_equal(np.diag(K), kernel.diag(X))
        eigenvalues = np.linalg.eigvalsh(K)
        assert eigenvalues[0] >= -1e-12 * eigenvalues[-1]


# --- scikit-learn ---------------------------------------------------------------------------------

SMALL = (Input(4, 4, 1), Conv(3), "relu", GlobalAvgPool(), Dense())


def blobs(n, seed=0):
    """Images with a horizontal or a vertical bar somewhere, and which it is."""
    random = np.random.default_rng(seed)
    images, kinds = 0.1 * random.standard_normal((n, 4, 4)), random.integers(0, 2, n)
    for picture, kind, place in zip(images, kinds, random.integers(0, 4, n), strict=True):
        (picture if kind else picture.T)[place] += 1.0
    return images.reshape(n, -1), kinds


def test_clone_and_pickle():
    kernel = NTKKernel(architecture=(*SMALL[:3], Flatten(), Dense(0.5)))
    for other in (clone(kernel), pickle.loads(pickle.dumps(kernel))):
        assert other == kernel
        assert other.architecture == kernel.architecture
    assert repr(SMALL[0]) == "Input(4, 4, 1)"
    assert Flatten() != GlobalAvgPool()


def test_grid_search_over_architectures():
    """Each network is fitted and scored, and the best one refitted."""
    X, y = blobs(60)
    networks = [SMALL, (*SMALL[:3], Flatten(), Dense())]
    search = GridSearchCV(NTKClassifier(), {"architecture": networks}, cv=3).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert (scores > 0.9).all()
    assert search.best_estimator_.architecture == networks[scores.argmax()]
    assert (search.predict(X) == y).mean() > 0.9


def test_gaussian_process():
    """Hyperparameters of a network on images are fitted by their gradients."""
    X, y = blobs(30)
    kernel = NNGPKernel(architecture=SMALL) + WhiteKernel(0.01)
    process = GaussianProcessRegressor(kernel).fit(X, y)
    start = process.log_marginal_likelihood(kernel.theta)
    assert process.log_marginal_likelihood_value_ > start + 1.0


def test_regressor():
    X, y = blobs(40)
    model = NTKRegressor(architecture=SMALL).fit(X, y)
    mean, std = model.predict(X[:5], return_std=True)
    assert mean.shape == std.shape == (5,)
    assert model.score(*blobs(40, 2)) > 0.3


def test_rows_that_do_not_fill_the_shape():
    with pytest.raises(ValueError, match=r"Input\(4, 4, 1\) takes rows of 16 columns.*got 15"):
        NTKKernel(architecture=SMALL)(np.zeros((2, 15)))
