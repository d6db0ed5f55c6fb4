"""What overflows says so, in the precision at hand, and nothing else does."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.activations import ACTIVATIONS, Hermite, Monomial, Numerical, Sin
from sklearn_ntk.architectures import cnn, mlp
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Input,
    LayerNorm,
    Recurrent,
    Residual,
    lower,
)

X = np.random.default_rng(0).standard_normal((7, 4))
SINGLE = {"dtype": "float32"}


@pytest.mark.parametrize(
    ("kernel", "scale"),
    [
        (NTKKernel(3, bias_var=0.1, **SINGLE), 1e19),
        (NTKKernel(3, bias_var=0.1, **SINGLE), 1e20),
        (NTKKernel(1, weight_var=1e39, **SINGLE), 1.0),
        (NNGPKernel(1, "exp", bias_var=0.1, **SINGLE), 8.0),
        (NNGPKernel(1, Hermite(60), bias_var=0.1, **SINGLE), 1.0),
        (NNGPKernel(1, Monomial(20), bias_var=0.1, **SINGLE), 2.0),
        (NTKKernel(2, "tanh"), 1e160),
        (NTKKernel(2, Numerical(np.tanh)), 1e160),
        (NTKKernel(architecture=(Dense(), "exp", Dense(), "tanh", Dense())), 1e3),
    ],
    ids=lambda value: str(value)[:40],
)
def test_overflow(kernel, scale):
    calls = [kernel, kernel.diag, lambda Z: kernel(Z, eval_gradient=True)]
    for call in calls:
        with pytest.raises(ValueError, match="overflows on rows whose largest entry"):
            call(scale * X)


@pytest.mark.parametrize("start", [(), (Input(4, 1),), (Input(2, 2, 1),)], ids=len)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_infinite_variance(name, start):
    """Series raise no errors of their own, and bounded activations do not hide it."""
    end = (GlobalAvgPool(),) if start else ()
    networks = [(*start, Dense(), "exp", Dense(), "exp", Dense(), name, *end, Dense())]
    if len(start) == 1 and len(start[0]) == 2:
        networks += [(*start, Recurrent("exp"), Dense(), name, Dense())]
        networks += [(*start, Dense(), "exp", Recurrent(name), Dense())]
    for network in networks:
        program = lower(network)
        for how in ({}, {"gradient": True}, SINGLE):
            for call in (gram, diagonal):
                with pytest.raises(ValueError, match="of this network overflows on"):
                    call(program, 1e3 * X, **how)


@pytest.mark.parametrize("start", [(), (Input(2, 2),)], ids=["rows", "positions"])
def test_ntk_overflows_on_the_way(start):
    """It is smaller in the end, and so is the kernel that is asked for."""
    steep, end = Sin(1.0, 1e10), (Flatten(),) if start else ()
    network = (*start, Dense(), steep, Dense(), steep, Dense(), *end, Dense(1e-10))
    program = lower(network, 1.0, 0.0)
    double = gram(program, X, X.copy())
    assert 1e28 < double.max() < 1e31
    with pytest.raises(ValueError, match=r"overflows .* take dtype=.float64"):
        gram(program, X, X.copy(), **SINGLE)
    assert np.isfinite(gram(program, X, X.copy(), "nngp", **SINGLE)).all()


@pytest.mark.parametrize("start", [(Dense(),), (Input(4, 1), Conv(3))], ids=["rows", "positions"])
def test_inverse_of_a_norm_overflows(start):
    end = () if len(start) == 1 else (GlobalAvgPool(),)
    network = (*start, LayerNorm(), "relu", *end, Dense())
    for dtype in ("float32", "float64"):
        kernel = NTKKernel(architecture=network, bias_var=0.0, dtype=dtype)
        assert np.isfinite(kernel(1e-15 * X)).all()
        if dtype == "float32":
            with pytest.raises(ValueError, match="overflows"):
                kernel(1e-20 * X)
        else:
            np.testing.assert_allclose(kernel(1e-20 * X), kernel(X), rtol=1e-10)


@pytest.mark.parametrize(
    "network", [mlp(1), cnn((2, 2, 1), 1, "pool"), cnn((2, 2, 1), 1, "flatten")], ids=len
)
def test_no_rows(network):
    program = lower(network)
    for Z, Y in ((X[:0], None), (X[:0], X), (X, X[:0])):
        K, T = gram(program, Z, Y, ("nngp", "ntk"))
        assert K.shape == T.shape == (len(Z), len(Z if Y is None else Y))
    assert diagonal(program, X[:0]).shape == (0,)


def test_gap_of_opposite_rows_overflows():
    with pytest.raises(ValueError, match="overflows"):
        gram(lower((Dense(1.0, 0.0),)), [[1.3e154], [-1.3e154]])


def test_only_what_is_asked_for_counts():
    """The NTK of a deep network is larger than its NNGP."""
    kernel = NNGPKernel(300, bias_var=0.0)
    Z = [[1e153], [2e153]]
    assert np.isfinite(kernel(Z)).all() and np.isfinite(kernel.diag(Z)).all()


WITH_LARGE_NUMBERS = {
    "weights": ((Dense(1e39), "relu", Dense(1e-39)), (Conv(3, weight_var=1e39), "relu", Dense())),
    "parameter": ((Dense(), Sin(1e39), Dense(1e-80)), (Conv(3), Sin(1e39), Dense(1e-80))),
}


@pytest.mark.parametrize("name", WITH_LARGE_NUMBERS)
@pytest.mark.parametrize("axes", [0, 1])
def test_a_number_of_a_network_overflows(name, axes):
    """Rows are so small that nothing else does."""
    network = WITH_LARGE_NUMBERS[name][axes]
    if axes:
        network = (Input(4, 1), *network, Flatten(), Dense(1e-39))
    program = lower(network, 1.0, 0.0)
    assert np.isfinite(gram(program, 1e-20 * X)).all()
    for how in ({}, {"gradient": True}):
        for call in (gram, diagonal):
            with pytest.raises(ValueError, match=r"overflows .* take dtype=.float64"):
                call(program, 1e-20 * X, **SINGLE, **how)


@pytest.mark.parametrize("name", ["abs", "tanh", "softplus"])
@pytest.mark.parametrize("start", [(), (Input(4, 1), Conv(2)), (Input(2, 2, 1), Conv(2))], ids=len)
def test_inverses_of_tiny_deviations_do_not_matter(start, name):
    """They overflow in single precision, where they are multiplied by what is zero."""
    weights, end = (start or (Dense(),)), ((Flatten(),) if start else ())
    program = lower((*weights, name, *end, Dense(bias_var=0.1)), 1.0, 0.0)
    for Z in (1e-60 * X, 1e-90 * X):
        single, double = (
            gram(program, Z, Z + 0.0, dtype=dtype) for dtype in ("float32", "float64")
        )
        np.testing.assert_allclose(single, double, rtol=1e-6)


def test_tiny_rows():
    K = NTKKernel(1, bias_var=0.0)([[1e-156, 2e-156], [1e-156, -2e-156]])
    assert np.isfinite(K).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_zero_rows_in_single_precision(name):
    program = lower(mlp(1, name), 0.5, 0.0)
    Z = np.vstack([0.1 * X, 0.0 * X[:2]])
    single, double = (gram(program, Z, dtype=dtype) for dtype in ("float32", "float64"))
    assert np.abs(single - double).max() <= 2e-6 * np.abs(double).max()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_rows_of_sizes_that_are_far_apart(name):
    """Distances of their positions are rounding, beyond what any angle makes of them."""
    network = (Input(2, 2), Conv(2, padding="circular"), name, GlobalAvgPool(), Dense())
    program = lower((*network[:2], Residual((name, Dense())), *network[2:]), 0.7, 0.0)
    Z = np.vstack([X, 1e-100 * X])
    for K in gram(program, Z, get=("nngp", "ntk")):
        assert np.abs(K).max() <= (1.0 + 1e-12) * np.diagonal(K).max()
    for K in gram(program, X, 1e-100 * X, ("nngp", "ntk")):
        assert np.isfinite(K).all()
    for rates in gram(program, Z, None, ("nngp", "ntk"), gradient=True)[1]:
        assert np.isfinite(rates).all()


def test_zero_row_of_numerical():
    """A function that is flat to all orders at zero, and one that is not zero there."""
    Z = np.vstack([0.5 * X, 0.0 * X[:1]])
    flat = Numerical(lambda x: np.maximum(x - 0.3, 0.0) ** 8)
    assert np.isfinite(NTKKernel(1, flat, bias_var=0.0)(0.2 * Z)).all()
    sigmoid = Numerical(lambda x: 1.0 / (1.0 + np.exp(-x)))
    expected = NTKKernel(1, "sigmoid", bias_var=0.0)(Z)
    assert np.abs(NTKKernel(1, sigmoid, bias_var=0.0)(Z) - expected).max() <= 1e-12


@pytest.mark.parametrize("n", [1, 7])
def test_constant_variance_before_a_series(n):
    """The rows of a closed form without variance are as many as before."""
    kernel = NTKKernel(architecture=(Dense(), "rbf", Dense(), "tanh", Dense()), bias_var=0.1)
    K, gradient = kernel(X[:n], eval_gradient=True)
    step = 1e-5
    for place, name in enumerate(("bias_var", "weight_var")):
        ends = [
            kernel.clone_with_theta(kernel.theta + sign * step * np.eye(2)[place])(X[:n])
            for sign in (1.0, -1.0)
        ]
        difference = (ends[0] - ends[1]) / (2.0 * step)
        assert np.abs(difference - gradient[..., place]).max() <= 1e-7 * K.max(), name


@pytest.mark.parametrize("call", [gram, diagonal])
@pytest.mark.parametrize("rows", [[1.0, 2.0], [[np.nan]], np.empty((3, 0))])
def test_bad_rows(call, rows):
    with pytest.raises(ValueError, match=r"array \(n, d\) of finite numbers"):
        call(lower(mlp(1)), rows)


def test_unequal_columns():
    with pytest.raises(ValueError, match="must have the same number of columns; got 4 and 2"):
        gram(lower(mlp(1)), X, X[:, :2])


def test_type_of_precision():
    assert NTKKernel(dtype=np.float32)(X).dtype == np.float32


# --- Trials of optimisers ------------------------------------------------------------------------

SHALLOW_BOUNDS = {"weight_var_bounds": (1e-3, 0.5), "bias_var_bounds": (1e-5, 1.0)}
TRIALS = {
    "exp": NTKKernel(2, "exp", 0.1, 0.1),
    "nngp": NNGPKernel(3, "exp", 0.1, 0.1),
    "monomial": NTKKernel(8, "monomial", 0.3, 0.1),
    "float32": NTKKernel(20, bias_var=0.1, dtype="float32"),
    "hermite": NTKKernel(8, Hermite(3), weight_var=0.3, bias_var=0.01),
    "numerical": NTKKernel(1, Numerical(np.sinh), 0.1, 0.1),
    "positions": NTKKernel(
        architecture=(Input(3, 1), Conv(2), "exp", GlobalAvgPool(), Dense()),
        weight_var=0.1,
        bias_var=0.1,
    ),
}
WRAPPED = {
    "alone": lambda kernel: kernel,
    "product": lambda kernel: 2.0 * kernel,
    "power": lambda kernel: kernel**2,
    "sum": lambda kernel: kernel + NNGPKernel(2, "exp", 0.1, 0.1),
}


def waves(n=30, seed=0):
    generator = np.random.default_rng(seed)
    Z = generator.standard_normal((n, 3))
    return Z, np.sin(2.0 * Z[:, 0]) + 0.1 * generator.standard_normal(n)


@pytest.fixture
def quiet():
    """Where a fit ends at a bound, or early, does not matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("name", TRIALS)
def test_likelihood_of_a_trial_that_overflows(name, wrap):
    kernel = WRAPPED[wrap](TRIALS[name])
    Z, y = waves()
    regressor = GaussianProcessRegressor(kernel + WhiteKernel(), optimizer=None).fit(Z, y)
    classifier = GaussianProcessClassifier(kernel, optimizer=None).fit(Z, y > 0.0)
    for model, fall in ((regressor, 50.0), (classifier, 0.2)):
        theta = model.kernel_.bounds[:, 1].clip(max=np.log(1e3))
        at_start = model.log_marginal_likelihood(model.kernel_.theta)
        value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
        assert value == model.log_marginal_likelihood(theta)
        assert at_start - fall * len(y) > value > -np.inf
        assert np.isfinite(gradient).all()
        back = model.log_marginal_likelihood(theta - 1e-3) - value
        assert back > 0.0
        if model is regressor:
            np.testing.assert_allclose(back, -1e-3 * gradient.sum(), rtol=0.01)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("noise", "scale"), [(0.01, 1.0), (None, 1.0), (None, 100.0)])
def test_regressor_gets_past_trials_that_overflow(noise, scale, seed):
    Z, y = waves(seed=seed)
    kernel, narrow = (NTKKernel(2, "exp", 0.1, 0.1, **bounds) for bounds in ({}, SHALLOW_BOUNDS))
    found = []
    for each in (kernel, narrow):
        model = each + WhiteKernel(1.0, (1e-5, 1e6)) if noise is None else each
        regressor = GaussianProcessRegressor(model, alpha=noise or 1e-10).fit(Z, scale * y)
        value = regressor.log_marginal_likelihood_value_
        np.testing.assert_allclose(
            regressor.log_marginal_likelihood(regressor.kernel_.theta), value, rtol=1e-6
        )
        found.append(value)
        assert np.isfinite(regressor.predict(Z)).all()
    assert found[0] >= found[1] - 0.5


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("n_classes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_classifier_gets_past_trials_that_overflow(n_classes):
    Z, y = waves()
    classes = np.digitize(y, [0.0] if n_classes == 2 else [-0.5, 0.5])
    for name in ("exp", "monomial", "float32"):
        kernel = TRIALS[name]
        model = GaussianProcessClassifier(kernel, n_restarts_optimizer=1, random_state=0)
        value = model.fit(Z, classes).log_marginal_likelihood_value_
        start = np.tile(kernel.theta, 1 if n_classes == 2 else n_classes)
        assert value >= model.log_marginal_likelihood(start) and np.isfinite(value)
        assert np.isfinite(model.predict_proba(Z)).all()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", ["exp", "monomial", "float32"])
def test_restarts_and_searches_without_gradient_get_past_trials(name):
    def search(objective, theta, bounds):
        corners = [theta, bounds[:, 1], bounds.mean(axis=1), bounds[:, 0]]
        values = [objective(corner, eval_gradient=False) for corner in corners]
        return corners[np.argmin(values)], min(values)

    Z, y = waves()
    for optimizer, restarts in ((search, 0), ("fmin_l_bfgs_b", 3)):
        kernel = TRIALS[name] + WhiteKernel()
        model = GaussianProcessRegressor(
            kernel, optimizer=optimizer, n_restarts_optimizer=restarts, random_state=0
        ).fit(Z, y)
        value = model.log_marginal_likelihood_value_
        assert value >= model.log_marginal_likelihood(kernel.theta)
        assert value == pytest.approx(model.log_marginal_likelihood(model.kernel_.theta))
        assert np.isfinite(model.predict(Z)).all()


@pytest.mark.parametrize("optimizer", ["fmin_l_bfgs_b", None])
@pytest.mark.parametrize("Model", [GaussianProcessRegressor, GaussianProcessClassifier])
def test_a_fit_that_starts_with_an_overflow_says_so(Model, optimizer):
    Z, y = waves()
    with pytest.raises(ValueError, match="overflows on rows whose largest entry"):
        Model(NTKKernel(3, "exp", bias_var=0.1), optimizer=optimizer).fit(10.0 * Z, y > 0.0)


def test_an_optimiser_that_ends_in_an_overflow_gets_no_model_of_it():
    """One that was tried leaves the kernel as given, one that was not is an error."""

    def end_tried(objective, theta, bounds):
        objective(theta)
        return bounds[:, 1], objective(bounds[:, 1])[0]

    def end_untried(objective, theta, bounds):
        return bounds[:, 1], objective(theta)[0]

    Z, y = waves()
    kernel = NTKKernel(2, "exp", 0.1, 0.1)
    model = GaussianProcessRegressor(kernel, alpha=0.1, optimizer=end_tried)
    with pytest.warns(ConvergenceWarning, match=r"ends where the kernel overflows.*as given"):
        model.fit(Z, y)
    np.testing.assert_allclose(model.kernel_.theta, kernel.theta, rtol=1e-12)
    with pytest.warns(ConvergenceWarning), pytest.raises(ValueError, match="overflows on rows"):
        model.set_params(optimizer=end_untried).fit(Z, y)


def test_other_calls_of_a_trial_stay_errors():
    kernel = NTKKernel(2, "exp", 0.1, 0.1)
    trial = kernel.clone_with_theta(kernel.bounds[:, 1])
    for call in (trial, trial.diag, lambda Z: trial(Z, Z + 1.0), clone(trial)):
        with pytest.raises(ValueError, match="overflows on rows"):
            call(X)
    for _ in range(2):
        trial.theta = kernel.bounds[:, 1]
        with pytest.raises(ValueError, match="overflows on rows"):
            trial(X, eval_gradient=True)


LARGE = {
    "power": NTKKernel(60) ** 2,
    "cube": NTKKernel(60) ** 3,
    "product": NTKKernel(60) * NNGPKernel(70),
    "single power": NTKKernel(10, dtype="float32") ** 2,
    "single product": NTKKernel(10, dtype="float32") * NTKKernel(8, dtype="float32"),
}


@pytest.mark.parametrize("kernel", LARGE.values(), ids=LARGE)
def test_trials_of_which_powers_would_overflow(kernel):
    """The likelihood falls all the way, and its gradient is that of what is computed."""
    Z, y = waves(12)
    model = GaussianProcessRegressor(kernel, alpha=0.01, optimizer=None).fit(Z, y)
    values = []
    for step in np.linspace(2.0, 6.9, 25):
        theta = np.clip(step, *model.kernel_.bounds.T)
        value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
        assert np.isfinite(gradient).all()
        values.append(value)
    assert np.isfinite(values).all() and max(values) == values[0]


def test_rows_of_any_unit_reject_what_overflows():
    """Also where the kernel is large from the start on."""
    values = []

    def search(objective, theta, bounds):
        ends = [np.array([step, *theta[1:]]) for step in (theta[0], 2.0, 4.0, 5.0, 6.9)]
        for end in ends:
            value, gradient = objective(end)
            assert np.isfinite(gradient).all()
            values.append(value)
        return ends[0], values[0]

    Z, y = waves(12)
    kernel = NTKKernel(60, bias_var=0.0) + WhiteKernel()
    GaussianProcessRegressor(kernel, optimizer=search).fit(1e60 * Z, y)
    assert np.isfinite(values).all() and min(values) == values[0]


def test_tiny_positions_before_a_normalisation_are_told_without_a_warning():
    """The inverses of their deviations overflow in products of two."""
    network = (Input(3, 1), Conv(2), LayerNorm(), "relu", GlobalAvgPool(), Dense())
    with pytest.raises(ValueError, match=r"overflows on rows whose largest entry is 3e-160"):
        NTKKernel(architecture=network, bias_var=0.0)([[1e-160, 3e-160, 2e-160]])
