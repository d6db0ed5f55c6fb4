"""Kernels on a GPU, or on the stand-in for CuPy: what goes in and comes out, and errors."""

import sys
from functools import partial
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_ntk import NNGPKernel, NTKKernel, NTKRegressor
from sklearn_ntk._runtime.threads import run_apart
from sklearn_ntk.architectures import cnn
from sklearn_ntk.engines.packing.sides import Sides
from sklearn_ntk.gram import _length_scale, gram

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((30, 4)), RNG.standard_normal((7, 4))
KERNELS = [
    NTKKernel(2, device="cuda"),
    NNGPKernel(1, "erf", dtype="float32", device="cuda:0"),
    NTKKernel(architecture=cnn((2, 2, 1), 1), device="cuda"),
    NTKKernel(2, length_scale=[0.5, 1.0, 2.0, 3.0], device="cuda"),
]
kernels = pytest.mark.parametrize("kernel", KERNELS, ids=str)


def test_another_device(gpu):
    """Its rows are computed with there, while another one is current."""
    if gpu.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs a second device")
    with gpu.cuda.Device(1):
        rows, others = gpu.asarray(X), gpu.asarray(Y)
    kernel = clone(KERNELS[3]).set_params(device=None)
    for found, known in (
        (kernel(rows), kernel(X)),
        (kernel(rows, others), kernel(X, Y)),
        (kernel.diag(rows), kernel.diag(X)),
    ):
        assert found.device == rows.device
        assert_allclose(found.get(), known, rtol=1e-13)


@kernels
def test_cupy_in_cupy_out(gpu, kernel):
    """Also where the kernel says nothing of a device, and for types and layouts of all kinds.

    Of NumPy, the numbers are those of the processor. Rows are on the last device, while the first
    is the current one.
    """
    count = gpu.cuda.runtime.getDeviceCount()
    with gpu.cuda.Device(0 if kernel.device == "cuda:0" else count - 1):
        rows, others, coef = map(gpu.asarray, (X, Y, Y))
    nowhere, names = clone(kernel).set_params(device=None), ("__call__", "diag", "gradient_x")
    for name, more in zip(names, ((Y,), (), (Y, Y)), strict=True):
        expected, known = (getattr(each, name)(X, *more) for each in (nowhere, kernel))
        assert type(known) is np.ndarray and known.dtype == expected.dtype
        tolerance = 2e-6 if kernel.dtype == "float32" else 1e-12
        assert_allclose(known, expected, rtol=tolerance, atol=tolerance)
        for one in (kernel, nowhere):
            array = getattr(one, name)(rows, *(others, coef)[: len(more)])
            assert isinstance(array, gpu.ndarray) and array.dtype == known.dtype
            assert_array_equal(array.get(), known)
    assert_array_equal(kernel(rows).get(), kernel(X))
    for kind in ("float16", "float32", "int8"):
        array = RNG.integers(-3, 4, (5, 8)).astype(kind)
        assert_array_equal(kernel(gpu.asarray(array)[:, ::2]).get(), kernel(array[:, ::2]))


@pytest.mark.parametrize("scale", [2.0, [0.5, 1.0, 2.0, 3.0]], ids=["one", "each"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_derivatives_by_length_scales(gpu, scale, dtype, monkeypatch):
    """They stay where the rows are, and are computed there, also a few rows at a time."""
    kernel = NTKKernel(2, length_scale=scale, dtype=dtype)
    expected = kernel(X, eval_gradient=True)
    for most in (2**24, 7 * X.size):
        monkeypatch.setattr(_length_scale, "ON_DEVICE", most)
        known = clone(kernel).set_params(device="cuda")(X, eval_gradient=True)
        found = kernel(gpu.asarray(X), eval_gradient=True)
        for one, other, exact in zip(found, known, expected, strict=True):
            assert isinstance(one, gpu.ndarray) and type(other) is np.ndarray
            assert other.dtype == dtype and np.array_equal(other, other.swapaxes(0, 1))
            assert_array_equal(one.get(), other)
            tolerance = 3e-6 if dtype == "float32" else 1e-12
            assert_allclose(other, exact, rtol=0, atol=tolerance * np.abs(exact).max())


def test_no_rows(gpu):
    """Of CuPy; scikit-learn refuses those of NumPy."""
    kernel, rows, none = NTKKernel(1), gpu.asarray(X), gpu.asarray(X[:0])
    assert kernel(none).shape == (0, 0) and kernel.diag(none).shape == (0,)
    assert kernel(none, rows).shape == (0, 30) and kernel.gradient_x(none).shape == (0, 0, 4)


# --- Errors ---------------------------------------------------------------------------------------

PROGRAM = NTKKernel()._program()


def message(call, error):
    """Message of an error, which must be one sentence."""
    with pytest.raises(error) as found:
        call()
    text = str(found.value)
    assert text[-1] == "." and ". " not in text and "\n" not in text
    return text


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "CUDA", 0, b"cpu", ["cuda"], ""])
def test_unknown_devices(device):
    text = message(lambda: gram(PROGRAM, X, device=device), ValueError)
    assert text.startswith("device must be None, 'cpu', 'cuda' or 'cuda:' and a number; got")
    message(lambda: NTKKernel(device=device)(X), ValueError)


def test_devices_that_do_not_exist(gpu):
    count = gpu.cuda.runtime.getDeviceCount()
    text = message(lambda: gram(PROGRAM, X, device=f"cuda:{count}"), ValueError)
    assert f"'cuda:{count}'" in text and "'cuda:0'" in text


def test_arrays_of_several_places(gpu):
    rows = gpu.asarray(X)
    for pair in ((rows, X), (X, rows)):
        for device in (None, "cuda"):
            text = message(lambda p=pair, d=device: gram(PROGRAM, *p, device=d), ValueError)
            assert "got NumPy and CuPy on device 0" in text
    text = message(lambda: gram(PROGRAM, rows, device="cpu"), ValueError)
    assert "device='cpu' cannot take arrays of CuPy on device 0" in text
    message(lambda: gram(PROGRAM, rows, device="cuda:1"), ValueError)


@pytest.mark.parametrize(
    "rows, seen",
    [(X[0], "shape (4,)"), (np.full((2, 3), np.inf), "inf"), (1j * X, "complex"), (X[:, :0], "0)")],
)
def test_bad_rows(gpu, rows, seen):
    text = message(lambda: gram(PROGRAM, gpu.asarray(rows)), ValueError)
    assert seen in text and text == message(lambda: gram(PROGRAM, rows), ValueError)


def test_overflow(gpu):
    for dtype in ("float32", "float64"):
        rows = np.finfo(dtype).max ** 0.6 * X
        texts = [
            message(partial(gram, PROGRAM, place(rows), dtype=dtype), ValueError)
            for place in (np.asarray, gpu.asarray)
        ]
        assert texts[0] == texts[1] and "overflows" in texts[0]


@pytest.mark.parametrize("found", [None, ModuleType("cupy")])
def test_without_cupy(monkeypatch, found):
    """Also if there is a folder of this name, which Python takes for a package."""
    monkeypatch.setitem(sys.modules, "cupy", found)
    for name in list(sys.modules):
        if name.startswith("sklearn_ntk.engines.cupy"):
            monkeypatch.delitem(sys.modules, name)
    text = message(lambda: gram(PROGRAM, X, device="cuda"), ImportError)
    assert "'cuda12'" in text and "'cuda13'" in text and "device='cpu'" in text
    assert gram(PROGRAM, X).shape == (30, 30)


def test_without_a_driver(gpu, monkeypatch):
    if not hasattr(gpu, "LOG"):
        pytest.skip("takes the devices of the stand-in away")
    monkeypatch.setattr(gpu.cuda.runtime, "COUNT", 0)
    text = message(lambda: gram(PROGRAM, X, device="cuda"), RuntimeError)
    assert "cudaErrorInsufficientDriver" in text and "'cuda12'" in text


def test_without_libraries_of_cuda(gpu, monkeypatch):
    from sklearn_ntk.engines.cupy import devices

    if not hasattr(gpu, "LOG"):
        pytest.skip("takes a library of the stand-in away")

    def missing():
        raise RuntimeError('Failure finding "libnvrtc.so.12": No such file\nin some folder')

    monkeypatch.setattr(devices, "_process", [])  # libraries are looked for once
    monkeypatch.setattr(gpu.cuda.nvrtc, "getVersion", missing)
    text = message(lambda: gram(PROGRAM, X, device="cuda"), RuntimeError)
    assert "libnvrtc" in text and "'cuda12'" in text


def test_limit_of_cupy(gpu):
    """One that the user sets counts as the end of the memory."""
    if not hasattr(gpu, "LOG"):
        pytest.skip("needs memory that nobody else uses")
    rows, pool = gpu.asarray(X), gpu.get_default_memory_pool()
    pool.set_limit(gpu.LOG.used + 6000)
    try:
        text = message(lambda: gram(PROGRAM, rows), MemoryError)
    finally:
        pool.set_limit(0)
    assert "needs 7.2e-06 GB of the GPU's memory and 5.18e-06 GB are free" in text
    assert gram(PROGRAM, rows).shape == (30, 30)


class Lack(RuntimeError):
    """What CUDA and its libraries raise for memory that CuPy does not hand out."""


@pytest.fixture
def failing(gpu, monkeypatch):
    """Function that makes the next ``count`` calls fail for lack of memory; list of freed pools."""
    if not hasattr(gpu, "LOG"):
        pytest.skip("lets functions of the stand-in fail")
    freed = []
    monkeypatch.setattr(
        type(gpu.get_default_memory_pool()), "free_all_blocks", lambda self: freed.append(1)
    )

    def fail(place, name, text, count):
        own, left = getattr(place, name), [count]

        def call(*arguments, **options):
            left[0] -= 1
            if left[0] >= 0:
                raise Lack(text)
            return own(*arguments, **options)

        monkeypatch.setattr(place, name, call)
        return freed

    return fail


LACKS = {
    "__call__": "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
    "inner_products": "CUBLAS_STATUS_ALLOC_FAILED",
    "cholesky": "CUSOLVER_STATUS_ALLOC_FAILED",
    "eigh": "CUSOLVER_STATUS_ALLOC_FAILED",
}


@pytest.mark.parametrize("name, number", [*((name, 0) for name in LACKS), ("__call__", 2)])
def test_lack_of_memory_outside_of_cupy(gpu, failing, name, number):
    """It is not lacking once CuPy gives back what it keeps; else an error says so."""
    model = NTKRegressor(KERNELS[number], alpha=0.1, training_time=5.0 if name == "eigh" else None)
    expected = clone(model).fit(X, X[:, 0]).dual_coef_
    place = {"__call__": gpu._raw._Kernel, "inner_products": Sides}.get(name, gpu.linalg)
    text = LACKS[name]
    freed = failing(place, name, text, 1)
    assert_allclose(clone(model).fit(X, X[:, 0]).dual_coef_, expected, rtol=1e-9)
    assert freed == [1]
    failing(place, name, text, 10**6)
    text = message(lambda: clone(model).fit(X, X[:, 0]), MemoryError)
    assert text.startswith("The GPU has no memory left for") and "device='cpu'" in text


def test_other_errors_of_cuda(gpu, failing):
    """They stay what they are."""
    freed = failing(Sides, "inner_products", "cudaErrorIllegalAddress: an illegal memory access", 1)
    with pytest.raises(Lack, match="IllegalAddress"):
        gram(PROGRAM, X, device="cuda")
    assert not freed


def test_memory_that_is_left_to_cuda(gpu):
    """Half a gigabyte, and at most a tenth of what is free."""
    from sklearn_ntk.engines.cupy.devices import free_memory

    if not hasattr(gpu, "LOG"):
        pytest.skip("sets the limit of the stand-in")
    try:
        for free, expected in ((1e6, 0.9e6), (1e10, 0.95e10)):
            gpu.set_limit(gpu.LOG.used + free)
            assert free_memory() == pytest.approx(expected)
    finally:
        gpu.set_limit(float("inf"))


def test_forked_children(gpu, monkeypatch):
    from sklearn_ntk.engines.cupy import devices

    gram(PROGRAM, X, device="cuda")
    monkeypatch.setattr(devices.os, "getpid", lambda: 1)
    text = message(lambda: gram(PROGRAM, X, device="cuda"), RuntimeError)
    assert "Process 1 was forked" in text and "loky" in text
    if hasattr(gpu, "LOG"):  # there, threads for the CPU begin all the same

        def fail(self):
            raise RuntimeError("cudaErrorInitializationError")

        monkeypatch.setattr(gpu.cuda.Device, "__enter__", fail)
        assert run_apart(lambda: 1) == 1
