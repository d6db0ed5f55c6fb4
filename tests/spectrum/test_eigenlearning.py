"""Predicted learning curves: conservation, exact cases, simulations on spheres and on real data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import comb, eval_gegenbauer, roots_gegenbauer
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_ntk import NTKKernel
from sklearn_ntk.spectrum import Spectrum, learning_curve

KERNEL = NTKKernel(depth=2, bias_var=0.1)
D = 8
DEGREES = np.arange(9)


# --- The formulas ---------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 1e-6, 0.3, 100.0])
def test_shares_sum_to_the_rows(alpha):
    """But for the ridge: the conservation law."""
    values, sizes = 1.0 / np.arange(1.0, 300.0) ** 1.5, np.array([1, 10, 100, 250])
    curve = learning_curve(values, np.ones(299), sizes, alpha)
    lost = alpha / curve.effective_ridge
    assert_allclose(curve.learned.sum(axis=1) + lost, sizes, rtol=1e-10)
    assert_allclose(curve.train, (lost / sizes) ** 2 * curve.test, rtol=1e-12)


def test_equal_eigenvalues():
    """Without a ridge ``r = m (N - n) / n``, and the share ``n / N`` of everything is learned."""
    curve = learning_curve(np.full(50, 0.2), np.full(50, 0.02), [10, 25])
    assert_allclose(curve.effective_ridge, [0.8, 0.2], rtol=1e-10)
    assert_allclose(curve.learned, np.array([[0.2], [0.5]]) * np.ones(50), rtol=1e-10)
    assert_allclose(curve.test, 1.0 - np.array([10, 25]) / 50, rtol=1e-9)
    assert_allclose(curve.train, 0.0)


def test_linear_regression():
    """More rows than columns: the noise by columns and rows, as for Gaussian columns."""
    curve = learning_curve(np.ones(5), np.ones(5), [5, 10, 50], noise=0.5)
    assert_allclose(curve.test, [np.inf, 0.5 * 10 / 5, 0.5 * 50 / 45])
    assert_allclose(curve.train, 0.5 * np.array([0.0, 5 / 10, 45 / 50]))
    exact = learning_curve(np.ones(5), np.ones(5), [5, 10])
    assert_allclose(exact.test, 0.0)


def test_without_eigenvalues():
    curve = learning_curve([0.0, 0.0], [1.0, 2.0], [3])
    assert_allclose([curve.test[0], curve.train[0]], 3.0)
    curve = learning_curve([0.0], [2.0], [3], alpha=1.0)
    assert_allclose([curve.test[0], curve.train[0]], 2.0)


def test_extreme_scales():
    values, sizes = 1.0 / np.arange(1.0, 50.0) ** 2, [3, 20]
    expected = learning_curve(values, values, sizes, 0.1)
    for factor in (1e-150, 1e150):
        found = learning_curve(factor * values, values, sizes, factor * 0.1)
        assert_allclose(found.test, expected.test, rtol=1e-9)


@pytest.mark.parametrize(
    "arguments",
    [
        ([1.0, -1.0], [1.0, 1.0], [1]),
        ([1.0, 1.0], [1.0], [1]),
        ([1.0, 1.0], [1.0, -0.5], [1]),
        ([1.0, 1.0], [1.0, 1.0], [0]),
        ([1.0, 1.0], [1.0, 1.0], 3),
        ([1.0, 1.0], [1.0, 1.0], [1], -1.0),
        ([1.0, 1.0], [1.0, 1.0], [1], 0.0, np.nan),
    ],
)
def test_invalid_arguments(arguments):
    with pytest.raises(ValueError, match="; got "):
        learning_curve(*arguments)


# --- Simulations ----------------------------------------------------------------------------------


def on_sphere(rng, n):
    """Random rows of norm ``sqrt(D)``."""
    X = rng.normal(size=(n, D))
    return X * np.sqrt(D) / np.linalg.norm(X, axis=1)[:, None]


def eigenvalues_on_sphere():
    """Eigenvalue and number of harmonics of each degree, by the formula of Funk and Hecke."""
    order = 0.5 * (D - 2)
    t, w = roots_gegenbauer(300, order)
    angles = np.zeros((300, D))
    angles[:, 0], angles[:, 1] = t, np.sqrt(1.0 - t * t)
    k = KERNEL(np.sqrt(D) * np.eye(D)[:1], np.sqrt(D) * angles)[0]
    values = [
        w @ (k * eval_gegenbauer(n, order, t)) / eval_gegenbauer(n, order, 1.0) / w.sum()
        for n in DEGREES
    ]
    counts = comb(DEGREES + D - 1, D - 1) - comb(DEGREES + D - 3, D - 1)
    return np.maximum(values, 0.0), counts.astype(int)


def target(X):
    """Sum of products of 1, 2 and 4 columns, which are harmonic, of mean square one each."""
    squares = [np.prod(D + 2.0 * np.arange(k)) / float(D) ** k for k in (1, 2, 4)]
    products = [np.prod(X[:, :k], axis=1) for k in (1, 2, 4)]
    return np.sqrt(squares) @ products


@pytest.mark.thorough
@pytest.mark.parametrize(("alpha", "noise"), [(0.0, 0.0), (0.0, 0.25), (0.3, 0.0), (0.3, 0.25)])
def test_harmonics_on_a_sphere(alpha, noise):
    """A target of three degrees: test errors within 12 %, train errors within 16 %."""
    rng, sizes = np.random.default_rng(0), np.array([12, 50, 200])
    values, counts = eigenvalues_on_sphere()
    diagonal = KERNEL.diag(np.ones((1, D)))[0]
    rest = diagonal - values @ counts  # degrees that are left out act as a ridge
    powers = np.zeros(counts.sum())
    powers[counts.cumsum()[[0, 1, 3]]] = 1.0  # one harmonic of each of the degrees 1, 2 and 4
    curve = learning_curve(np.repeat(values, counts), powers, sizes, alpha + rest, noise)
    errors = np.zeros((len(sizes), 2))
    for k, n in enumerate(sizes):
        n_draws = 6000 // n
        for _ in range(n_draws):
            X, new = on_sphere(rng, n), on_sphere(rng, 1000)
            y = target(X) + np.sqrt(noise) * rng.normal(size=n)
            dual = np.linalg.solve(KERNEL(X) + alpha * np.eye(n), y)
            test = np.mean((KERNEL(new, X) @ dual - target(new)) ** 2)
            errors[k] += np.array([test + noise, np.mean((alpha * dual) ** 2)]) / n_draws
    assert_allclose(curve.test, errors[:, 0], rtol=0.12)
    train = (alpha / (alpha + rest)) ** 2 * curve.train  # of what acts as a ridge
    assert_allclose(train, errors[:, 1], rtol=0.16)


@pytest.mark.parametrize(("alpha", "noise"), [(0.3, 0.0), (3.0, 0.0), (3.0, 2.0)])
def test_subsets_of_real_rows(alpha, noise):
    """Ridge regression on random subsets of the diabetes set, without a constant."""
    X, y = (scale(each) for each in load_diabetes(return_X_y=True))
    spectrum, sizes = Spectrum.from_kernel(NTKKernel(), X), np.array([25, 50, 100])
    curve = spectrum.learning_curve(y, sizes, alpha, noise)
    K, rng, errors = NTKKernel()(X), np.random.default_rng(0), np.zeros(3)
    for k, n in enumerate(sizes):
        for _ in range(40):
            train, test = np.split(rng.permutation(len(X)), [n])
            targets = y[train] + np.sqrt(noise) * rng.normal(size=n)
            dual = np.linalg.solve(K[np.ix_(train, train)] + alpha * np.eye(n), targets)
            error = np.mean((y[test] - K[np.ix_(test, train)] @ dual) ** 2) + noise
            errors[k] += error / 40
    assert_allclose(curve.test, errors, rtol=0.06)
