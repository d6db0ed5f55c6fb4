"""Progress, the warning before long computations, and interrupts."""

import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

from sklearn_ntk import NTKKernel, NTKRegressor
from sklearn_ntk._runtime import progress as _progress
from sklearn_ntk.layers import Conv, Dense, GlobalAvgPool, Input

POOLED = (Input(8, 8, 1), Conv(3), "relu", Conv(3), "relu", GlobalAvgPool(), Dense())


@pytest.fixture
def images():
    return np.random.default_rng(0).standard_normal((40, 64))


class Clock:
    """Stands in for the module of the clock."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_progress, "time", clock)
    return clock


def test_messages(clock, capsys):
    """A share and an estimate, at most once a second, and the whole time at the end."""
    progress = _progress.Progress(400, "Sum", "add less", verbose=1)
    for _ in range(4):
        clock.now += 50.0
        progress.add(50)
        progress.add(50)
    assert capsys.readouterr().out.splitlines() == [
        "Sum: 12 %, 5:50 left",
        "Sum: 38 %, 2:47 left",
        "Sum: 62 %, 1:30 left",
        "Sum: 88 %, 0:29 left",
        "Sum: 100 %, done in 3:20",
    ]


def test_silence(clock, capsys):
    """Nothing is printed unless asked for."""
    progress = _progress.Progress(2, "Sum", "add less")
    clock.now += 5.0
    progress.add(2)
    assert capsys.readouterr().out == ""


def test_warning_once(clock):
    """More than an hour is worth one warning, which tells what to do."""
    progress = _progress.Progress(10_000, "Sum", "add less")
    clock.now += 12.0
    with pytest.warns(UserWarning, match=r"Sum will take about 5\.6 hours: add less\."):
        progress.add(6)
    clock.now += 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        progress.add(1)


def test_no_warning_for_a_slow_beginning(clock):
    """The first units may pay for the memory of the result; the estimate is that of later ones."""
    progress = _progress.Progress(18_000, "Sum", "add less")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            clock.now += 1.8  # nine hours, at this pace
            progress.add(1)
        for _ in range(10):
            clock.now += 1.5
            progress.add(100)


def test_no_warning_below_an_hour(clock):
    """Nor is a slow beginning one."""
    progress = _progress.Progress(1000, "Sum", "add less")
    clock.now += 3.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        progress.add(1)


@pytest.mark.parametrize("network", [None, POOLED], ids=["dense", "images"])
def test_kernels_and_estimators_pass_it_on(network, images, capsys, monkeypatch):
    """``verbose`` of kernels and estimators reaches the Gram matrix."""
    monkeypatch.setattr("sklearn_ntk.engines.packing.sides.BLOCK_COLUMNS", 16)
    monkeypatch.setattr("sklearn_ntk.engines.numba.line_work.BLOCK_SECONDS", 1e-3)
    X = np.tile(images, (8, 1))[:300] + np.arange(300)[:, None]
    n = 300 if network is None else 40
    NTKKernel(architecture=network, verbose=1)(X[:n])
    assert f"Gram matrix of {n} x {n} rows: 100 %, done in 0:0" in capsys.readouterr().out
    NTKRegressor(architecture=network, verbose=1).fit(X[:n], X[:n, 0])
    assert f"Gram matrix of {n} x {n} rows: 100 %" in capsys.readouterr().out
    NTKKernel(architecture=network)(X[:n])
    assert capsys.readouterr().out == ""


def test_long_gram_matrix_warns(images, monkeypatch):
    """The warning comes out of a real computation, whichever thread finds it."""
    monkeypatch.setattr(_progress, "LONG", 0.0)
    monkeypatch.setattr(_progress, "PATIENCE", 0.0)
    monkeypatch.setattr(_progress, "INTERVAL", 0.0)
    monkeypatch.setattr("sklearn_ntk.engines.numba.line_work.BLOCK_SECONDS", 1e-3)
    with pytest.warns(UserWarning, match=r"Gram matrix of 40 x 40 rows will take about 0\.0 hours"):
        NTKKernel(architecture=POOLED)(images)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_interrupt_stops_within_a_second(request):
    """So soon, in the time of processors, the call returns: in the scan or among the pairs."""
    # a process in the background may have been told to ignore the signal
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, usual))
    network = (Input(16, 16, 1), *(Conv(3), "relu") * 3, GlobalAvgPool(), Dense())
    X = np.random.default_rng(0).standard_normal((150, 256))
    kernel = NTKKernel(architecture=network)
    kernel(X[:20])  # nothing is compiled below
    sent = []

    def interrupt():
        sent.append(time.process_time())
        os.kill(os.getpid(), signal.SIGINT)

    for delay in (0.1, 1.5):
        timer = threading.Timer(delay, interrupt)
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            kernel(X)
        timer.join()
        assert time.process_time() - sent[-1] < 1.0
