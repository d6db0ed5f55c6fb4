"""Both estimators that choose among networks, a grid for them, and data for each."""

import numpy as np
import pytest
from sklearn.datasets import load_wine, make_friedman1
from sklearn.preprocessing import scale

from sklearn_ntk import NTKClassifierCV, NTKRegressorCV

GRID = {"depth": [0, 1, 3], "kernel": ["ntk", "nngp"], "activation": ["relu", "erf"]}
ALPHAS = [0.01, 0.1, 1.0]

both = pytest.mark.parametrize("cls", [NTKRegressorCV, NTKClassifierCV])


def numbers(n=30, noise=1.0):
    X, y = make_friedman1(n, random_state=0, noise=noise)
    return scale(X), y


def classes(n=40, load=load_wine):
    X, y = load(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:n]
    return scale(X)[rows], y[rows]


def data_of(cls, n=30):
    return numbers(n) if cls is NTKRegressorCV else classes(n)
