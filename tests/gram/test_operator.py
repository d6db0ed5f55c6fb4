"""Operators: rows, products and diagonals of Gram matrices that need not exist."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.gram import ArrayOperator, GramOperator, KernelOperator
from sklearn_ntk.layers import Dense, Dropout

X = np.random.default_rng(0).normal(size=(7, 3))
NOISY = (Dense(), "relu", Dropout(0.3), Dense())
KERNELS = {
    "ntk": NTKKernel(1),
    "sum": 2.0 * NTKKernel(2) + RBF(),
    "noise": NTKKernel(1) + WhiteKernel(0.7),
    "dropout": NNGPKernel(architecture=NOISY),
}


@pytest.fixture(params=[*KERNELS, "array"])
def pair(request):
    """An operator and its matrix."""
    if request.param == "array":
        K = X @ X.T
        return ArrayOperator(K), K
    return KernelOperator(KERNELS[request.param], X), KERNELS[request.param](X)


def test_parts_are_those_of_the_matrix(pair):
    operator, K = pair
    assert isinstance(operator, GramOperator) and operator.shape == K.shape
    assert_array_equal(operator.dense(), K)
    assert_allclose(operator.diagonal(), K.diagonal(), rtol=1e-14)
    for index in (slice(2, 5), [4, 0, 4]):
        assert_allclose(operator.rows(index), K[index], rtol=1e-14, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 15, 2**23])
def test_products(pair, monkeypatch, chunk):
    operator, K = pair
    sizes, is_array = [], not hasattr(operator, "kernel")
    name = "rows" if is_array else "kernel"
    ask = getattr(operator, name)

    def count(*arguments):
        sizes.append(ask(*arguments).size)
        return ask(*arguments)

    monkeypatch.setattr("sklearn_ntk._runtime.chunks.CHUNK", chunk)
    monkeypatch.setattr(operator, name, count)
    B = np.random.default_rng(1).normal(size=(7, 2))
    assert_allclose(operator @ B, K @ B, rtol=1e-12, atol=1e-12)
    assert_allclose(operator @ B[:, 0], K @ B[:, 0], rtol=1e-12, atol=1e-12)
    assert max(sizes) == ({1: 7, 15: 14} if is_array else {1: 1, 15: 9}).get(chunk, 49)
    if chunk == 1 and not is_array:  # of pairs off the diagonal, each is computed once a product
        assert sum(sizes) == 2 * 28


def test_blocks_and_parts(pair):
    operator, K = pair
    rows, columns = np.array([4, 0]), np.array([1, 0, 6])
    assert_allclose(operator.block(rows, columns), K[np.ix_(rows, columns)], rtol=1e-14, atol=1e-14)
    part = operator.take(columns)
    assert isinstance(part, GramOperator) and part.shape == (3, 3)
    assert_allclose(part.dense(), K[np.ix_(columns, columns)], rtol=1e-14, atol=1e-14)
    assert_allclose(part.diagonal(), K.diagonal()[columns], rtol=1e-14)


@pytest.mark.parametrize("indices", [([4, 0, 4], [1, 4, 6, 4]), ([2], [2]), ([3], [0])])
def test_blocks_have_the_noise_of_single_rows(pair, indices):
    """Wherever a row meets itself, also one that is asked for twice."""
    operator, K = pair
    rows, columns = (np.array(index, int) for index in indices)
    for block in (operator.block(rows, columns), operator.between(rows, columns)()):
        assert_allclose(block, K[np.ix_(rows, columns)], rtol=1e-14, atol=1e-14)


def test_single_precision(pair, monkeypatch):
    operator, K = pair
    monkeypatch.setattr("sklearn_ntk._runtime.chunks.CHUNK", 15)
    single = operator.single()
    assert single.dtype == np.float32 and single.shape == K.shape
    assert_allclose(single, K, rtol=2e-6, atol=2e-6)


def test_dense_may_be_overwritten(pair):
    operator, K = pair
    operator.dense()[:] = 0.0
    assert_array_equal(operator.dense(), K)


def test_array_that_is_handed_out():
    K = X @ X.T
    assert ArrayOperator(K, overwrite=True).dense() is K


def test_kernel_is_called_where_its_matrix_is_asked_for():
    class Counting:
        calls = 0

        def __call__(self, X, Y=None):
            self.calls += 1
            return KERNELS["ntk"](X, Y)

        diag = KERNELS["ntk"].diag

    kernel = Counting()
    operator = KernelOperator(kernel, X.tolist())
    assert operator.shape == (7, 7) and kernel.calls == 0
    operator.rows([0])
    assert kernel.calls == 1
