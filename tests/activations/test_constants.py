"""Activations of a user's own with constants and truth values in them, in every network."""

from typing import NamedTuple

import contract
import contract_positions
import numpy as np
import pytest

from sklearn_ntk.activations import ACTIVATIONS, activation
from sklearn_ntk.formulas.special import saturation
from sklearn_ntk.layers import Conv, Dense, Flatten, GlobalAvgPool, Input, LayerNorm, lower

W, B = 1.4, 0.3


class Case(NamedTuple):
    """Formulas of an activation, and what they stand for: dual and slope of a covariance.

    ``deviation`` and ``gap`` take the place of what `Own` has: as functions of the variance, and
    of the gap and both deviations after the activation.
    """

    deviation: object
    gap: object
    slope: object
    dual: object
    derivative: object


def waves(deviation):
    """The activation `rbf`, with its deviation, one, in other words."""
    return Case(
        deviation,
        lambda q, x, y: 2.0 * saturation(q + (x[0] - y[0]) ** 2),
        lambda q, x, y: 2.0 - 2.0 * saturation(q + (x[0] - y[0]) ** 2),
        lambda c, a, b: np.exp(2.0 * c - a - b),
        lambda c, a, b: 2.0 * np.exp(2.0 * c - a - b),
    )


def noise(gap, deviation=lambda v: 1.0, share=1.0):
    """Rows that differ have independent features, but for what they share."""
    return Case(
        deviation,
        gap,
        lambda q, x, y: 0.0,
        lambda c, a, b: 1.0 - share + 0.0 * c,
        lambda c, a, b: 0.0 * c,
    )


def line(slope, gap=lambda q, x, y: q):
    """No activation at all."""
    return Case(np.sqrt, gap, slope, lambda c, a, b: c, lambda c, a, b: 1.0 + 0.0 * c)


CASES = {
    "number": waves(lambda v: 1.0),
    "whole number": waves(lambda v: 1),
    "NumPy number": waves(lambda v: np.float64(1.0)),
    "folded": waves(lambda v: 1.0 + 0.0 * v),
    "root": waves(lambda v: np.sqrt(1.0 + 0.0 * v)),
    "truth": waves(lambda v: v > 0.0),
    "constant truth": waves(lambda v: 1.0 + 0.0 * v > 0.5),
    "product with a truth": waves(lambda v: 1.0 * (v > 0.0)),
    "root of a truth": waves(lambda v: np.sqrt(1.0 * (v > 0.0))),
    "root of a bare truth": waves(lambda v: np.sqrt(v > 0.0)),
    "sum with a truth": waves(lambda v: 0.5 + 0.5 * (v > 0.0) + 0.0),
    "sum of truths": waves(lambda v: (v > 0.0) + (v > 0.1)),
    "product of truths": waves(lambda v: (v > 0.0) * (v < 1e9)),
    "quotient of a truth": waves(lambda v: (v > 0.0) / 1.0),
    "exponential of a truth": waves(lambda v: np.exp(1.0 * (v > 0.0)) / np.exp(1.0)),
    "constant gap": noise(lambda q, x, y: 2.0),
    "constant product": noise(lambda q, x, y: 2.0 * x[1] * y[1]),
    "gap of nothing": noise(lambda q, x, y: 0.0, share=0.0),
    "gap folded to nothing": noise(lambda q, x, y: 0.0 * q, lambda v: 1.0 + 0.0 * v, 0.0),
    "truth as a gap": noise(lambda q, x, y: q > 0.0, share=0.5),
    "truths as a gap": noise(lambda q, x, y: (q > 0.0) + (q > 1e-9), share=0.5),
    "root of a gap": noise(lambda q, x, y: np.sqrt(4.0 * (q > 0.0))),
    "gap of truths": noise(lambda q, x, y: 1.0 * (q > 0.0) * (x[1] + y[1]), lambda v: v > 0.0),
    "constant slope": line(lambda q, x, y: 1.0),
    "whole slope": line(lambda q, x, y: 1),
    "folded slope": line(lambda q, x, y: 1.0 + 0.0 * q),
    "constant truth as a slope": line(lambda q, x, y: 1.0 + 0.0 * q > 0.5),
    "truth as a slope": line(lambda q, x, y: q >= 0.0),
    "product with one": line(lambda q, x, y: (q >= 0.0) * 1.0, lambda q, x, y: 1.0 * q + 0.0),
}


@pytest.fixture
def own(request):
    """The activation of a case, and the case."""
    case = CASES[request.param]

    @activation("own")
    class Own(NamedTuple):
        gain: float = 1.0

        def features(self, v):
            return np.sqrt(v), case.deviation(v)

        def dual(self, q, left, right):
            return case.gap(q, left, right), case.slope(q, left, right)

    yield Own(), case
    del ACTIVATIONS["own"]


ROWS = np.array([[0.9, 1.2, -1.0], [0.5, -1.3, 1.1], [2.0, 0.4, 0.7], [-0.6, 0.8, 1.9]])
X, Y = ROWS[:2], ROWS[2:]


def covariances(normal, w, b):
    """Of patches of both sides behind a convolution, and their variances."""
    left, right = (Z[:, [[0, 1], [1, 2]]] for Z in (X, Y))
    c = w * np.einsum("ipc,jqc->ipjq", left, right) / 2.0 + b
    a, d = (w * (Z * Z).sum(axis=2) / 2.0 + b for Z in (left, right))
    if not normal:
        return c, a[:, :, None, None], d, c
    scale = 1.0 / np.sqrt(a[:, :, None, None] * d)
    return c * scale, np.ones_like(a)[:, :, None, None], np.ones_like(d), c * scale


def expected_kernels(case, share, normal, w, b):
    """Both kernels of a convolution, the activation, a mean over pairs of places and weights."""
    c, a, d, tangent = covariances(normal, w, b)
    dual, slope = case.dual(c, a, d), case.derivative(c, a, d)
    K, T = (np.einsum("ipjq,pq->ij", part, share) for part in (dual, slope * tangent))
    return np.stack([w * K + b, w * T + w * K + b])


READOUTS = {"pooled": (GlobalAvgPool(), 0.25), "flattened": (Flatten(), 0.5 * np.eye(2))}
each_case = pytest.mark.parametrize("own", CASES, indirect=True)
COMPILED = ["number", "truth", "sum of truths", "truths as a gap", "constant gap", "whole slope"]
COMPILED += ["constant truth as a slope"]
some_cases = pytest.mark.parametrize("own", COMPILED, indirect=True)


def check_positions(own, readout, normal, run, tolerance=1e-14):
    """Values with derivatives and without, and derivatives."""
    (act, case), (end, share) = own, READOUTS[readout]
    share = np.broadcast_to(share, (2, 2))
    rule = (LayerNorm(),) * normal
    network = (Input(3, 1), Conv(2, padding="valid"), *rule, act, end, Dense())
    expected = expected_kernels(case, share, normal, W, B)
    values, rates = run(lower(network, W, B), X, Y, True)
    scale = np.abs(expected).max()
    for found in (values, run(lower(network, W, B), X, Y)):
        assert np.abs(found - expected).max() <= tolerance * scale
    for place, moved in enumerate(np.eye(2)):
        ends = [
            expected_kernels(case, share, normal, *np.array([W, B]) * np.exp(step * moved))
            for step in (1e-5, -1e-5)
        ]
        difference = (ends[0] - ends[1]) / 2e-5
        assert np.abs(rates[..., place] - difference).max() <= 1e-9 * scale


@pytest.mark.slow
@each_case
@pytest.mark.parametrize(
    "readout, normal",
    [
        *(("pooled", False), ("flattened", True)),
        pytest.param("pooled", True, marks=pytest.mark.thorough),
        pytest.param("flattened", False, marks=pytest.mark.thorough),
    ],
)
def test_positions(own, readout, normal):
    check_positions(own, readout, normal, contract_positions.run_numpy)


@pytest.mark.thorough
@some_cases
@pytest.mark.parametrize("readout", READOUTS)
def test_compiled_positions(own, readout):
    check_positions(own, readout, False, contract_positions.run_gram)


@pytest.mark.slow
@each_case
@pytest.mark.parametrize("rule", [(), (LayerNorm(),)], ids=len)
def test_rows(own, rule):
    """They are images of one position."""
    check_rows(own[0], rule, contract.run_numpy)


@pytest.mark.thorough
@some_cases
def test_compiled_rows(own):
    check_rows(own[0], (), contract.run_numba)


def check_rows(act, rule, run):
    layers = (*rule, act, Dense(), act, Dense())
    dense = run(lower((Dense(), *layers), W, B), X, Y, True)
    alone = run(lower((Dense(), *layers), W, B), X, Y)
    image = lower((Input(1, 3), Dense(), *layers[:-1], Flatten(), Dense()), W, B)
    expected = contract_positions.run_numpy(image, X, Y, True)
    np.testing.assert_allclose(alone, dense[0], rtol=1e-15, atol=1e-15)
    for part, wanted in zip(dense, expected, strict=True):
        assert part.shape == wanted.shape
        np.testing.assert_allclose(part, wanted, rtol=1e-12, atol=1e-13)
