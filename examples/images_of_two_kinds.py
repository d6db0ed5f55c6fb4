"""Images that examples on finite networks share: Fashion-MNIST if it is there, else digits."""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import normalize


def all_images():
    """Flat images (n, d) with pixels from 0 to 1, and labels.

    Those of ``fashion_mnist.npz`` in the folder SKLEARN_NTK_DATA, which has arrays ``X_train`` and
    ``y_train``, or those of scikit-learn.
    """
    file = Path(os.environ.get("SKLEARN_NTK_DATA", "")) / "fashion_mnist.npz"
    if "SKLEARN_NTK_DATA" in os.environ and file.is_file():
        with np.load(file) as found:
            X, y = found["X_train"], found["y_train"]
        return X.reshape(len(X), -1) / 255.0, y
    X, y = load_digits(return_X_y=True)
    return X / 16.0, y


def of_classes(classes, n):
    """The first n images of some classes, centred, of mean square one, and their labels."""
    X, y = all_images()
    chosen = np.flatnonzero(np.isin(y, classes))[:n]
    X = X[chosen] - X[chosen].mean(axis=0)
    return np.sqrt(X.shape[1]) * normalize(X), y[chosen]
