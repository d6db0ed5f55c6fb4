"""Kernels with all kinds of networks and hyperparameters, and rows and targets for them."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.preprocessing import StandardScaler

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.activations import Erf, ReLU
from sklearn_ntk.layers import Dense, Residual

UNTIED = (Dense(1.5, 0.2), "relu", Dense(1.2, 0.0, frozen=True), "relu", Dense(0.7, 0.3))
WEIGHTS_TIED = (Dense(bias_var=0.2), "relu", Dense(bias_var=0.3))
BIASES_TIED = (Dense(1.4), "relu", Dense(1.1))
RESIDUAL = (Dense(), Residual(("relu", Dense(0.5))), "relu", Dense())
SHORTCUT = (Dense(), Residual(("relu", Dense()), (Dense(0.5, 0.0),)), "relu", Dense())
MIXED = (Dense(), ReLU(1.2), Dense(1.3), Erf(), Dense())

NETWORKS = {
    "ntk": NTKKernel(),
    "nngp": NNGPKernel(),
    "ntk-linear": NTKKernel(depth=0),
    "nngp-linear": NNGPKernel(depth=0, bias_var=0.4),
    "ntk-shallow": NTKKernel(1, ReLU(0.7), 1.3, 0.6),
    "ntk-erf": NTKKernel(depth=1, activation="erf", weight_var=1.2),
    "nngp-erf": NNGPKernel(3, Erf(scale=1.5, rate=0.7), 1.7, 0.3),
    "ntk-no-bias": NTKKernel(depth=2, bias_var=0),
    "nngp-no-bias": NNGPKernel(depth=1, activation="erf", bias_var=0.0),
    "ntk-frozen": NTKKernel(3, n_frozen=3),
    "ntk-untied": NTKKernel(architecture=UNTIED),
    "ntk-weights-tied": NTKKernel(architecture=WEIGHTS_TIED),
    "nngp-biases-tied": NNGPKernel(architecture=BIASES_TIED),
    "ntk-residual": NTKKernel(weight_var=1.4, architecture=RESIDUAL),
    "nngp-shortcut": NNGPKernel(weight_var=1.4, architecture=SHORTCUT),
    "ntk-mixed": NTKKernel(bias_var=0.3, architecture=MIXED),
    "ntk-weight-fixed": NTKKernel(weight_var_bounds="fixed"),
    "nngp-bias-fixed": NNGPKernel(bias_var_bounds="fixed"),
    "ntk-all-fixed": NTKKernel(weight_var_bounds="fixed", bias_var_bounds="fixed"),
    "ntk-lengths": NTKKernel(length_scale=[0.5, 1.0, 3.0]),
    "nngp-length": NNGPKernel(activation="erf", bias_var=0.0, length_scale=2.0),
    "ntk-lengths-fixed": NTKKernel(length_scale=[0.5, 1, 3], length_scale_bounds="fixed"),
    "nngp-only-lengths": NNGPKernel(length_scale=[0.5, 1.0, 3.0], architecture=UNTIED),
    "ntk-on-gpu": NTKKernel(1, "erf", length_scale=[2.0, 1.0, 0.5], device="cuda"),
    "nngp-on-gpu": NNGPKernel(weight_var=1.4, architecture=SHORTCUT, device="cuda"),
}
COMPOSITES = {
    "sum": NTKKernel(depth=1) + WhiteKernel(0.2),
    "product": ConstantKernel(0.5) * NNGPKernel(depth=1),
    "power": NTKKernel(depth=1) ** 2,
    "fixed-in-sum": NTKKernel(depth=1, bias_var=0.0) + RBF(0.8),
    "lengths-in-sum": NTKKernel(depth=1, length_scale=[2.0, 1.0, 0.5]) ** 2 + WhiteKernel(0.1),
    "nested": (2.0 * NTKKernel(depth=1) + NNGPKernel(activation="erf", depth=1)) * RBF(2.0),
}
KERNELS = NETWORKS | COMPOSITES

network = pytest.mark.parametrize("kernel", NETWORKS.values(), ids=NETWORKS)
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def rows(n=7, d=3, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, d))
    X.flags.writeable = False
    return X


def regression_data(n=30, seed=1, noise=0.1):
    X = rows(n, 2, seed)
    errors = np.random.default_rng(seed + 100).normal(size=n)
    return X, np.sin(2.0 * X[:, 0]) + 0.5 * X[:, 1] + noise * errors


def noisy_classes():
    X, y = regression_data(40, noise=0.5)
    return X, np.where(y > 0, "up", "down")


def classes(n=45, centers=3):
    X, y = make_blobs(n, centers=centers, cluster_std=0.5, random_state=0)
    return StandardScaler().fit_transform(X), y
