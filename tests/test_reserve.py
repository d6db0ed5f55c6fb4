"""Memory of results: where it begins, who has it next, and what is kept of it."""

import gc
import mmap
import multiprocessing
import os
import subprocess
import sys
from collections import deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import ClassVar

import joblib
import numpy as np
import pytest

from sklearn_ntk import NTKKernel, _reserve
from sklearn_ntk._reserve import LARGE, _kept, empty, release

N = LARGE // 8
"""Entries of a large array in double precision."""

is_kept = pytest.mark.skipif(not hasattr(mmap, "MADV_FREE"), reason="the system keeps no memory")


@pytest.fixture(autouse=True)
def kept():
    """What is kept, at first nothing; results of other tests must not come in between."""
    gc.collect()
    release()
    return _kept


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 0), (2, 17, 3, 2), (2, 1025, 1031)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_empty_begins_with_a_line(shape, dtype):
    arrays = [empty(shape, dtype) for _ in range(5)]
    for number, array in enumerate(arrays):
        assert array.shape == shape and array.dtype == dtype and array.flags.carray
        assert array.size == 0 or address(array) % 64 == 0
        array[...] = number
    assert all(np.all(array == number) for number, array in enumerate(arrays))


@is_kept
def test_memory_is_taken_over(kept):
    array = empty((2, N), np.float64)
    place = address(array)
    del array
    assert len(kept) == 1
    array = empty((N // 2, 4), np.float64)
    assert address(array) == place and not kept
    other = empty((2, N), np.float64)
    assert not np.may_share_memory(array, other)


@is_kept
@pytest.mark.parametrize(
    "part",
    [lambda a: a[3], lambda a: a.T, lambda a: a[:, ::2].reshape(-1), memoryview, np.diag],
    ids=["row", "transposed", "reshaped", "buffer", "diagonal"],
)
def test_what_is_in_use_is_not_taken_over(part, kept):
    """By any array that shows a part of it."""
    array = empty((1000, 1000), np.float64)
    array[...] = 1.0
    seen = part(array)
    is_copy = not np.shares_memory(np.asarray(seen), array)
    del array
    assert is_copy or not kept
    other = empty((1000, 1000), np.float64)
    other[...] = 2.0
    assert np.all(np.asarray(seen) == 1.0)
    del other, seen
    assert kept


def use(*sizes):
    """Let large memory of these sizes go, the first one first."""
    arrays = [empty((size,), np.uint8) for size in sizes]
    places = [address(array) for array in arrays]
    while arrays:
        del arrays[0]
    return places


@is_kept
def test_who_takes_over(kept):
    """A result of about that size, whatever is kept besides."""
    small, large = use(LARGE, 3 * LARGE)
    array = empty((2 * LARGE,), np.uint8)
    assert address(array) not in (small, large) and len(kept) == 2
    other = empty((int(2.5 * LARGE),), np.uint8)
    assert address(other) == large and len(kept) == 1
    below = empty((LARGE // 2,), np.uint8)
    assert address(below) != small and len(kept) == 1


@is_kept
def test_the_oldest_goes_first(kept, monkeypatch):
    monkeypatch.setattr(_reserve, "LIMIT", 5 * LARGE)
    use(2 * LARGE, LARGE, 2 * LARGE)
    assert [len(memory) for memory in kept] == [2 * LARGE, LARGE, 2 * LARGE]
    use(3 * LARGE)
    assert [len(memory) for memory in kept] == [2 * LARGE, 3 * LARGE]
    use(6 * LARGE)  # alone more than the limit
    assert [len(memory) for memory in kept] == [2 * LARGE, 3 * LARGE]


class Memory(mmap.mmap):
    """Memory of a system that does as it is told to."""

    answers: ClassVar = {}

    def madvise(self, option, *arguments):
        if option in self.answers:
            raise self.answers[option]
        super().madvise(option, *arguments)


@is_kept
def test_system_without_large_pages(kept, monkeypatch):
    monkeypatch.setattr(mmap, "mmap", Memory)
    monkeypatch.setattr(Memory, "answers", {getattr(mmap, "MADV_HUGEPAGE", None): OSError("no")})
    use(LARGE)
    assert len(kept) == 1
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    use(2 * LARGE)
    assert len(kept) == 2


@is_kept
def test_system_that_could_not_have_it_back(kept, monkeypatch):
    """Then nothing is kept."""
    monkeypatch.setattr(mmap, "mmap", Memory)
    monkeypatch.setattr(Memory, "answers", {mmap.MADV_FREE: OSError("no")})
    use(LARGE)
    assert not kept
    monkeypatch.delattr(mmap, "MADV_FREE")
    array = empty((LARGE,), np.uint8)
    assert address(array) % 64 == 0
    del array
    assert not kept


@is_kept
def test_no_memory(kept, monkeypatch):
    def refuse(*arguments, **keywords):
        raise OSError(12, "Cannot allocate memory")

    use(LARGE)
    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(MemoryError, match=r"no 0\.1 GB of memory"):
        empty((10**8,), np.uint8)
    assert not kept


@is_kept
def test_room_is_made(kept, monkeypatch):
    """Memory that is kept is given back where it is in the way."""

    def refuse_at_first(*arguments, fresh=mmap.mmap, **keywords):
        if kept:
            raise OSError(12, "Cannot allocate memory")
        return fresh(*arguments, **keywords)

    use(LARGE)
    monkeypatch.setattr(mmap, "mmap", refuse_at_first)
    assert empty((2 * LARGE,), np.uint8).size == 2 * LARGE


class Contested(deque):
    """Memory that another thread takes just before this one."""

    def remove(self, memory):
        super().remove(memory)
        raise ValueError("not in deque")


@is_kept
def test_another_thread_is_faster(kept, monkeypatch):
    places = use(LARGE, LARGE)
    monkeypatch.setattr(_reserve, "_kept", Contested(kept))
    assert address(empty((LARGE,), np.uint8)) not in places


@pytest.fixture
def switching():
    """Threads that are interrupted all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_threads(switching):
    """No two threads ever hold the same memory."""

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(25):
            arrays = [empty((N + rng.integers(N // 8),), np.float64) for _ in range(2)]
            numbers = rng.random(2)
            for array, number in zip(arrays, numbers, strict=True):
                array[:: 2**12] = number
            cycle = [arrays.pop()]
            cycle.append(cycle)
            assert np.all(cycle[0][:: 2**12] == numbers[1])
            assert np.all(arrays[0][:: 2**12] == numbers[0])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))


@is_kept
def test_matrices_take_over(kept):
    """Those of a kernel: what is left of another one does not show."""
    X = np.random.default_rng(0).standard_normal((900, 3))
    kernel = NTKKernel(depth=2)
    first = kernel(X)
    place, expected = address(first), first.copy()
    del first
    assert len(kept) == 1
    other = NTKKernel(depth=1)(X)
    assert address(other) == place
    del other
    again = kernel(X)
    assert address(again) == place
    np.testing.assert_array_equal(again, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_process():
    """A child may use what its parent keeps, and neither sees what the other does."""
    code = """
import os
import numpy as np
from sklearn_ntk._reserve import LARGE, _kept, empty
empty((LARGE,), np.uint8)[:] = 1
child = os.fork()
array = empty((LARGE,), np.uint8)
array[:] = 2 if child else 3
if child:
    assert os.waitpid(child, 0)[1] == 0
    assert np.all(array == 2)
    del array
    assert len(_kept) == 1
else:
    os._exit(int(not np.all(array == 3)))
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("start", ["", "import numba\nnumba.njit(lambda: 1)()\n"])
def test_end_of_a_process(start):
    """Memory may be in use or kept then; compiled functions hold the names of the main program."""
    code = """
import numpy as np
from sklearn_ntk._reserve import LARGE, empty
one, two, three = (empty((LARGE,), np.uint8) for _ in range(3))
del one
cycle = [two]
cycle.append(cycle)
np.three = three
"""
    command = [sys.executable, "-c", start + code]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def count_kept():
    """What is kept after the use of large memory."""
    use(LARGE)
    return len(_kept)


@is_kept
def test_workers_keep_nothing():
    """Those of joblib would be replaced as if they lost memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(count_kept).result() == 0
    assert joblib.Parallel(2)(joblib.delayed(count_kept)() for _ in range(2)) == [0, 0]
    assert count_kept() > 0
