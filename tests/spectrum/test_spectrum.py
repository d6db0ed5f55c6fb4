"""Eigenvalues, eigenfunctions and what they say of targets: closed identities, and bad input."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from odd_values import NO_NUMBERS, is_one_sentence
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.spectrum import Spectrum

KERNEL = NTKKernel(depth=2, bias_var=0.1)


def rows(n=40, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), scale(y)


@pytest.fixture(scope="module")
def spectrum():
    return Spectrum.from_kernel(KERNEL, rows())


# --- Eigenvalues and eigenfunctions ---------------------------------------------------------------


def test_eigenvalues_and_eigenvectors(spectrum):
    K, U = KERNEL(rows()), spectrum.eigenvectors
    assert_allclose(U * spectrum.eigenvalues @ U.T, K, atol=1e-12 * K.max())
    assert np.all(np.diff(spectrum.eigenvalues) <= 0.0)
    assert np.all(U.max(axis=0) == np.abs(U).max(axis=0))
    assert_allclose(spectrum.mean_diagonal, spectrum.eigenvalues.mean(), rtol=1e-12)
    assert_allclose(spectrum.condition_number(), np.linalg.cond(K), rtol=1e-8)


def test_eigenfunctions_on_the_rows(spectrum):
    found = spectrum.eigenfunctions(rows(), 10)
    assert_allclose(found, np.sqrt(40) * spectrum.eigenvectors[:, :10], atol=1e-10)
    assert_allclose(spectrum.local_energy(rows(), 10).mean(), 1.0, rtol=1e-10)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_ridge_is_a_filter_of_eigenfunctions(spectrum, alpha):
    new, y = rows(seed=1), np.sin(rows() @ [1.0, 2.0, 0.5])
    phi, values = spectrum.eigenfunctions(new), spectrum.eigenvalues
    parts = spectrum.eigenfunctions(rows()).T @ y / 40
    dual = np.linalg.solve(KERNEL(rows()) + alpha * np.eye(40), y)
    expected = KERNEL(new, rows()) @ dual
    assert_allclose(phi @ (values / (values + alpha) * parts), expected, rtol=1e-8, atol=1e-10)


def test_matrix_in_place_of_a_kernel(spectrum):
    new = rows(5, seed=2)
    plain = Spectrum(KERNEL(rows()))
    cross = KERNEL(new, rows())
    assert_allclose(plain.eigenfunctions(cross, 4), spectrum.eigenfunctions(new, 4))
    assert_allclose(plain.local_energy(cross), spectrum.local_energy(new))


def test_equal_rows_have_eigenvalue_zero():
    X = np.repeat(rows(10), 2, axis=0)
    spectrum = Spectrum.from_kernel(KERNEL, X)
    assert spectrum.rank == 10 and np.all(spectrum.eigenvalues[10:] == 0.0)
    assert spectrum.eigenfunctions(X).shape == (20, 10)
    assert spectrum.condition_number() == np.inf
    y = X[:, 0]
    single = Spectrum.from_kernel(KERNEL, X[::2])
    assert_allclose(spectrum.norm(y), single.norm(y[::2]) / np.sqrt(2.0), rtol=1e-8)
    assert spectrum.norm(np.arange(20.0)) == np.inf


# --- Summaries ------------------------------------------------------------------------------------


def test_effective_dimension(spectrum):
    K, ridges = KERNEL(rows()), np.array([1e-3, 0.1, 10.0])
    expected = [np.trace(np.linalg.solve(K + a * np.eye(40), K)) for a in ridges]
    assert_allclose(spectrum.effective_dimension(ridges), expected, rtol=1e-10)
    assert_allclose(spectrum.effective_dimension(0.1), expected[1], rtol=1e-10)
    assert spectrum.effective_dimension() == 40.0


def test_condition_number_with_a_ridge(spectrum):
    expected = [np.linalg.cond(KERNEL(rows()) + a * np.eye(40)) for a in (0.1, 1.0)]
    assert_allclose(spectrum.condition_number([0.1, 1.0]), expected, rtol=1e-9)


def test_alignment(spectrum):
    K, Y = KERNEL(rows()), rows(n=40, d=2, seed=3)
    H = np.eye(40) - 1.0 / 40
    for centre, centred in ((np.eye(40), False), (H, True)):
        C, T = centre @ K @ centre, centre @ Y @ Y.T @ centre
        expected = np.sum(C * T) / np.sqrt(np.sum(C * C) * np.sum(T * T))
        assert_allclose(spectrum.alignment(Y, centred), expected, rtol=1e-12)
    y = spectrum.eigenvectors[:, 2]
    share = spectrum.eigenvalues[2] / np.linalg.norm(spectrum.eigenvalues)
    assert_allclose(spectrum.alignment(y), share, rtol=1e-12)
    assert spectrum.alignment(np.zeros(40)) == spectrum.alignment(np.ones(40), True) == 0.0


def test_cumulative_alignment(spectrum):
    Y = rows(n=40, d=2, seed=3)
    found = spectrum.cumulative_alignment(Y)
    first = spectrum.eigenvectors[:, :7]
    assert_allclose(found[6], np.sum((first.T @ Y) ** 2) / np.sum(Y**2), rtol=1e-12)
    assert_allclose(found[-1], 1.0, rtol=1e-12)
    assert np.all(spectrum.cumulative_alignment(np.zeros(40)) == 0.0)


def test_norm_and_bound(spectrum):
    K, y = KERNEL(rows()), rows()[:, 0]
    norm = y @ np.linalg.solve(K, y)
    assert_allclose(spectrum.norm(y), np.sqrt(norm / 40), rtol=1e-9)
    bound = np.sqrt(norm * np.trace(K)) / 40
    assert_allclose(spectrum.generalization_bound(y), bound, rtol=1e-9)
    assert_allclose(Spectrum(7.0 * K).generalization_bound(y), bound, rtol=1e-9)


def test_the_constant_dominates_the_plain_alignment():
    X, y = diabetes()
    spectrum = Spectrum.from_kernel(NTKKernel(), X)
    assert spectrum.alignment(y) < 0.15 < 0.2 < spectrum.alignment(y, centred=True)
    assert spectrum.generalization_bound(y) > 1.0  # of unit variance: the bound is loose


def test_extreme_scales(spectrum):
    K, y = KERNEL(rows()), rows()[:, 0]
    for factor in (1e-250, 1e250):
        other = Spectrum(factor * K)
        assert_allclose(other.alignment(y, True), spectrum.alignment(y, True), rtol=1e-10)
        assert_allclose(other.condition_number(), spectrum.condition_number(), rtol=1e-8)
        found = [spectrum.alignment(factor * y), spectrum.norm(factor * y) / factor]
        assert_allclose(found, [spectrum.alignment(y), spectrum.norm(y)], rtol=1e-10)
        shares = spectrum.cumulative_alignment(factor * y)
        assert_allclose(shares, spectrum.cumulative_alignment(y), rtol=1e-10)
    with pytest.raises(ValueError, match=r"powers must be .* got inf"):
        spectrum.learning_curve(1e250 * y, [3])
    zero = Spectrum(np.zeros((3, 3)))
    assert zero.rank == 0 and zero.alignment(np.ones(3)) == 0.0
    assert zero.effective_dimension() == 0.0 and zero.condition_number() == np.inf


def test_pickles(spectrum):
    again = pickle.loads(pickle.dumps(spectrum))
    assert_allclose(again.eigenfunctions(rows(4)), spectrum.eigenfunctions(rows(4)))


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", NO_NUMBERS.values(), ids=NO_NUMBERS.keys())
def test_what_is_no_array(spectrum, bad):
    calls = (
        Spectrum,
        Spectrum(np.eye(2)).eigenfunctions,
        spectrum.alignment,
        spectrum.cumulative_alignment,
        spectrum.effective_dimension,
        lambda bad: spectrum.learning_curve(np.ones(40), bad),
    )
    for call in calls:
        with pytest.raises(ValueError, match="must be") as error:
            call(bad)
        assert is_one_sentence(error)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.effective_dimension(-1.0),
        lambda s: s.condition_number([0.1, -1.0]),
        lambda s: s.eigenfunctions(rows(), 41),
        lambda s: s.eigenfunctions(rows(), 0),
        lambda s: s.local_energy(rows(), 2.5),
        lambda s: s.alignment(np.ones(40), centred="yes"),
        lambda s: s.norm(np.ones(39)),
        lambda s: s.learning_curve(np.ones(40), [10.5]),
        lambda s: s.learning_curve(np.ones(40), [40]),
        lambda s: s.learning_curve(np.ones(40), [0]),
        lambda s: s.learning_curve(np.ones(40), [10], alpha=-1.0),
        lambda s: Spectrum(np.ones((2, 3))),
        lambda s: Spectrum([[1.0, 0.5], [0.0, 1.0]]),
        lambda s: Spectrum.from_kernel("ntk", rows()),
        lambda s: Spectrum.from_kernel(NNGPKernel, rows()),
    ],
)
def test_invalid_arguments(spectrum, call):
    with pytest.raises(ValueError, match="; got ") as error:
        call(spectrum)
    assert "\n" not in str(error.value)


def test_indefinite_matrix():
    with pytest.raises(ValueError, match="smallest eigenvalue is -1"):
        Spectrum([[1.0, 2.0], [2.0, 1.0]])
