"""Optimisers of Gaussian processes get past hyperparameters of which the kernel overflows."""

import warnings
from itertools import product

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.activations import Hermite, Numerical
from sklearn_ntk.layers import Conv, Dense, GlobalAvgPool, Input

# --- Trials of optimisers ------------------------------------------------------------------------

SHALLOW_BOUNDS = {"weight_var_bounds": (1e-3, 0.5), "bias_var_bounds": (1e-5, 1.0)}
TRIALS = {
    "exp": NTKKernel(2, "exp", 0.1, 0.1),
    "nngp": NNGPKernel(3, "exp", 0.1, 0.1),
    "monomial": NTKKernel(8, "monomial", 0.3, 0.1),
    "float32": NTKKernel(20, bias_var=0.1, dtype="float32"),
    "hermite": NTKKernel(8, Hermite(3), weight_var=0.3, bias_var=0.01),
    "numerical": NTKKernel(1, Numerical(np.sinh), 0.1, 0.1),
    "length scales": NTKKernel(2, "exp", 0.1, 0.1, length_scale=[1.0, 2.0, 3.0]),
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
COVERING = {
    *((name, "alone") for name in TRIALS),
    *(("monomial", "product"), ("length scales", "product"), ("numerical", "power")),
    *(("float32", "power"), ("float32", "sum"), ("positions", "sum")),
}
"""Each kernel, and each way to wrap one of two of them."""


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


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "name, wrap",
    [
        pytest.param(*pair, marks=[pytest.mark.thorough] * (pair not in COVERING))
        for pair in product(TRIALS, WRAPPED)
    ],
)
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
        back = model.log_marginal_likelihood(theta - 0.1) - value  # classifiers know it to 0.01
        assert back > 0.0
        if model is regressor:
            np.testing.assert_allclose(back, -0.1 * gradient.sum(), rtol=0.01)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2))]
)
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
    for name in ("exp", "monomial", "float32") if n_classes == 2 else ("exp",):
        kernel = TRIALS[name]
        model = GaussianProcessClassifier(kernel, n_restarts_optimizer=1, random_state=0)
        value = model.fit(Z, classes).log_marginal_likelihood_value_
        start = np.tile(kernel.theta, 1 if n_classes == 2 else n_classes)
        assert value >= model.log_marginal_likelihood(start) and np.isfinite(value)
        assert np.isfinite(model.predict_proba(Z)).all()


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", ["exp", "monomial", "float32"])
def test_restarts_and_searches_without_gradient_get_past_trials(name):
    def search(objective, theta, bounds):
        corners = [theta, bounds[:, 1], bounds.mean(axis=1), bounds[:, 0]]
        values = [objective(corner, eval_gradient=False) for corner in corners]
        return corners[np.argmin(values)], min(values)

    Z, y = waves(15)
    for optimizer, restarts in ((search, 0), ("fmin_l_bfgs_b", 2)):
        kernel = TRIALS[name] + WhiteKernel()
        model = GaussianProcessRegressor(
            kernel, optimizer=optimizer, n_restarts_optimizer=restarts, random_state=3
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
    with pytest.warns(ConvergenceWarning, match=r"kernel overflows.*as given, and .* is not that"):
        model.fit(Z, y)
    np.testing.assert_allclose(model.kernel_.theta, kernel.theta, rtol=1e-12)
    with pytest.warns(ConvergenceWarning), pytest.raises(ValueError, match="overflows on rows"):
        model.set_params(optimizer=end_untried).fit(Z, y)


def test_other_calls_of_a_trial_stay_errors():
    X, kernel = waves(7)[0], NTKKernel(2, "exp", 0.1, 0.1)
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


@pytest.mark.parametrize(
    "name",
    [
        *("power", "single product"),
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("cube", "product", "single power")),
    ],
)
def test_trials_of_which_powers_would_overflow(name):
    """The likelihood falls all the way, and its gradient is that of what is computed."""
    Z, y = waves(12)
    model = GaussianProcessRegressor(LARGE[name], alpha=0.01, optimizer=None).fit(Z, y)
    values = []
    for step in np.linspace(2.0, 6.9, 8):
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
