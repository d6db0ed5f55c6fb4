"""Displays draw what they are given, on given axes or on new ones."""

import builtins

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.gaussian_process import GaussianProcessRegressor

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk.spectrum import Spectrum, critical_weight_var, phase

plt = pytest.importorskip("matplotlib.pyplot")

from sklearn_ntk.plotting import PhaseDisplay, SpectrumDisplay  # noqa: E402

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


# --- The phase diagram ----------------------------------------------------------------------------


def test_phase_diagram():
    weights, biases = np.array([0.5, 1.0, 2.0]), np.array([0.01, 0.1])
    display = PhaseDisplay.from_activation("erf", weights, biases, cmap="magma")
    assert_allclose(display.depths, phase("erf", weights[:, None], biases).correlation_depth)
    assert_allclose(display.line_.get_ydata(), critical_weight_var("erf", biases))
    assert display.ax_.get_title() == "erf" and display.mesh_.get_cmap().name == "magma"
    assert display.ax_.get_ylim() == (0.5, 2.0)


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
    with pytest.raises(ImportError, match=r"sklearn-ntk\[plot\]"):
        SpectrumDisplay.from_kernel(KERNEL, X)
