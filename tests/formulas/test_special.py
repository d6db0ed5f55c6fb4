"""Special functions against high-precision arithmetic."""

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_array_equal

from sklearn_ntk.formulas.special import (
    angle,
    arc,
    bent_arc,
    halves,
    is_variance,
    mixing,
    saturation,
)

EPS = np.finfo(float).eps
RNG = np.random.default_rng(0)  # of the module: tests draw from their own, in any order


@pytest.fixture(autouse=True)
def many_digits():
    with mp.workdps(60):
        yield


def exact(function, *arrays):
    """A high-precision function, elementwise, as exact numbers."""
    return [function(*map(mpf, map(float, numbers))) for numbers in zip(*arrays, strict=True)]


def relative_error(actual, expected):
    """Largest relative error, for which exact numbers are needed."""
    pairs = zip(map(float, actual), expected, strict=True)
    return float(max(abs(a - e) / abs(e) if e else abs(a) for a, e in pairs))


RATIOS = np.r_[0.0, 10.0 ** RNG.uniform(-18, 18, 300), RNG.uniform(0, 3, 300), 1.0, 1.0 - EPS]


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1.0, 1e30, 1e140])
def test_angle(scale, sign):
    """In both quadrants, of both slopes, at every distance from the origin."""
    y, x = scale * RATIOS, np.full_like(RATIOS, sign * scale)
    assert relative_error(angle(y, x), exact(mp.atan2, y, x)) <= 4 * EPS
    assert (
        relative_error(angle(np.abs(x), sign * y), exact(mp.atan2, np.abs(x), sign * y)) <= 4 * EPS
    )


def test_angle_on_the_axes():
    y, x = np.array([0.0, 0.0, 0.0, 2.0, 1e-320]), np.array([0.0, 3.0, -3.0, 0.0, -1.0])
    assert_array_equal(angle(y, x), [0.0, 0.0, np.pi, 0.5 * np.pi, np.pi])
    assert angle(1.0, 1.0) == 0.25 * np.pi and angle(1.0, -1.0) == 0.75 * np.pi


CHORDS = np.r_[
    0.0, 10.0 ** RNG.uniform(-190, 0, 300), RNG.uniform(0, 1, 600), 0.5, 0.5 + EPS, 0.5 - EPS, 1.0
]


def test_arc():
    """Angle and sine keep all digits, however small the chord, and the wedge those of the sine."""
    far, g, t, sine, wedge = arc(CHORDS)
    assert_array_equal(far, CHORDS > 0.5)
    folded = np.where(far, 1.0 - CHORDS, CHORDS)
    assert_array_equal(g, folded)
    assert relative_error(t, exact(lambda h: 2 * mp.asin(mp.sqrt(h)), folded)) <= 4 * EPS
    expected = exact(lambda h: 2 * mp.sqrt(h * (1 - h)), folded)
    assert relative_error(sine, expected) <= 3 * EPS
    with mp.workdps(300):  # the wedge cancels
        expected = exact(lambda h: wedge_of(2 * mp.asin(mp.sqrt(h))), folded)
    assert np.all(np.abs(wedge - expected) <= 2 * EPS * sine)


def wedge_of(t):
    return mp.sin(t) - t * mp.cos(t)


@pytest.mark.slow
@pytest.mark.parametrize("bend", [0.5, 1.0, 2.0])
def test_bent_arc(bend):
    """The same errors, for both ends of an even rectifier, whose ``bend`` is two."""
    moved, t, sine = bent_arc(CHORDS, bend)

    def moved_of(h):
        t = 2 * mp.asin(mp.sqrt(h))
        return 2 * h - mpf(bend) / mp.pi * wedge_of(t)

    assert relative_error(t, exact(lambda h: 2 * mp.asin(mp.sqrt(h)), CHORDS)) <= 4 * EPS
    expected = exact(lambda h: 2 * mp.sqrt(h * (1 - h)), CHORDS)
    assert relative_error(sine, expected) <= 3 * EPS
    with mp.workdps(300):
        expected = exact(moved_of, CHORDS)
    rest = np.array((2.0 - bend) * (CHORDS > 0.5))  # what opposite rows are apart
    assert np.all(np.abs(moved - expected) <= 2 * EPS * (bend * sine + moved) + EPS * rest)


def test_arc_beyond_the_ends():
    """Rounding may bring the argument to the end, or past it: then rows are opposite, or equal."""
    for end, h in ((1.0, 1.0 + EPS * np.arange(-4.0, 9.0)), (0.0, -EPS * np.arange(9.0))):
        far, *others = arc(h)
        assert_array_equal(far, end)
        assert not np.any(others)
        moved, t, sine = bent_arc(h, 0.5)
        assert_array_equal(moved, 1.5 * end)
        assert_array_equal(t, np.pi * end)
        assert not np.any(sine)


def lagrange(a1, b1, a2, b2):
    """``2 (a b - a1 b1 - a2 b2)`` for the norms a and b of ``(a1, a2)`` and ``(b1, b2)``."""
    return 2 * (mp.sqrt((a1**2 + a2**2) * (b1**2 + b2**2)) - a1 * b1 - a2 * b2)


def mixed(a1, b1, a2, b2):
    return mixing(halves(a1, a2, np.hypot(a1, a2)), halves(b1, b2, np.hypot(b1, b2)))


@pytest.mark.parametrize("scale", [1e-70, 1.0, 1e70])
def test_mixing(scale):
    """A square, whose error is that of its root times the root."""
    numbers = scale * np.random.default_rng(1).uniform(0.1, 3.0, (4, 200))
    actual, expected = mixed(*numbers), exact(lagrange, *numbers)
    assert np.all(actual >= 0.0)
    a, b = np.hypot(numbers[0], numbers[2]), np.hypot(numbers[1], numbers[3])
    cross = np.abs(numbers[0] * numbers[3] - numbers[2] * numbers[1]) / (a * b)
    error = np.abs(actual - np.array(expected, float)) / (a * b)
    assert np.all(error <= 8 * EPS * cross + EPS**2)


def test_mixing_of_parallel_and_zero_parts():
    assert mixed(0.7, 0.7, 0.3, 0.3) == 0.0
    assert mixed(0.7, 1.4, 0.3, 0.6) <= EPS**2
    assert mixed(0.7, 1.3, 0.0, 0.0) == 0.0 and mixed(0.0, 0.0, 0.7, 1.3) <= EPS**2
    assert mixed(0.0, 0.0, 0.0, 0.0) == mixed(0.7, 0.0, 0.3, 0.0) == 0.0
    assert mixed(0.7, 0.0, 0.0, 1.3) == pytest.approx(2 * 0.7 * 1.3, rel=4 * EPS)
    assert mixed(0.7, 1.3, 0.2, 0.0) == pytest.approx(mixed(0.2, 0.0, 0.7, 1.3), rel=20 * EPS)


def test_gap_of_a_sum():
    """The gap of a sum of kernels, from the gaps of its parts."""
    a1, b1, a2, b2 = 1.2, 0.9, 0.4, 1.1
    q1, q2 = 0.3, 0.7
    covariance = a1 * b1 - 0.5 * q1 + a2 * b2 - 0.5 * q2
    gap = 2.0 * (np.hypot(a1, a2) * np.hypot(b1, b2) - covariance)
    assert abs(q1 + q2 + mixed(a1, b1, a2, b2) - gap) <= 4 * EPS


@pytest.mark.parametrize("number", [0, 0.0, -0.0, 1, 2.5, 1e300, np.float32(1), np.int64(3)])
def test_is_variance(number):
    assert is_variance(number) is True


@pytest.mark.parametrize(
    "number",
    [-1, -1e-300, np.nan, np.inf, -np.inf, True, np.True_, None, "1", 1j, (1,), np.ones(1)],
)
def test_is_no_variance(number):
    assert is_variance(number) is False


def test_saturation():
    """All digits of small arguments, and of one minus it those that one has."""
    rng = np.random.default_rng(2)
    x = np.r_[0.0, 1e-300, 10.0 ** rng.uniform(-18, 2, 500), rng.uniform(0, 50, 500), 1e300]
    expected = exact(lambda x: -mp.expm1(-x), x)
    assert relative_error(saturation(x), expected) <= 2 * EPS
