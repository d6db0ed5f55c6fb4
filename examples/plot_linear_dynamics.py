"""A deep network trains as its linear model: five hidden layers of rectifiers on 256 images.

After Lee et al. (NeurIPS 2019), figure 3: gradient descent with all rows on the squared error, for
images of two classes, of scikit-learn's digits or, where SKLEARN_NTK_DATA names a folder that has
it, of Fashion-MNIST. Left, the loss of the network, of its linear model, by the kernel that it has
at the start, and of the infinitely wide network from the same outputs; in the middle, changes, and
as a thin line the change of the Jacobian that the linear model foresees; right, how far predictions
for new images are from both. The kernel at the start is the better predictor. ``--width 2048`` is
the width of the paper; ``--single 1`` trains in single precision, as there, by torch, which takes
two thirds of the time at this width, and no less time at width 512.
"""

import matplotlib.pyplot as plt
import numpy as np
from images_of_two_kinds import of_classes
from picture import show

from sklearn_ntk import NTKKernel
from sklearn_ntk.architectures import mlp
from sklearn_ntk.finite import LazyTrainingReport, sample_network
from sklearn_ntk.plotting import LazyTrainingDisplay

N_TRAIN, N_NEW = 256, 64


def draw(width, steps, single):
    """Three panels: losses, changes, and distances."""
    X, labels = of_classes((0, 6), N_TRAIN + N_NEW)
    y = np.where(labels[:N_TRAIN] == 0, 1.0, -1.0)
    X, X_new = X[:N_TRAIN], X[N_TRAIN:]
    network = sample_network(mlp(5), width, n_inputs=X.shape[1], random_state=0)
    network = network.to_torch().float() if single else network
    kernel = NTKKernel(depth=5, bias_var=0.1)
    report = LazyTrainingReport(network, kernel, n_steps=steps, n_checkpoints=8)
    report.fit(X, y, X_new)
    last = report.checkpoints_[-1]
    print(report.verdict_)
    print(
        f"losses {last.loss:.3g}, linear {last.linear_loss:.3g}, infinite {last.infinite_loss:.3g}"
        f"; kernel at the start to infinite {report.kernel_to_infinite_:.3g}"
    )
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    for cell, quantity in zip(axes, ("loss", "change", "distance"), strict=True):
        LazyTrainingDisplay.from_report(report, quantity, ax=cell, marker=".")
    axes[1].set_ylim(bottom=2e-5)  # below the lines
    figure.suptitle(f"five hidden layers of width {width}, {N_TRAIN} images")
    return figure


if __name__ == "__main__":
    show(draw, __doc__, width=512, steps=60, single=0)
