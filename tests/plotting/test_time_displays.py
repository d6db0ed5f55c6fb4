"""Displays of training, functions, intervals and leave-one-out errors draw what is computed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk.dynamics import Descent, LogLossTraining, Training, covariance
from sklearn_ntk.solvers import loo_errors

plt = pytest.importorskip("matplotlib.pyplot")

from sklearn_ntk.plotting import (  # noqa: E402
    CoverageDisplay,
    FunctionDisplay,
    LeaveOneOutDisplay,
    SpectrumDisplay,
    TrainingDisplay,
)

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(30, 1)), RNG.normal(size=(12, 1))
Y, Y_NEW = np.sin(2.0 * X[:, 0]), np.sin(2.0 * NEW[:, 0]) + 0.1
NTK, NNGP = NTKKernel(depth=1), NNGPKernel(depth=1)
NETWORK = {"activation": "relu", "features": None, "squash": None}


@pytest.fixture(autouse=True)
def no_windows():
    """Figures that are never shown, closed after each test."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


# --- Training -------------------------------------------------------------------------------------


def test_training():
    training, cross = Training(NTK(X)), NTK(NEW, X)
    times = [1.0, 10.0, 100.0]
    display = TrainingDisplay.from_training(
        training, Y, times, cross=cross, Y_test=Y_NEW, name="ntk", color="C3"
    )
    for line, K, targets in ((display.line_, NTK(X), Y), (display.test_line_, cross, Y_NEW)):
        errors = np.mean((training.predict(K, Y, times) - targets) ** 2, axis=1)
        assert_allclose(line.get_ydata(), errors)
        assert line.get_color() == "C3"
    learning = training.learning_times()
    shown = learning[(learning >= 1.0) & (learning <= 100.0)]
    assert len(shown) and set(display.marks_.get_xdata()) == set(shown)
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["ntk, training rows", "ntk, new rows"]
    assert display.ax_.get_xlabel() == "time" and display.ax_.get_xscale() == "log"


def test_training_by_steps():
    """Several outputs add up, steps are whole, and the axis says when they are stable."""
    training = Training(NTK(X), learning_rate=0.5, method=Descent())
    display = TrainingDisplay.from_training(training, np.stack([Y, 2.0 * Y], axis=1))
    assert_array_equal(display.times, np.round(display.times))
    assert_allclose(display.train, 10.0 * training.losses(Y, display.times))
    assert display.test_line_ is None
    bound = f"stable below {training.max_learning_rate:.3g}"
    assert display.ax_.get_xlabel() == f"steps (learning rate 0.5, {bound})"
    nothing = Training(np.zeros((3, 3)), method=Descent())
    assert len(TrainingDisplay.from_training(nothing, np.ones(3)).train) == len({*range(1, 11)})


def test_training_of_an_estimator():
    model = NTKRegressor("ntk", **NETWORK, alpha=0.01).fit(X, Y)
    display = TrainingDisplay.from_estimator(model, X, Y, NEW, Y_NEW, times=[2.0, np.inf])
    expected = [np.mean((each - Y_NEW) ** 2) for each in model.staged_predict(NEW, [2.0, np.inf])]
    assert_allclose(display.test, expected)
    assert_allclose(display.train[1], np.mean((model.predict(X) - Y) ** 2))
    assert display.name == "NTKRegressor" and display.marks_ is None
    by_default = TrainingDisplay.from_estimator(model, X, Y).times
    assert by_default[0] * model.kernel_.diag(X).mean() / 30 == pytest.approx(0.1)


def test_training_refused():
    with pytest.raises(ValueError, match="training must be a Training on the squared error"):
        TrainingDisplay.from_training(LogLossTraining(NTK(X)), Y > 0.0)
    with pytest.raises(ValueError, match="cross and Y_test must be given together"):
        TrainingDisplay.from_training(Training(NTK(X)), Y, cross=NTK(NEW, X))
    classes = NTKClassifier("ntk", **NETWORK).fit(X, Y > 0.0)
    for new in ((NEW, None), (None, Y_NEW > 0.0)):
        with pytest.raises(ValueError, match="X_test and y_test must be given together"):
            TrainingDisplay.from_estimator(classes, X, Y > 0.0, *new)
    two = np.stack([Y_NEW, Y_NEW], axis=1)
    with pytest.raises(ValueError, match="as many outputs as those of the fit, 1; got 2"):
        TrainingDisplay.from_training(Training(NTK(X)), Y, cross=NTK(NEW, X), Y_test=two)
    with pytest.raises(ValueError, match="must have staged_predict; got RandomForestRegressor"):
        TrainingDisplay.from_estimator(RandomForestRegressor(2).fit(X, Y), X, Y)
    model = NTKRegressor("precomputed").fit(NTK(X), Y)
    with pytest.raises(ValueError, match="times must be given for an estimator without a kernel"):
        TrainingDisplay.from_estimator(model, NTK(X), Y)


# --- Functions ------------------------------------------------------------------------------------


def test_functions_with_bands():
    times, x = [1.0, np.inf], np.linspace(-1.0, 1.0, 7)
    figure, ax = plt.subplots()
    display = FunctionDisplay.from_kernel(NTK, X, Y, times, start=NNGP, x=x, alpha=0.1, ax=ax)
    training, cross = Training(NTK(X), alpha=0.1), NTK(x[:, None], X)
    start = NNGP(X), NNGP(x[:, None], X)
    variances = covariance(training, cross, NNGP.diag(x[:, None]), times, start)
    assert_allclose(display.stds**2, variances)
    for line, mean in zip(display.lines_, training.predict(cross, Y, times), strict=True):
        assert_allclose(line.get_ydata(), mean)
    ends = display.bands_[0].get_paths()[0].vertices[:, 1]
    widest = np.max(display.means[0] + 1.96 * display.stds[0])
    assert ends.max() == pytest.approx(widest) and display.ax_ is ax and display.figure_ is figure
    assert_array_equal(display.points_.get_ydata(), Y)
    posterior = FunctionDisplay.from_kernel(NTK, X, Y, np.inf, x=x)
    alone = covariance(Training(NTK(X)), cross, NTK.diag(x[:, None]), np.inf)
    assert_allclose(posterior.stds[0] ** 2, alone, atol=1e-12)


def test_function_of_an_estimator():
    model = NTKRegressor("ntk", **NETWORK, alpha=0.1).fit(X, Y)
    display = FunctionDisplay.from_estimator(model, X, Y, include_noise=True, name="model")
    mean, std = model.predict(display.x[:, None], return_std=True)
    assert_allclose(display.means[0], mean)
    assert_allclose(display.stds[0], std)
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["model"]
    assert display.x[0] < X.min() and X.max() < display.x[-1]
    stages = FunctionDisplay.from_estimator(model, X, Y, times=[1.0, 5.0], x=[0.0, 1.0])
    assert_allclose(stages.means, list(model.staged_predict([[0.0], [1.0]], [1.0, 5.0])))
    assert stages.bands_ == [] and stages.lines_[1].get_label() == "t = 5"
    for x in (None, [0.0, 1.0]):
        with pytest.raises(ValueError, match=r"X must have one column .* got shape \(30, 2\)"):
            FunctionDisplay.from_kernel(NTK, np.hstack([X, X]), Y, [1.0], x=x)


def test_names_of_functions():
    """Of one the label, of several the beginning of their labels, also of those drawn again."""
    model = NTKRegressor("ntk", **NETWORK, alpha=0.1).fit(X, Y)
    alone = FunctionDisplay.from_estimator(model, X, Y)
    several = FunctionDisplay.from_kernel(NTK, X, Y, [1.0, 2.0], x=[0.0, 1.0], name="ntk")
    staged = FunctionDisplay.from_estimator(model, X, Y, times=[3.0], name="mine")
    for display, expected, again in (
        (alone, ["NTKRegressor"], ["other"]),
        (several, ["ntk, t = 1", "ntk, t = 2"], ["other, t = 1", "other, t = 2"]),
        (staged, ["mine, t = 3"], ["other, t = 3"]),
    ):
        assert [line.get_label() for line in display.lines_] == expected
        assert [line.get_label() for line in display.plot(name="other").lines_] == again


# --- Intervals ------------------------------------------------------------------------------------


def test_coverage():
    model = NTKRegressor("ntk", **NETWORK).fit(X, Y)
    display = CoverageDisplay.from_estimator(model, NEW, Y_NEW, levels=[0.5, 0.9])
    for k, level in enumerate([0.5, 0.9]):
        low, high = model.predict_interval(NEW, level).T
        assert display.coverage[k] == np.mean((low <= Y_NEW) & (Y_NEW <= high))
        assert display.widths[k] == pytest.approx(np.median(high - low))
    assert_array_equal(display.line_.get_ydata(), display.coverage)
    other = CoverageDisplay.from_estimator(model, NEW, Y_NEW, method="gaussian", ax=display.ax_)
    assert other.width_ax_ is display.width_ax_
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["conformal", "gaussian"]
    with pytest.raises(ValueError, match=r"levels must be an array of numbers; got shape \(\)"):
        CoverageDisplay.from_estimator(model, NEW, Y_NEW, levels=0.9)
    with pytest.raises(ValueError, match=r"coverage=0\.99 needs more than 30"):
        CoverageDisplay.from_estimator(model, NEW, Y_NEW, levels=[0.99])


def test_coverage_of_given_intervals():
    """Half of the targets are inside; outputs count alike, widths are means over them."""
    y = np.stack([np.arange(4.0), -np.arange(4.0)], axis=1)
    low = np.full((2, 4, 2), -5.0)
    high = low + np.array([6.0, 4.0])  # below 1, and below -1
    display = CoverageDisplay.from_predictions(y, np.stack([low, high], axis=2), [0.4, 0.6])
    assert_array_equal(display.coverage, 5.0 / 8.0)
    assert_array_equal(display.widths, 5.0)
    alone = CoverageDisplay([0.5], [0.4]).plot()
    assert alone.width_ax_ is None and alone.ax_.get_legend() is None
    with pytest.raises(ValueError, match=r"intervals must have shape \(1, 4, 2, 2\); got"):
        CoverageDisplay.from_predictions(y, np.stack([low, high], axis=2), [0.4])


# --- Leave-one-out errors -------------------------------------------------------------------------


def test_leave_one_out():
    ridges, times = [0.0, 0.1, 1.0], [1.0, 10.0, np.inf]
    display = LeaveOneOutDisplay.from_kernel(
        NTK, X, Y, ridges=ridges, times=times, learning_rate=2.0, name="ntk", cmap="magma"
    )
    residuals = Training(NTK(X), alpha=0.1, learning_rate=2.0).residuals(Y, 10.0)
    assert_allclose(display.errors[1, 1], np.mean(residuals**2) / Y.var(), rtol=1e-8)
    assert_allclose(display.mesh_.get_array(), display.errors[1:, :2])  # what has a logarithm
    row, column = np.unravel_index(display.errors[1:, :2].argmin(), (2, 2))
    assert display.best_.get_xdata() == times[column]
    assert display.best_.get_ydata() == ridges[1 + row]
    assert display.ax_.get_title() == "ntk" and display.mesh_.get_cmap().name == "magma"


def test_leave_one_out_of_zeros():
    display = LeaveOneOutDisplay.from_kernel(NTK, X, np.zeros(30))
    assert np.all(display.errors == 0.0)


def test_leave_one_out_of_estimators():
    labels = np.array(["a", "b", "c"])[np.arange(30) % 3]
    model = NTKClassifier(NTK, features=None).fit(X, labels)
    display = LeaveOneOutDisplay.from_estimator(model, X, labels)
    indicators = 1.0 * (labels[:, None] == ["a", "b", "c"])
    expected = loo_errors(NTK(X), indicators, display.ridges[:2], display.times[:3])[2]
    assert_allclose(display.errors[:2, :3], expected)
    assert display.name == "NTKClassifier" and display.errors.shape == (40, 40)
    with pytest.raises(ValueError, match="must have a kernel; got NTKRegressor"):
        LeaveOneOutDisplay.from_estimator(NTKRegressor("precomputed").fit(NTK(X), Y), X, Y)


def test_leave_one_out_in_the_times_of_the_estimator():
    model = NTKRegressor("ntk", **NETWORK, learning_rate=5.0).fit(X, Y)
    found = LeaveOneOutDisplay.from_estimator(model, X, Y, times=[1.0, 10.0])
    expected = loo_errors(model.kernel_(X), Y, found.ridges, [5.0, 50.0])[2]
    assert_allclose(found.errors, expected, rtol=1e-7)
    with pytest.raises(ValueError, match=r"two positive ridges and .* times; got 1 and 2: pass"):
        LeaveOneOutDisplay.from_estimator(model, X, Y, ridges=[0.0, 1.0], times=[1.0, 10.0])


# --- Pipelines ------------------------------------------------------------------------------------


def test_pipelines_are_their_last_estimators():
    rows, new, x = 3.0 * X + 1.0, 3.0 * NEW + 1.0, np.linspace(-5.0, 5.0, 9)
    pipeline = make_pipeline("passthrough", StandardScaler(), NTKRegressor("ntk", **NETWORK))
    pipeline.fit(rows, Y)
    scaler, model = pipeline[1:]
    draws = {
        "train": lambda model, rows, _: TrainingDisplay.from_estimator(model, rows, Y, rows, Y),
        "errors": lambda model, rows, _: LeaveOneOutDisplay.from_estimator(model, rows, Y),
        "coverage": lambda model, _, new: CoverageDisplay.from_estimator(model, new, Y_NEW),
        "alignment": lambda model, rows, _: SpectrumDisplay.from_estimator(model, rows, Y),
    }
    for name, draw in draws.items():
        found = draw(pipeline, rows, new)
        alone = draw(model, scaler.transform(rows), scaler.transform(new))
        assert_array_equal(getattr(found, name), getattr(alone, name))
        assert found.name == alone.name
    found = FunctionDisplay.from_estimator(pipeline, rows, Y, times=[3.0], x=x)
    points = scaler.transform(x[:, None])
    assert_array_equal(found.means[0], next(model.staged_predict(points, [3.0])))


def test_estimators_that_cannot_be_drawn():
    classes = NTKClassifier("ntk", **NETWORK).fit(X, Y > 0.0)
    with pytest.raises(ValueError, match=r"must have predict_interval; got NTKClassifier: call"):
        CoverageDisplay.from_estimator(classes, X, Y > 0.0)
    two = NTKRegressor("ntk", **NETWORK).fit(X, np.stack([Y, Y], axis=1))
    for times in (None, [1.0]):
        with pytest.raises(ValueError, match="must have one output; got 2: fit one of them"):
            FunctionDisplay.from_estimator(two, X, Y, times=times)


def test_columns_of_labels():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 2))
    y = (X[:, 0] > 0.0).astype(int)
    model = NTKClassifier().fit(X, y)
    flat, column = (TrainingDisplay.from_estimator(model, X, each) for each in (y, y[:, None]))
    assert_array_equal(flat.train, column.train)
    with pytest.raises(ValueError, match="one label for each of the 24 rows; got 3"):
        TrainingDisplay.from_estimator(model, X, y[:3])


def test_targets_of_functions_are_those_of_one_output():
    x = np.linspace(0.0, 1.0, 12)[:, None]
    with pytest.raises(ValueError, match=r"one number for each of the 12 rows; got shape \(6, 2\)"):
        FunctionDisplay.from_kernel(NTKKernel(), x, x.reshape(6, 2), [1.0])
    with pytest.raises(ValueError, match="must be a regressor, whose values are drawn"):
        FunctionDisplay.from_estimator(NTKClassifier().fit(x, x[:, 0] > 0.5), x, x[:, 0])
