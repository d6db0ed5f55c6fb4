"""Lazy Gram matrices of Dask arrays, computed without a cluster."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process.kernels import WhiteKernel

from sklearn_ntk import NTKKernel

da = pytest.importorskip("dask.array")
pytest.importorskip("distributed")

import dask  # noqa: E402

from sklearn_ntk.dask import gram  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def rows(n=9):
    X = np.random.default_rng(0).normal(size=(n, 3))
    return X, da.from_array(X, chunks=(4, 2))


def test_noise_is_on_the_diagonal_of_rows_with_themselves():
    X, lazy = rows()
    kernel = NTKKernel() + WhiteKernel(0.5)
    found = gram(kernel, lazy).compute()
    assert_allclose(found, kernel(X), rtol=1e-12)
    assert_array_equal(found[:4, :4], found[:4, :4].T)
    assert_allclose(gram(kernel, lazy, lazy).compute(), NTKKernel()(X), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_blocks_without_rows(dtype):
    X, lazy = rows()
    few, kernel = X[:, 0] > X[:4, 0].max(), NTKKernel(dtype=dtype)
    some = lazy[lazy[:, 0] > X[:4, 0].max()]  # none of the first block
    assert 0 < few.sum() < 5
    for pair in ((some,), (some, lazy), (lazy, some)):
        expected = kernel(*(X[few] if each is some else X for each in pair))
        found = gram(kernel, *pair).compute()
        assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-12)
        assert found.dtype == dtype
    assert gram(kernel, lazy[:0], lazy).compute().shape == (0, 9)
    assert gram(kernel, lazy[lazy[:, 0] > 1e3], X).compute().shape == (0, 9)


def test_arrays_that_are_no_rows_are_refused():
    X, lazy = rows()
    for bad, shape in ((lazy[0], r"\(3,\)"), (lazy[None], r"\(1, 9, 3\)"), (lazy[:, :0], "")):
        for name, pair in (("X", (bad,)), ("X", (bad, X)), ("Y", (X, bad)), ("Y", (lazy, bad))):
            with pytest.raises(
                ValueError, match=rf"^{name} must be an array \(n, d\).*{shape}: pa"
            ):
                gram(NTKKernel(), *pair)
    for pair in ((lazy, lazy[:, :2]), (lazy, X[:, :2]), (X, lazy[:, :2])):
        with pytest.raises(ValueError, match="same number of columns; got 3 and 2: pass the same"):
            gram(NTKKernel(), *pair)
    unknown = lazy[:, da.from_array(np.array([True] * 3))]
    with pytest.raises(ValueError, match="Y must have a known number of columns"):
        gram(NTKKernel(), lazy, unknown)
