"""Targets that differ on a few rows only, which rows drawn by chance may miss."""

import numpy as np
import pytest
from large_problems import rare
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process.kernels import RBF

from sklearn_ntk import NTKKernel
from sklearn_ntk.gram import KernelOperator
from sklearn_ntk.solvers import ConjugateGradient, Nystroem, Ridge, _nystroem, _part
from sklearn_ntk.solvers._solution import varied
from sklearn_ntk.solvers._tree import directions_of


def test_rows_on_which_targets_vary():
    Y = np.zeros((22, 3))
    Y[18:, 0], Y[21, 1] = 1.0, 5.0
    found = varied(np.arange(16), np.arange(16, 22), Y)
    assert_array_equal(found, [*range(16), 18, 19, 21])
    assert_array_equal(varied(np.arange(17, 19), np.arange(17), Y[:, :1]), [17, 18])
    assert len(varied(np.arange(0), np.arange(10), Y)) == 0
    assert len(varied(np.arange(40), np.arange(40, 100), np.eye(100))) == 50  # a fourth more


def test_targets_of_one_row_each():
    K = NTKKernel()(np.random.default_rng(0).normal(size=(520, 3)))
    assert np.isfinite(Ridge().fit(K, np.eye(520)).errors).all()


@pytest.fixture
def drawn_rows(monkeypatch):
    """The places of the rows that a solver draws of 400 for a search among ridges."""
    monkeypatch.setattr(_part, "GUESS_ROWS", 300)
    return _part.part_of(np.arange(400.0)[:, None], np.random.default_rng([0, 1]))


def test_conjugate_gradients_choose_by_rows_whose_targets_vary(drawn_rows):
    places = np.setdiff1d(np.arange(400), drawn_rows)[:12]
    X, y = rare(400, places)
    operator = KernelOperator(NTKKernel(), X)
    path, exact = ConjugateGradient().fit(operator, y), Ridge().fit(operator, y)
    assert path.value <= 10.0 * exact.value  # it was the largest one


@pytest.mark.parametrize("n_components", [20, 399])
def test_centres_choose_by_rows_whose_targets_vary(monkeypatch, n_components):
    monkeypatch.setattr(_nystroem, "HELD", 100)
    X, y = rare(400, [3, 4, 5])
    for seed in range(3):
        solver = Nystroem(n_components=n_components, seed=seed)
        held = solver.fit(KernelOperator(NTKKernel(), X), y).solution.details.held
        assert np.ptp(held.Y) == 1.0


@pytest.mark.parametrize("n_components", [None, 70])
def test_held_rows_take_no_candidates_for_centres(monkeypatch, n_components):
    monkeypatch.setattr(_nystroem, "MOST_CENTERS", 70)
    X, y = rare(80, [30, 60])
    for seed in range(5):
        solver = Nystroem(n_components=n_components, seed=seed)
        path = solver.fit(KernelOperator(NTKKernel(), X), y)
        assert len(path.solution.details.rows) == 70


def test_directions_of_constant_targets_are_principal_components():
    X = np.random.default_rng(0).normal(size=(60, 3)) * [1.0, 2.0, 3.0]
    operator = KernelOperator(NTKKernel(), X)
    found = directions_of(operator, np.full((60, 1), -0.0007), np.ones(60), 0.1)
    expected = directions_of(KernelOperator(RBF(), X), np.zeros((60, 1)), np.ones(60), 0.1)
    assert_allclose(found, expected)


def test_sums_of_targets_far_from_zero_keep_their_digits():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 2)), rng.normal(size=(500, 1))
    operator, solver = KernelOperator(NTKKernel(), X), Nystroem(0.1, n_components=50)
    found, expected = (solver.fit(operator, y + offset).solution for offset in (1e8, 0.0))
    assert_allclose(found.dual, expected.dual, atol=1e-6 * np.abs(expected.dual).max())
    assert_allclose(found.intercept - 1e8, expected.intercept, atol=1e-6)
    assert_allclose(found.residuals, expected.residuals, atol=1e-6)
