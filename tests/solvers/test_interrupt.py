"""Ctrl-C ends fits of many rows within a second."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from sklearn_ntk import NTKKernel
from sklearn_ntk.gram import KernelOperator
from sklearn_ntk.solvers import ConjugateGradient, Local, Nystroem, Ridge


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    "solver",
    [Ridge(), ConjugateGradient(tol=1e-9), Local(), Nystroem()],
    ids=lambda solver: type(solver).__name__,
)
def test_interrupt_stops_within_a_second(solver, request):
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, usual))
    n = 5000 if isinstance(solver, Ridge) else 12_000
    X = np.random.default_rng(0).standard_normal((n, 4))
    operator, y = KernelOperator(NTKKernel(), X), np.sin(X[:, 0])
    solver.fit(operator.take(np.arange(100)), y[:100])  # nothing is compiled below
    sent, ended = [], []

    def interrupt():
        sent.append(time.process_time())
        os.kill(os.getpid(), signal.SIGINT)

    for delay in (0.1, 0.3, 0.6):
        timer = threading.Timer(delay, interrupt)
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            solver.fit(operator, y)
            ended.append(delay)
            timer.join()
            time.sleep(0.1)  # a fit that was too fast fails here, and in no other test
        assert not ended
        assert time.process_time() - sent[-1] < 1.0
