"""Observations of merged rows: leaving one out is what it is among rows that are not merged."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk import NTKKernel
from sklearn_ntk.estimators._equal_rows import merge
from sklearn_ntk.gram import ArrayOperator, KernelOperator
from sklearn_ntk.solvers import ConjugateGradient, EarlyStopping, Local, Nystroem, Ridge
from sklearn_ntk.solvers._repeats import ScoreError, error_of, left_out
from sklearn_ntk.solvers._scoring import SCORES, fit_temperature
from sklearn_ntk.solvers._solution import error_for, relative_error

KERNEL, RIDGES = NTKKernel(depth=1), np.array([0.01, 0.3, 5.0])
OFTEN = [12, 1, 10, 30, 1, 14, 1, 11, 1, 1, 25, 1]


def problem(repeats, is_classes=False, seed=0):
    """Numbers of the rows of X, and targets of each."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(len(repeats), 2))
    group = np.repeat(np.arange(len(X)), repeats)
    Y = np.sin(2.0 * X[group]) + 0.4 * rng.normal(size=(len(group), 2))
    return X, group, np.eye(3)[np.digitize(Y[:, 0], [-0.4, 0.5])] if is_classes else Y


def fitted(solver, X, group, Y, weights=None):
    """Paths of merged rows, and of rows apart, whose equal ones have weights of their own."""
    weights = np.ones(len(group)) if weights is None else weights
    merged = merge(Y, weights, group)
    error = error_of(merged.repeats)
    operator = KernelOperator(KERNEL, X)
    return (
        solver._replace(error=error).fit(operator, merged.Y, merged.weights),
        Ridge(solver.ridges).fit(KERNEL(X[group]), Y, weights),
        merged,
    )


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("repeats", [OFTEN, [3, 1, 2, 9, 1, 1, 5, 1, 2, 2, 1, 4]], ids=["10", "9"])
def test_errors_are_those_of_rows_apart(repeats, is_weighted):
    """All targets differ, so that each row is an observation, of its own weight below ten rows."""
    X, group, Y = problem(repeats)
    weights = np.ones(len(group))
    if is_weighted:
        weights = np.random.default_rng(1).uniform(0.5, 2.0, len(group))
    merged, apart, (means, sums, _, found) = fitted(Ridge(RIDGES), X, group, Y, weights)
    assert_allclose(merged.errors, apart.errors, rtol=1e-10)
    assert merged.best == apart.best
    seen = left_out(merged.solution, means, sums, found)
    order = np.lexsort([*Y.T[::-1], group])
    assert_array_equal(seen.targets, Y[order])
    assert_allclose(seen.residuals, apart.solution.residuals[order], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("solver", "rtol"),
    [
        (ConjugateGradient(RIDGES, tol=1e-10), 1e-8),
        (Local(RIDGES), 1e-8),
        (Nystroem(RIDGES), 1e-6),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_solvers_of_many_rows(solver, rtol):
    """They choose by all rows, as there are few."""
    X, group, Y = problem(OFTEN)
    merged, apart, _ = fitted(solver, X, group, Y)
    places = np.searchsorted(RIDGES, merged.values)
    assert_allclose(merged.errors, apart.errors[places], rtol=rtol)
    assert merged.value == apart.value


def test_errors_of_leaves_and_of_some_rows():
    """Of overlapping leaves, and in subsets, by which searches begin."""
    X, group, Y = problem([11] * 30)
    merged, apart, (means, sums, _, repeats) = fitted(Local(0.3, leaf_size=12), X, group, Y)
    seen = left_out(merged.solution, means, sums, repeats)
    assert len(merged.solution.details.leaves) > 2
    training = Y[np.lexsort([*Y.T[::-1], group])] - means[repeats.group]
    ratio = (seen.residuals**2).sum() / (apart.solution.residuals**2).sum()
    assert 0.8 < ratio < 1.5 and (seen.residuals**2).sum() > (training**2).sum()
    rows = np.array([1, 5, 9, 20])
    part = Ridge(0.3).fit(KERNEL(X[rows]), means[rows], sums[rows]).solution
    kept = np.flatnonzero(np.isin(group, rows))
    exact = Ridge([0.3]).fit(KERNEL(X[group[kept]]), Y[kept])
    found = error_for(error_of(repeats), rows)(part, means[rows], sums[rows])
    assert_allclose(found, exact.errors[0], rtol=1e-10)


def test_errors_of_stopped_training():
    """Exact up to what an observation is of its row times what a time is not a ridge."""
    X, group, Y = problem(OFTEN)
    times = np.array([1e4, 300.0, 30.0])
    means, sums, _, repeats = merge(Y, np.ones(len(group)), group)
    merged = EarlyStopping(times, 0.01, error=error_of(repeats)).fit(KERNEL(X), means, sums)
    apart = EarlyStopping(times, 0.01).fit(KERNEL(X[group]), Y)
    assert_allclose(merged.errors, apart.errors, rtol=0.02)
    assert merged.best == apart.best


@pytest.mark.parametrize("name", sorted(set(SCORES) - {"log_marginal_likelihood"}))
def test_scores_are_those_of_rows_apart(name):
    X, group, Y = problem(OFTEN, is_classes=True)
    means, sums, _, repeats = merge(Y, np.ones(len(group)), group)
    errors = [ScoreError(SCORES[name], each) for each in (repeats, None)]
    merged = Ridge(RIDGES, errors[0]).fit(KERNEL(X), means, sums)
    apart = Ridge(RIDGES, errors[1]).fit(KERNEL(X[group]), Y)
    assert_allclose(merged.errors, apart.errors, rtol=1e-5 if name == "neg_log_loss" else 1e-9)
    found = left_out(merged.solution, means, sums, repeats)
    own = Y - apart.solution.residuals
    expected = fit_temperature(own, Y, np.ones(len(Y)))
    assert_allclose(fit_temperature(found.scores, *found[1:]), expected, rtol=1e-4)


def test_what_is_an_observation():
    """Copies of a row with one target are one below ten rows, and ten from there on."""
    group = np.repeat([0, 1, 2, 3], [3, 9, 10, 1])
    Y = np.array([0.0, 0.0, 1.0] + [2.0] * 9 + [3.0] * 8 + [4.0] * 2 + [5.0])[:, None]
    found = merge(Y, np.ones(23), group).repeats
    assert_array_equal(found.group, [0, 0, 1, 2, 2, 3])
    assert_array_equal(found.targets[:, 0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert_allclose(found.deviations[:4, 0], [-1 / 3, 2 / 3, 0.0, -0.2])
    assert_array_equal(found.counts, [1, 1, 1, 8, 2, 1])
    assert_allclose(found.shares, [2 / 3, 1 / 3, 1.0, 0.1, 0.1, 1.0])
    assert_array_equal(found.weights, [2, 1, 9, 8, 2, 1])
    assert found.n == 14
    one_each = np.flatnonzero(np.isin(group, [1, 3]))
    assert merge(Y[one_each], np.ones(10), np.repeat([0, 1], [9, 1])).repeats is None
    assert error_of(None) is relative_error
    kernel = ArrayOperator(KERNEL(np.ones((1, 2))))  # a row that is alone, many times
    means, sums, _, repeats = merge(Y[12:22], np.ones(10), np.zeros(10, dtype=int))
    seen = left_out(Ridge(0.1).fit(kernel, means, sums).solution, means, sums, repeats)
    assert_allclose(seen.residuals[:, 0], [3.0 - 29 / 9, 4.0 - 28 / 9], rtol=1e-12)
