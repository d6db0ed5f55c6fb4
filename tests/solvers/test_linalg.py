"""Factorisations: Cholesky with jitter, and the spectrum with all its shifts."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import LinAlgWarning

from sklearn_ntk._runtime.progress import Progress
from sklearn_ntk.solvers import _factors
from sklearn_ntk.solvers._factors import Spectrum, cholesky, try_cholesky


def definite(n=8, floor=0.1, seed=0):
    A = np.random.default_rng(seed).normal(size=(n, n))
    return A @ A.T / n + floor * np.eye(n)


def right_hand_sides(n=8):
    return np.random.default_rng(1).normal(size=(n, 3))


@pytest.mark.parametrize("n", [1, 2, 8, 40])
@pytest.mark.parametrize("order", ["C", "F"])
def test_cholesky_solves_and_inverts(n, order):
    A, B = definite(n), right_hand_sides(n)
    factor = cholesky(A.copy(order=order))
    assert_allclose(A @ factor.solve(B), B, rtol=1e-9, atol=1e-10)
    half = factor.half_solve(B)
    assert_allclose(half.T @ half, B.T @ factor.solve(B), rtol=1e-9, atol=1e-12)
    assert_allclose(factor.inverse_diagonal(), np.diag(np.linalg.inv(A)), rtol=1e-9)


@pytest.mark.parametrize("n", [65, 128, 200])
@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_panels_are_one_factorisation(n, dtype, rtol, monkeypatch):
    A = definite(n)
    whole = try_cholesky(A.copy())
    diagonal = whole.inverse_diagonal()
    monkeypatch.setattr(_factors, "LARGEST", 64)
    monkeypatch.setattr(_factors, "PANEL", 48)
    progress = Progress(_factors.work(n), "A factorisation", "wait")
    found = try_cholesky(A.astype(dtype), progress)
    assert found.factor.dtype == dtype and progress.done == progress.total
    assert_allclose(found.factor, whole.factor, rtol=0, atol=rtol)
    assert_allclose(found.inverse_diagonal(), diagonal, rtol=rtol)
    assert found.solve(right_hand_sides(n)).dtype == dtype
    A[n - 1, n - 1] = -1.0
    assert try_cholesky(A.astype(dtype)) is None


@pytest.mark.parametrize("shift", [0.0, 1e-3, 5.0])
def test_spectrum_agrees_with_cholesky(shift):
    A, B = definite(), right_hand_sides()
    factor = cholesky(A + shift * np.eye(8))
    shifted = Spectrum(A.copy()).shifted(shift)
    assert_allclose(shifted.solve(B), factor.solve(B), rtol=1e-9, atol=1e-11)
    assert_allclose(shifted.inverse_diagonal(), factor.inverse_diagonal(), rtol=1e-9)


def test_shifts_of_a_spectrum_do_not_disturb_each_other():
    spectrum = Spectrum(definite())
    first = spectrum.shifted(0.5)
    before = first.inverse_diagonal()
    spectrum.shifted(2.0)
    assert_array_equal(first.inverse_diagonal(), before)
    assert_array_equal(spectrum.shifted(0.5).inverse_diagonal(), before)


@pytest.mark.parametrize(
    "values, shift, is_definite",
    [
        ([1.0, 2.0], 0.0, True),
        ([-1.0, 2.0], 0.5, False),
        ([-1.0, 2.0], 1.5, True),
        ([0.0, 2.0], 0.0, False),
        ([0.0, 2.0], 1e-10, True),
        ([1e-17, 2.0], 0.0, False),
        ([-3.0, -2.0], 1.0, False),
        ([0.0, 0.0], 0.0, False),
        ([0.0, 0.0], 1e-300, True),
    ],
)
def test_spectrum_tells_whether_a_shift_is_definite(values, shift, is_definite):
    assert (Spectrum(np.diag(values)).shifted(shift) is not None) == is_definite


def test_spectrum_in_single_precision_has_its_rounding():
    A = np.diag([0.0, 2.0]).astype(np.float32)
    assert Spectrum(A).shifted(1e-7) is None and Spectrum(A).shifted(1e-6) is not None


def nearly_singular(smallest):
    Q = np.linalg.qr(right_hand_sides(8)[:, :1] @ np.ones((1, 8)) + np.eye(8))[0]
    A = Q @ np.diag([*np.linspace(1, 2, 7), smallest]) @ Q.T
    return 0.5 * (A + A.T)


def test_cholesky_does_not_warn_without_need():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cholesky(nearly_singular(1e-12))


@pytest.mark.parametrize("smallest", [-1e-15, -1e-13, -1e-11, -3e-9])
def test_jitter_is_small_and_announced(smallest):
    A, B = nearly_singular(smallest), right_hand_sides()
    with pytest.warns(LinAlgWarning, match="singular to working precision") as caught:
        factor = cholesky(A.copy())
    added = float(str(caught[0].message).split("; ")[1].split(" was added")[0])
    assert abs(smallest) < added <= 100.5 * max(abs(smallest), 1e-14)
    expected = np.linalg.solve(A + added * np.eye(8), B)
    assert_allclose(factor.solve(B), expected, rtol=0, atol=0.05 * np.abs(expected).max())


def test_warning_is_one_sentence_and_a_remedy():
    with pytest.warns(LinAlgWarning, match=r"^The Gram matrix .* Increase alpha\.$"):
        cholesky(np.ones((3, 3)))


@pytest.mark.parametrize("smallest, shown", [(-1e-6, "-1e-06"), (-0.5, "-0.5")])
def test_indefinite_matrix_is_refused_with_its_eigenvalue(smallest, shown):
    message = f"smallest eigenvalue is {shown}. Use a positive definite kernel, or increase"
    with pytest.raises(ValueError, match=message):
        cholesky(nearly_singular(smallest))


def test_negative_diagonal_is_refused():
    with pytest.raises(ValueError, match="smallest eigenvalue is -4"):
        cholesky(np.diag([1.0, -4.0, 2.0]))
