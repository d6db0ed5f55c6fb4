"""Methods of training: filters against arithmetic of high precision, bounds, rates, arguments."""

from time import process_time

import mpmath as mp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from odd_values import NO_NUMBERS, is_one_sentence
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from sklearn_ntk.dynamics import Descent, Flow, HeavyBall, MomentumFlow, Nesterov

STEPPING = [Descent(), HeavyBall(), HeavyBall(0.99), HeavyBall(0.0), Nesterov(), Nesterov(0.5)]
FLOWING = [Flow(), MomentumFlow(), MomentumFlow(0.5), MomentumFlow(0.0)]
each_method = pytest.mark.parametrize("method", [*STEPPING, *FLOWING], ids=repr)
each_stepping = pytest.mark.parametrize("method", STEPPING, ids=repr)


def map_of(method, x):
    """Matrix ``M`` of one step for residual and velocity, or the generator of a flow."""
    mu = getattr(method, "momentum", 0)
    return {
        "Flow": [[-x, 0], [0, -1]],
        "MomentumFlow": [[0, 1], [-x, mu - 1]],
        "Descent": [[1 - x, 0], [0, 0]],
        "HeavyBall": [[1 - x, mu], [-x, mu]],
        "Nesterov": [[1 - (1 + mu) * x, mu**2], [-x, mu]],
    }[type(method).__name__]


def exact_share(method, x, time):
    """One minus the residual, with 80 digits."""
    with mp.workdps(80):
        matrix = mp.matrix(map_of(method, mp.mpf(float(x))))
        if not method.is_flow:
            return 1 - (matrix ** int(time))[0, 0]
        c, time = -matrix[1, 1], mp.mpf(time)
        if isinstance(method, Flow):
            return 1 - mp.exp(-x * time)
        root = mp.sqrt(c * c - 4 * mp.mpf(float(x)))
        slope = c * time / 2 if root == 0 else c * mp.sinh(root * time / 2) / root
        return mp.re(1 - mp.exp(-c * time / 2) * (mp.cosh(root * time / 2) + slope))


def some_x(method):
    """From tiny to the bound, with critical damping, and beside it."""
    mu = getattr(method, "momentum", 0.0)
    critical = (1 - mu) ** 2 / 4 if method.is_flow else (1 - np.sqrt(mu)) ** 2
    critical = critical * np.array([1.0, 1.0 + 1e-15, 1.0 - 1e-9])
    x = np.concatenate([np.geomspace(1e-18, 0.99 * min(method.limit, 9.0), 15), critical])
    return x[x < method.limit]


@each_method
def test_filter_has_all_digits(method):
    """Relative to the largest one so far, as the residual of an oscillation may nearly be one."""
    steps = [0, 1, 2, 3, 10, 1001, 10**6, 10**12]
    times = [0.0, 1e-6, 1e-3, 0.3, 7.0, 1e3, 1e6, 1e12] if method.is_flow else steps
    x = some_x(method)
    found = method.filter(x, times)
    exact = np.array([[exact_share(method, each, time) for each in x] for time in times])
    errors = np.abs(found - exact).astype(float)
    largest = np.maximum.accumulate(np.abs(exact).astype(float))
    assert np.max(errors / np.maximum(largest, 1e-300)) < 2e-12


@each_stepping
def test_huge_numbers_of_steps(method):
    x = some_x(method)
    assert_array_equal(method.filter(x[x > 1e-10], 1e300), 1.0)
    for count in (2.0**60, 1e300, np.inf):
        assert_array_equal(method.filter([0.0], count), 0.0)
    assert_array_equal(method.filter(x, np.inf), 1.0)


@each_method
def test_a_hundred_times_are_quick(method):
    """The aim is 0.3 seconds; most methods take a hundredth."""
    x = np.geomspace(1e-12, 0.9 * min(method.limit, 4.0), 2000)
    times = np.geomspace(1.0, 1e6, 100).round()
    start = process_time()
    method.filter(x, times)
    assert process_time() - start < 0.3


@pytest.mark.parametrize("name", [True, False])
def test_steps_of_scikit_learn(name):
    """Its optimiser, on a quadratic loss with these eigenvalues."""
    method = Nesterov(0.8) if name else HeavyBall(0.8)
    L, rate = np.array([1e-3, 0.1, 1.0, 1.7]), 0.7
    theta = np.zeros(4)
    optimizer = SGDOptimizer([theta], rate, momentum=0.8, nesterov=name)
    for step in range(50):
        assert_allclose(method.filter(rate * L, step), theta, rtol=1e-12)
        optimizer.update_params([theta], [L * (theta - 1.0)])


@each_stepping
def test_limit_is_sharp(method):
    steps = np.arange(3000, 4000)
    inside = method.filter(0.99 * method.limit, steps)
    assert np.abs(inside - 1.0).max() < 1e-3
    assert np.abs(method.filter(1.01 * method.limit, 4000)) > 1e30
    assert method.filter(1.01 * method.limit, 10**7) == np.inf
    assert method.filter(1.01 * method.limit, np.inf) == np.inf


def test_without_momentum_all_are_descent():
    x, steps = np.linspace(0.0, 1.9, 30), [0, 1, 5, 1000]
    for method in (HeavyBall(0.0), Nesterov(0.0)):
        assert method.limit == Descent().limit
        assert_allclose(method.filter(x, steps), Descent().filter(x, steps), rtol=1e-12)


def test_small_steps_are_flows():
    x = np.array([1e-6, 1e-5])
    flow = Flow().filter(x, 1e5)
    assert_allclose(Descent().filter(x, 10**5), flow, rtol=1e-5)
    for method in (HeavyBall(), Nesterov(), MomentumFlow()):
        assert_allclose(method.filter(x, 10**4), flow, rtol=1e-3)
    assert_allclose(HeavyBall().filter(x, 50), MomentumFlow().filter(x, 50), rtol=0.1)


@each_method
def test_rate_is_that_of_the_slowest_part(method):
    x = np.append(np.geomspace(1e-6, 0.999 * min(method.limit, 50.0), 20), 0.07)
    for each in x:
        values = np.linalg.eigvals(np.array(map_of(method, each), dtype=float))
        expected = -values.real.max() if method.is_flow else -np.log(np.abs(values).max())
        if not isinstance(method, Flow):
            assert_allclose(method.rate(each), expected, rtol=1e-6, atol=1e-9)
    assert_array_equal(method.rate([0.0]), 0.0)
    assert_allclose(method.rate(1e-30), 1e-30 / (1.0 - getattr(method, "momentum", 0.0)))
    if np.isfinite(method.limit):
        assert method.rate(1.01 * method.limit) < 0.0
    else:
        assert np.all(method.rate(x) > 0.0)


# --- Arguments ------------------------------------------------------------------------------------


@each_method
def test_shapes(method):
    x = np.array([[0.1, 0.0, 1.0], [0.5, 0.2, 1e-3]])
    times = np.array([7.0, 1.0, 0.0, np.inf, 7.0])
    found = method.filter(x, times)
    assert found.shape == (5, 2, 3)
    for k, time in enumerate(times):
        assert_allclose(found[k], method.filter(x, time), rtol=1e-12)
    assert method.filter(0.1, 3).shape == () and method.filter(0.1, []).shape == (0,)
    assert method.filter([], [1, 2]).shape == (2, 0)
    assert_array_equal(method.filter(0.1, 3), method.filter([0.1], np.array(3))[0])
    assert_array_equal(found[2], 0.0)
    assert_array_equal(found[3], x > 0.0)


@each_method
@pytest.mark.parametrize("time", [-1, np.nan, "1", None, [1.0, -2.0], [np.nan], True, 1j, 10**400])
def test_no_times(method, time):
    with pytest.raises(ValueError, match="time must be a number >= 0; got") as error:
        method.filter([0.1], time)
    assert is_one_sentence(error)


@each_method
def test_times_have_one_axis(method):
    with pytest.raises(ValueError, match=r"times must be a number or an array \(n_tim") as error:
        method.filter(0.1, [[1, 2]])
    assert is_one_sentence(error)


@each_stepping
@pytest.mark.parametrize("time", [0.5, [1, 2.5], 1e-9])
def test_no_part_of_a_step(method, time):
    with pytest.raises(ValueError, match="time must be a whole number of steps for") as error:
        method.filter([0.1], time)
    assert is_one_sentence(error) and repr(method) in str(error.value)


@each_method
@pytest.mark.parametrize("x", [*NO_NUMBERS.values(), -1.0, [0.1, -1e-300]])
def test_no_eigenvalues(method, x):
    with pytest.raises(ValueError, match="x must be an array of finite numbers >= 0") as error:
        method.filter(x, 1)
    assert is_one_sentence(error)


@pytest.mark.parametrize("cls", [HeavyBall, Nesterov, MomentumFlow])
@pytest.mark.parametrize("momentum", [-0.1, 1.0, 2, np.nan, "0.9", None, True, [0.9]])
def test_no_momentum(cls, momentum):
    with pytest.raises(ValueError, match="momentum must be a number >= 0 and < 1; got") as error:
        cls(momentum).filter([0.1], 1)
    assert is_one_sentence(error)
