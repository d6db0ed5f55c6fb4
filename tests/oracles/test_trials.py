"""A few random trials; tests that all layers and activations are drawn, and failures noticed."""

import os
import time

import numpy as np
import pytest
from draws import draw_network, draw_rows
from invariants import INVARIANTS, KernelTrial, is_refusal
from sklearn.gaussian_process import GaussianProcessClassifier
from trials import attempt, supervise

from sklearn_ntk import layers
from sklearn_ntk.activations import ACTIVATIONS, as_activation
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Output, lower


@pytest.mark.parametrize(
    "seed",
    [
        *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2)),
        *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(2, 20)),
    ],
)
def test_trials(seed):
    """More of them: ``python tests/oracles/trials.py --n 10000``."""
    end, reason = attempt(seed)
    assert end != "failed", f"python tests/oracles/trials.py --n 1 --seed {seed}: {reason}"


def test_trials_try_everything():
    rng = np.random.default_rng(0)
    text = " ".join(str(draw_network(rng)[0]) for _ in range(400))
    kinds = {name for name in layers.__all__ if name[0].isupper()} - {Output.__name__}
    assert {kind for kind in kinds if f"{kind}(" not in text} == set()
    for name in ACTIVATIONS:
        cls = type(as_activation(name)).__name__
        assert f"'{name}'" in text and f"{cls}(" in text, name


def test_rows_are_of_all_scales():
    rng = np.random.default_rng(0)
    sizes = [np.abs(draw_rows(rng, 3, 2)).max() for _ in range(300)]
    assert min(sizes) < 1e-100 and max(sizes) > 1e100 and np.isfinite(sizes).all()


def refuse(function, *arguments):
    with pytest.raises((ValueError, TypeError)) as found:
        function(*arguments)
    return found.value


def test_refusals():
    """Errors raised on purpose by the package or scikit-learn are refusals, those of NumPy not."""
    program, X = lower((layers.Dense(),)), np.ones((2, 3))
    assert is_refusal(refuse(gram, program, 1e200 * X))
    assert is_refusal(refuse(gram, program, X, X[:, :2]))
    assert not is_refusal(refuse(np.reshape, X, (4, 2)))
    assert is_refusal(refuse(GaussianProcessClassifier().fit, X, [1, 1]))  # without a full stop


@pytest.mark.parametrize("name", INVARIANTS)
def test_faults_are_noticed(name):
    """Correct kernels violate no invariant, and wrong matrices violate each of them."""
    rng = np.random.default_rng(0)
    trial = KernelTrial(rng)
    trial.network, trial.variances = (layers.Dense(), "erf", layers.Dense()), (1.0, 0.1)
    trial.X = trial.Y = rng.standard_normal((4, 3))
    trial.order = np.array([2, 0, 3, 1])
    assert list(trial.failures()) == []
    noise = rng.standard_normal(trial.K.shape)
    trial.K = np.nan * noise if name == "numbers that are not finite" else trial.K + 9.0 * noise
    trial.with_gradient[1] += noise[..., None]
    check, *bound = INVARIANTS[name]
    assert not check(trial) <= trial.loosened(*bound)


def serve_badly(seeds, pipe):
    """Seed 1 never ends, and 3 ends the process."""
    for seed in seeds:
        if seed == 1:
            time.sleep(1e3)
        if seed == 3:
            os._exit(1)
        pipe.send((seed, "passed", "", 0.0))


@pytest.mark.thorough
def test_hangs_and_crashes():
    found = list(supervise(range(5), limit=8.0, serve=serve_badly))
    assert [seed for seed, *_ in found] == list(range(5))
    ends = [(end, reason) for _, end, reason, _ in found]
    assert ends[::2] == [("passed", "")] * 3
    assert ends[1] == ("failed", "no end after 8 seconds")
    assert ends[3] == ("failed", "the process crashed")
