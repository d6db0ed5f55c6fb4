"""What the spectrum of a kernel learns first, and how many rows that takes.

A network in training learns the components of its targets along the eigenvectors of its kernel,
those of large eigenvalues first. Above are eigenfunctions of the NTK of ReLU for points of an
interval, and two waves with noise as they are learned. Below are spectra of a rough and of a smooth
kernel for the diabetes data, how much of the targets lies along the first eigenvectors, and the
errors predicted from that, beside those of fits.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.dynamics import Training
from sklearn_ntk.plotting import LearningCurveDisplay, SpectrumDisplay
from sklearn_ntk.spectrum import Spectrum

KERNELS = {
    "NTK of ReLU": NTKKernel(depth=2),
    "NNGP of erf": NNGPKernel(depth=2, activation="erf", weight_var=0.7, bias_var=0.05),
}
SIZES = [15, 20, 40, 60, 80, 110]


def draw_functions(axes):
    """The first eigenfunctions of rows on an interval."""
    X = np.linspace(-2.0, 2.0, 60)[:, None]
    new = np.linspace(-2.5, 2.5, 300)[:, None]
    functions = Spectrum.from_kernel(KERNELS["NTK of ReLU"], X).eigenfunctions(new, 5)
    for k, function in enumerate(functions.T, 1):
        axes.plot(new, function, label=f"{k}")
    axes.axvspan(-2.0, 2.0, color="0.93", lw=0)
    axes.set(xlabel="x", title="eigenfunctions of points in the grey interval", ylim=(-3.5, 3.5))
    axes.legend(ncols=5, loc="lower center", fontsize="small")


def draw_training(axes):
    """A slow wave, a fast one and noise, as learned after several times."""
    kernel, rng = KERNELS["NTK of ReLU"], np.random.default_rng(0)
    X = np.sort(rng.uniform(-2.0, 2.0, 60))[:, None]
    new = np.linspace(-2.0, 2.0, 300)[:, None]
    y = np.sin(1.5 * X[:, 0]) + 0.5 * np.sin(7.0 * X[:, 0]) + 0.2 * rng.normal(size=60)
    times = [1.0, 100.0, 10000.0]
    outputs = Training(kernel(X)).predict(kernel(new, X), y, times)
    axes.plot(X, y, "o", color="0.6", ms=3)
    for time, output in zip(times, outputs, strict=True):
        axes.plot(new, output, label=f"t = {time:g}")
    axes.set(xlabel="x", title="the slow wave first, then the fast one, noise last")
    axes.legend(fontsize="small")


def draw_alignment(axes, spectra, y):
    """Eigenvalues, and the share of the targets along the first eigenvectors."""
    for name, spectrum in spectra.items():
        display = SpectrumDisplay.from_spectrum(spectrum, y, ax=axes, name=name)
    axes.set(title="diabetes: spectra, and what they hold of the targets", ylim=(1e-6, 1.0))
    display.alignment_ax_.legend(loc="upper center")


def draw_curves(axes, spectra, X, y):
    """Predicted test errors, and those of fits to random subsets."""
    for name, spectrum in spectra.items():
        options = {"alpha": spectrum.mean_diagonal, "random_state": 0, "name": name, "ax": axes}
        LearningCurveDisplay.from_kernel(KERNELS[name], X, y, SIZES, **options)
    axes.set(title="errors predicted from the spectrum (lines), and seen", ylim=(0.4, 0.9))


def draw():
    """Four panels: two on an interval, two on the diabetes data."""
    X, y = (scale(values) for values in load_diabetes(return_X_y=True))
    spectra = {name: Spectrum.from_kernel(kernel, X) for name, kernel in KERNELS.items()}
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    draw_functions(axes[0, 0])
    draw_training(axes[0, 1])
    draw_alignment(axes[1, 0], spectra, y)
    draw_curves(axes[1, 1], spectra, X, y)
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
