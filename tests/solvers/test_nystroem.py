"""The Nystroem approximation beside exact solutions, its sums, and the ridge it chooses."""

from functools import partial

import numpy as np
import pytest
from large_problems import rows_of, values_of
from memory import peak
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.gram import ArrayOperator, KernelOperator
from sklearn_ntk.layers import Dense, Dropout
from sklearn_ntk.solvers import Nystroem, Ridge, _sums
from sklearn_ntk.solvers._nystroem import memory_of
from sklearn_ntk.solvers._sums import Fit, Sums, basis_of

NOISY = (Dense(), "relu", Dropout(0.3), Dense())


@pytest.mark.parametrize("ridge", [None, 0.1])
def test_with_all_rows_it_is_exact(ridge):
    operator, Y, weights = rows_of(n=200)
    path = Nystroem(ridge).fit(operator, Y, weights)
    exact = Ridge(path.value).fit(operator, Y, weights).solution
    solution = path.solution
    assert_array_equal(solution.details.rows, np.arange(200))
    assert_allclose(solution.dual, exact.dual, atol=1e-6)
    assert_allclose(solution.residuals, exact.residuals, atol=1e-7)
    assert_allclose(solution.precision, exact.precision, rtol=1e-6)
    if ridge is None:
        assert path.value == Ridge().fit(operator, Y, weights).value


def test_all_rows_as_centres_are_the_exact_fit_of_a_kernel_with_noise():
    operator, Y, weights = rows_of(n=150)
    for kernel in (NTKKernel() + WhiteKernel(0.5), NTKKernel(architecture=NOISY)):
        operator = KernelOperator(kernel, operator.X)
        found, exact = (method(0.1).fit(operator, Y, weights) for method in (Nystroem, Ridge))
        assert_allclose(found.solution.dual, exact.solution.dual, rtol=0, atol=1e-6)


def by_least_squares(K, K_mm, Y, weights, ridge):
    """Values at the rows of functions of the centres, penalised by ``a'K_mm a``, by SVD."""
    values, vectors = np.linalg.eigh(K_mm)
    kept = values > 1e-12 * values[-1]
    Z = K @ (vectors[:, kept] / np.sqrt(values[kept]))
    root = np.sqrt(weights)[:, None]
    design = np.column_stack([Z, np.ones(len(Z))]) * root
    penalty = np.sqrt(ridge) * np.eye(Z.shape[1], Z.shape[1] + 1)
    right = np.vstack([root * Y, np.zeros((len(penalty), Y.shape[1]))])
    coef = np.linalg.lstsq(np.vstack([design, penalty]), right, rcond=None)[0]
    return Z @ coef[:-1] + coef[-1]


KERNELS = {"rough": NTKKernel(), "smooth": RBF(3.0), "erf": NTKKernel(activation="erf")}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("centers", ["uniform", "rpcholesky", [5, 3, 90, 91, 150, 20]])
def test_it_is_least_squares_on_functions_of_the_centres(name, centers):
    operator, Y, weights = rows_of(n=300)
    operator = KernelOperator(KERNELS[name], operator.X)
    atol = 2e-3 if name == "smooth" else 1e-5  # small eigenvalues of the centres are rounding
    for ridge in (1e-4, 1.0):
        path = Nystroem(ridge, n_components=120, centers=centers).fit(operator, Y, weights)
        rows = path.solution.details.rows
        problem = operator.block(np.arange(300), rows), operator.block(rows, rows), Y, weights
        expected = by_least_squares(*problem, ridge)
        assert_allclose(values_of(path, operator, operator.X), expected, atol=atol)


def test_singular_kernel_of_the_centres_and_late_whitening():
    X = rows_of(n=300)[0].X
    rough, smooth = (basis_of(kernel(X[:100])) for kernel in (NTKKernel(), RBF(20.0)))
    assert rough.is_late and rough.size == 100
    assert not smooth.is_late and smooth.size < 100
    for basis, kernel in ((rough, NTKKernel()), (smooth, RBF(20.0))):
        Z = basis.values(kernel(X[:100]))
        assert_allclose(Z @ Z.T, kernel(X[:100]), atol=1e-6)


@pytest.mark.parametrize(
    "kernel", [NTKKernel(activation="gelu"), NNGPKernel(), NNGPKernel(activation="erf")], ids=repr
)
def test_sums_are_whitened_late_only_where_no_digits_are_missed(kernel, monkeypatch):
    operator, Y, weights = rows_of(n=500, d=2)
    operator, centers = KernelOperator(kernel, operator.X), range(300)
    solver = Nystroem(1e-4 * operator.diagonal().mean(), centers=centers)
    few = basis_of(kernel(operator.X[:20]))
    assert few.is_late and not basis_of(kernel(operator.X[:300])).is_late
    found = values_of(solver.fit(operator, Y, weights), operator, operator.X)
    monkeypatch.setattr(_sums, "WELL", 0.0)
    expected = values_of(solver.fit(operator, Y, weights), operator, operator.X)
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_kernels_in_single_precision(activation):
    operator, Y, weights = rows_of(n=600, d=3)
    single, double = (
        KernelOperator(NTKKernel(activation=activation, dtype=dtype), operator.X)
        for dtype in ("float32", "float64")
    )
    solver = Nystroem(n_components=100)
    path, expected = (solver.fit(one, Y, weights) for one in (single, double))
    assert_allclose(path.value, expected.value, rtol=1e-6)
    assert_allclose(path.errors, expected.errors, rtol=0.01)
    assert_allclose(path.solution.precision, expected.solution.precision, rtol=0.01)
    found, expected = (values_of(one, double, operator.X) for one in (path, expected))
    assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("kernel", [NTKKernel(), RBF(1.0)], ids=["late", "early"])
def test_sums_of_parts_are_joined(kernel):
    operator, Y, weights = rows_of(n=300)
    X = operator.X
    basis = basis_of(kernel(X[:40]))
    pieces = [
        (partial(kernel, X[s], X[:40]), Y[s], weights[s]) for s in (slice(120), slice(120, 300))
    ]
    whole = Sums.over([(partial(kernel, X, X[:40]), Y, weights)], basis, 2)
    first, second = (Sums.over([piece], basis, 2) for piece in pieces)
    for found in (Sums.over(pieces, basis, 2), first.joined([second])):
        for one, other in zip(found, whole, strict=True):
            assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("n, m", [(2000, 400), (800, 800)])
def test_memory_is_not_more_than_the_estimate(n, m):
    """However many ridges are tried."""
    fit = partial(Nystroem(n_components=m).fit, *rows_of(n=n))
    fit()  # which loads the loops of the kernel
    assert peak(fit) < memory_of(n, m)


def test_weights_are_repetitions():
    operator, Y, _ = rows_of(n=150)
    counts = np.random.default_rng(1).integers(1, 4, 150)
    path = Nystroem(0.1, centers=range(30)).fit(operator, Y, counts.astype(float))
    repeated = KernelOperator(operator.kernel, np.repeat(operator.X, counts, axis=0))
    centers = np.concatenate([[0], np.cumsum(counts)[:29]])
    other = Nystroem(0.1, centers=centers).fit(repeated, np.repeat(Y, counts, axis=0))
    assert_allclose(path.solution.dual, other.solution.dual, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("centers", ["uniform", "rpcholesky"])
@pytest.mark.parametrize("kernel", [NTKKernel(), RBF(2.0)], ids=["rough", "smooth"])
def test_chosen_ridge_predicts_new_rows_best(kernel, centers):
    operator, Y, _ = rows_of(n=2000, noise=0.5, k=1)
    train, test = np.arange(1500), np.arange(1500, 2000)
    operator = KernelOperator(kernel, operator.X)
    part, y = operator.take(train), Y[train]

    def loss(path):
        return np.mean((values_of(path, part, operator.X[test]) - Y[test]) ** 2)

    solver = Nystroem(n_components=200, centers=centers)
    path = solver.fit(part, y)
    assert path.errors[path.best] == path.errors.min() and len(path.solution.rows) == 187
    assert not np.isin(path.solution.rows, path.solution.details.rows).any()
    ridges = np.mean(part.diagonal()) * 10.0 ** np.arange(-6.0, 1.5)
    losses = [loss(solver._replace(ridges=ridge).fit(part, y)) for ridge in ridges]
    assert loss(path) < 1.02 * min(losses) < 0.98 * max(losses)


def test_posterior_variance_far_from_the_centres_is_that_of_the_kernel():
    operator, Y, weights = rows_of(n=300)
    kernel = RBF(0.5)
    path = Nystroem(0.01, n_components=50).fit(KernelOperator(kernel, operator.X), Y, weights)
    details = path.solution.details
    centers, basis, fit = details.rows, details.basis, details.fit
    far = np.full((1, 4), 50.0)
    Z = basis.values(kernel(far, operator.X[centers]))
    variance = fit.variance(Z, kernel.diag(far) - np.sum(Z**2, axis=1))
    assert variance[0] > 1.0  # of the function, and the intercept


def test_posterior_variance_is_exact_with_all_rows():
    operator, Y, weights = rows_of(n=100)
    details = Nystroem(0.3).fit(operator, Y, weights).solution.details
    basis, fit = details.basis, details.fit
    K = operator.dense()
    Z = basis.values(K)
    G = np.linalg.inv(K + 0.3 * np.diag(1.0 / weights))
    doubt = 1.0 - K @ G.sum(axis=1)
    exact = K.diagonal() - np.einsum("ij,jk,ik->i", K, G, K) + doubt**2 / G.sum()
    assert_allclose(fit.variance(Z, K.diagonal() - np.sum(Z**2, axis=1)), exact, rtol=1e-6)


def test_fit_to_singular_equations_is_none():
    sums = Sums(np.ones((3, 3)), np.ones((3, 1)), np.zeros(3), np.ones(1), 1.0)
    assert Fit.solve(sums, 0.0) is None and Fit.solve(sums, 1.0) is not None


@pytest.mark.parametrize("n", [2, 3, 5, 20, 100, 300])
def test_all_rows_without_a_ridge_are_refused(n):
    """A factor by rounding would have infinite precisions."""
    operator, Y, weights = rows_of(n)
    with pytest.raises(ValueError, match="singular to working precision for the ridge 0"):
        Nystroem(0.0).fit(operator, Y, weights)
    path = Nystroem(1e-8).fit(operator, Y, weights)
    assert np.all(path.solution.precision < 1e16)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n_components": 51}, "at most the number of distinct rows, 50; got 51"),
        ({"n_components": 0}, "n_components must be at least 1; got 0"),
        ({"centers": "best"}, "centers must be 'uniform', 'rpcholesky' or rows; got 'best'"),
        ({"centers": [3, 4, 3]}, "an index occurs twice"),
        ({"centers": [3, 50]}, "indices from 0 to 49; got 50"),
        ({"centers": [0.5]}, "centers must be indices of rows; got an array of float64"),
        ({"centers": None}, "centers must be indices of rows"),
        ({"centers": 5}, r"centers must be indices of rows; got an array of int64"),
        ({"ridges": -1.0}, "ridges must be a finite number >= 0"),
    ],
)
def test_bad_parameters(arguments, message):
    operator, Y, _ = rows_of(n=50)
    with pytest.raises(ValueError, match=message):
        Nystroem(**arguments).fit(operator, Y)


def test_kernel_that_vanishes_is_refused():
    with pytest.raises(ValueError, match="kernel of the centres must not vanish"):
        Nystroem(1.0).fit(ArrayOperator(np.zeros((5, 5))), np.arange(5.0))
