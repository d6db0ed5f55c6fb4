"""Displays draw what they are given, on given axes or on new ones."""

import builtins

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk.architectures import mlp
from sklearn_ntk.finite import LazyTrainingReport, sample_network
from sklearn_ntk.spectrum import Spectrum, critical_weight_var, phase

plt = pytest.importorskip("matplotlib.pyplot")

from sklearn_ntk.plotting import (  # noqa: E402
    LazyTrainingDisplay,
    LearningCurveDisplay,
    PhaseDisplay,
    SpectrumDisplay,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 2)), RNG.normal(size=30)
KERNEL = NTKKernel(depth=1)


@pytest.fixture(autouse=True)
def no_windows():
    """Figures that are never shown, closed after each test."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


# --- Spectra --------------------------------------------------------------------------------------


def test_spectrum():
    spectrum = Spectrum.from_kernel(KERNEL, X)
    display = SpectrumDisplay.from_spectrum(spectrum, Y, name="ntk", color="C3")
    expected = spectrum.eigenvalues / spectrum.eigenvalues.sum()
    assert_allclose(display.line_.get_ydata(), expected)
    shares = spectrum.cumulative_alignment(Y - Y.mean())
    assert_allclose(display.alignment_line_.get_ydata(), shares)
    assert display.line_.get_color() == display.alignment_line_.get_color() == "C3"
    legend = display.alignment_ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["ntk"]
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"


def test_spectra_on_the_same_axes():
    """They share the scale on the right, also in a grid of axes that share theirs."""
    _, (left, right) = plt.subplots(1, 2, sharex=True, layout="constrained")
    displays = [
        SpectrumDisplay.from_kernel(KERNEL, X, Y, ax=ax, name=name)
        for name, ax in (("first", left), ("second", left), ("third", right))
    ]
    assert displays[0].alignment_ax_ is displays[1].alignment_ax_
    assert displays[0].alignment_ax_ is not displays[2].alignment_ax_
    assert len(displays[0].alignment_ax_.lines) == len(left.lines) == 2


def test_spectrum_without_targets_on_given_axes():
    figure, ax = plt.subplots()
    display = SpectrumDisplay.from_kernel(KERNEL, X, ax=ax)
    assert display.ax_ is ax and display.figure_ is figure
    assert display.alignment_line_ is None and ax.get_legend() is None
    again = display.plot(ax, name="again")
    assert again is display and len(ax.lines) == 2


@pytest.mark.parametrize(
    "model",
    [
        NTKRegressor(KERNEL, features=None, squash=None),
        GaussianProcessRegressor(KERNEL, alpha=0.1, optimizer=None),
    ],
)
def test_regressors(model):
    display = SpectrumDisplay.from_estimator(model.fit(X, Y), X, Y)
    expected = Spectrum.from_kernel(model.kernel_, X)
    assert_allclose(display.eigenvalues, expected.eigenvalues)
    assert display.name == type(model).__name__


def test_rows_are_those_that_the_kernel_sees():
    model = NTKRegressor(KERNEL, features="diagonal").fit(X, Y)
    display = SpectrumDisplay.from_estimator(model, X, Y)
    expected = Spectrum.from_kernel(model.kernel_, model.X_fit_)
    assert_allclose(display.eigenvalues, expected.eigenvalues, rtol=1e-6)


def test_classes_are_indicators():
    labels = np.array(["a", "b", "c"])[np.arange(30) % 3]
    model = NTKClassifier(KERNEL, features=None, squash=None).fit(X, labels)
    display = SpectrumDisplay.from_estimator(model, X, labels)
    Y = (labels[:, None] == np.unique(labels)) - 1.0 / 3.0
    assert_allclose(display.alignment, Spectrum.from_kernel(KERNEL, X).cumulative_alignment(Y))


def test_estimators_without_a_kernel():
    model = NTKRegressor("precomputed").fit(KERNEL(X), Y)
    with pytest.raises(ValueError, match="must have a kernel; got NTKRegressor"):
        SpectrumDisplay.from_estimator(model, X, Y)


# --- Learning curves ------------------------------------------------------------------------------


def test_learning_curve():
    arguments = {"alpha": 0.5, "n_splits": 3, "random_state": 1}
    display = LearningCurveDisplay.from_kernel(KERNEL, X, Y, [4, 7], **arguments, name="ntk")
    expected = Spectrum.from_kernel(KERNEL, X).learning_curve(Y - Y.mean(), [4, 7], 0.5)
    at = np.searchsorted(display.curve.sizes, [4, 7])
    assert_allclose(display.line_.get_ydata()[at], expected.test)
    assert display.errors.shape == (2, 3)
    rng = np.random.RandomState(1)
    train, test = np.split(rng.permutation(30), [4])
    model = KernelRidge(alpha=0.5, kernel="precomputed").fit(
        KERNEL(X[train]), (Y - Y.mean())[train]
    )
    missed = model.predict(KERNEL(X[test], X[train])) - (Y - Y.mean())[test]
    assert_allclose(display.errors[0, 0], np.mean(missed**2))
    assert_allclose(display.errorbar_.lines[0].get_ydata(), display.errors.mean(axis=1))
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["ntk"]


def test_learning_curve_alone():
    curve = Spectrum.from_kernel(KERNEL, X).learning_curve(Y, [3, 5])
    display = LearningCurveDisplay(curve).plot(color="C4")
    assert display.errorbar_ is None and display.line_.get_color() == "C4"


def test_sizes_of_learning_curves():
    display = LearningCurveDisplay.from_kernel(KERNEL, X, np.stack([Y, Y], axis=1), n_splits=2)
    assert display.sizes[-1] == 7 and display.errors.shape == (len(display.sizes), 2)
    floats = LearningCurveDisplay.from_kernel(KERNEL, X, Y, np.array([4.0, 7.0]), random_state=0)
    whole = LearningCurveDisplay.from_kernel(KERNEL, X, Y, [4, 7], random_state=0)
    assert_allclose(floats.errors, whole.errors)
    with pytest.raises(ValueError, match="n_splits must be at least 1; got 0"):
        LearningCurveDisplay.from_kernel(KERNEL, X, Y, [4, 7], n_splits=0)
    with pytest.raises(ValueError, match="sizes must be"):
        LearningCurveDisplay.from_kernel(KERNEL, X, Y, [10, 31])


# --- The phase diagram ----------------------------------------------------------------------------


def test_no_sizes_of_learning_curves():
    X = np.random.default_rng(0).normal(size=(9, 2))
    with pytest.raises(ValueError, match="sizes must have a number of rows; got none"):
        LearningCurveDisplay.from_kernel(NTKKernel(), X, X[:, 0], sizes=[])


def test_phase_diagram():
    weights, biases = np.array([0.5, 1.0, 2.0]), np.array([0.01, 0.1])
    display = PhaseDisplay.from_activation("erf", weights, biases, cmap="magma")
    assert_allclose(display.depths, phase("erf", weights[:, None], biases).correlation_depth)
    assert_allclose(display.line_.get_ydata(), critical_weight_var("erf", biases))
    assert display.ax_.get_title() == "erf" and display.mesh_.get_cmap().name == "magma"
    assert display.ax_.get_ylim() == (0.5, 2.0)


def test_phase_diagram_of_one_variance():
    assert PhaseDisplay.from_activation("relu", [1.0, 2.0, 3.0], 0.1).depths.shape == (3, 1)


def test_phase_diagram_without_an_edge():
    figure, ax = plt.subplots()
    display = PhaseDisplay.from_activation("relu", ax=ax, name="rectifier")
    assert display.ax_ is ax and ax.get_title() == "rectifier"
    assert np.isnan(display.critical).all() and display.depths.shape == (100, 80)
    figure.canvas.draw()


def test_matplotlib_is_missing(monkeypatch):
    original = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install \"\.\[plot\]\" in"):
        SpectrumDisplay.from_kernel(KERNEL, X)


# --- Lazy training --------------------------------------------------------------------------------


def test_lazy_training():
    """Lines of each quantity are those of the checkpoints; numbers that are missing have none."""
    network = sample_network(mlp(1, "erf"), 20, n_inputs=2, random_state=0)
    rows = np.random.default_rng(0).normal(size=(8, 2))
    with_kernel = LazyTrainingReport(network, NTKKernel(1, "erf", bias_var=0.1), n_steps=20)
    report = with_kernel.fit(rows, rows[:, 0] ** 2)
    for quantity, n in (("loss", 3), ("change", 3), ("distance", 2)):
        display = LazyTrainingDisplay.from_report(report, quantity, name="erf", color="C2")
        assert len(display.lines_) == n
        for name, line in display.lines_.items():
            checkpoints = report.checkpoints_[quantity != "loss" :]  # others are zero at the start
            assert_allclose(line.get_ydata(), [getattr(c, name) for c in checkpoints])
            assert_allclose(line.get_xdata(), [c.step for c in checkpoints])
            assert line.get_label().startswith("erf, ") and line.get_color() == "C2"
        assert (display.foreseen_line_ is None) == (quantity != "change")
    display = LazyTrainingDisplay.from_report(LazyTrainingReport(network).fit(rows, rows[:, 0]))
    assert list(display.lines_) == ["loss", "linear_loss"]
    assert len({line.get_color() for line in display.lines_.values()}) == 1
    with pytest.raises(ValueError, match="one of 'loss', 'change', 'distance'; got 'weights'"):
        LazyTrainingDisplay.from_report(report, "weights")
    with pytest.raises(ValueError, match="without checkpoints: call its fit first"):
        LazyTrainingDisplay.from_report(LazyTrainingReport(network))


@pytest.mark.parametrize("quantity", ["change", "distance"])
def test_rounding_at_the_start_is_not_drawn(quantity):
    """In single precision the kernel has changed by 1e-7 before the first step."""
    rounding = [1.2e-7, 0.1, 0.2]
    names = ("jacobian_change", "kernel_change", "weight_change", "to_linear", "to_infinite")
    display = LazyTrainingDisplay([0, 1, 10], dict.fromkeys(names, rounding), quantity).plot()
    assert display.lines_
    for line in display.lines_.values():
        assert_array_equal(line.get_xdata(), [1, 10])
        assert_array_equal(line.get_ydata(), [0.1, 0.2])
