"""Kernels that are about as good as the chosen one have a share in what is uncertain."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone

from sklearn_ntk import NTKRegressor

PAIRS = [(kernel, f) for kernel in ("ntk", "nngp") for f in ("relu", "gelu")]


def data(n=60, k=1, seed=0):
    """Noisy curves with a gap."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.uniform(-3, -0.5, n // 2), rng.uniform(0.8, 3, n - n // 2)])
    y = np.column_stack([np.sin((2 + j) * x) + 0.3 * x for j in range(k)])
    return x[:, None], (y + 0.15 * rng.normal(size=y.shape)).squeeze()


def members(model, X, y, weights):
    """Shares of the four networks and their fits, those of little share left out."""
    fits = []
    for kernel, f in PAIRS:
        one = clone(model).set_params(kernel=kernel, activation=f)
        fits.append(one.fit(X, y, weights))
    errors = np.array([one.kernel_errors_[0] for one in fits])
    n = weights.sum() ** 2 / np.sum(weights**2)
    shares = (errors / errors.min()) ** (-0.5 * n)
    shares /= shares.sum()
    kept = shares >= 0.02
    shares[np.argmin(errors)] += shares[~kept].sum()
    return [(share, one) for share, one, is_kept in zip(shares, fits, kept, strict=True) if is_kept]


@pytest.mark.parametrize("include_noise", [True, False])
@pytest.mark.parametrize("k", [1, 2])
def test_uncertainty_is_that_of_the_mixture(k, include_noise):
    X, y = data(k=k)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(X))
    model = NTKRegressor(column_layers=0, features=None).fit(X, y, weights)
    new = np.linspace(-4.0, 4.0, 25)[:, None]
    how = {"include_noise": include_noise}
    mean, variance, covariance = model.predict(new), 0.0, 0.0
    mixed = members(model, X, y, weights)
    assert len(mixed) == 1 + len(model._rivals) > 2
    for share, one in mixed:
        values, std = one.predict(new, return_std=True, **how)
        variance += share * (std**2 + (values - mean) ** 2)
        away = values - mean
        cov = one.predict(new, return_cov=True, **how)[1]
        covariance += share * (cov + away[:, None] * away)
    found, std = model.predict(new, return_std=True, **how)
    assert_allclose(found, mean, rtol=1e-12)
    assert_allclose(std**2, variance, rtol=1e-7)
    cov = model.predict(new, return_cov=True, **how)[1]
    assert_allclose(cov, covariance, rtol=1e-7, atol=1e-9)
    assert_allclose(np.einsum("ii...->i...", cov), std**2, rtol=1e-7)
    again = pickle.loads(pickle.dumps(model))
    assert_allclose(again.predict(new, return_std=True, **how)[1], std, rtol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": "ntk", "activation": "relu"},
        {"training_time": 10.0},
        {"uncertainty": "ensemble"},
        {"solver": "cg"},
    ],
    ids=str,
)
def test_who_has_no_rivals(options):
    X, y = data()
    model = NTKRegressor(**options).fit(X, y)
    assert model._rivals == ()


def test_rows_of_little_weight_are_no_evidence():
    X, y = data()
    rng, weights = np.random.default_rng(0), np.append(np.ones(60), np.full(300, 1e-9))
    X = np.append(X, rng.uniform(1.0, 3.0, (300, 1)), axis=0)
    y = np.append(y, np.sin(2.0 * X[60:, 0]) + 0.3 * X[60:, 0])
    few, all_rows = (
        NTKRegressor(column_layers=0, features=None, alpha=0.1).fit(X[:n], y[:n], weights[:n])
        for n in (60, 360)
    )
    assert len(few._rivals) == len(all_rows._rivals) > 0
    shares = ([one.share for one in model._rivals] for model in (few, all_rows))
    assert_allclose(*shares, rtol=1e-3)


def test_a_preference_is_no_evidence():
    """Networks by column are chosen if they are better by 6 percent, and believed before."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(800, 2))
    y = np.sin(2 * X[:, 0]) + np.cos(2 * X[:, 1]) + 0.24 * X[:, 0] * X[:, 1]
    model = NTKRegressor(features=None).fit(X, y + 0.6 * rng.normal(size=800))
    assert model.kernel_.column_layers == 0
    assert max(one.share for one in model._rivals if one.kernel.column_layers) > 0.5


def test_learned_features_have_none():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6))
    y = np.sin(2.0 * X[:, 0]) + 0.05 * rng.normal(size=200)
    model = NTKRegressor().fit(X, y)
    assert model.features_ is not None and model._rivals == ()


def test_gaps_are_less_overconfident():
    """More of the true curve is within 95 % bands where there are no rows, hardly ever less."""
    inside = []
    for seed in range(8):
        X, y = data(seed=seed)
        x = np.linspace(-0.5, 0.8, 40)
        model, truth = NTKRegressor().fit(X, y), np.sin(2 * x) + 0.3 * x
        for rivals in (model._rivals, ()):
            model._rivals = rivals
            mean, std = model.predict(x[:, None], return_std=True)
            inside.append(np.mean(np.abs(truth - mean) < 1.96 * std))
    mixed, alone = np.reshape(inside, (8, 2)).T
    assert np.all(mixed >= alone - 0.1) and mixed.mean() > alone.mean() + 0.05
