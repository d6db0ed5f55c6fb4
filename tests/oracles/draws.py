"""Random networks, rows and estimators for `trials`."""

import numpy as np
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from sklearn_ntk import (
    NNGPKernel,
    NTKClassifier,
    NTKClassifierCV,
    NTKKernel,
    NTKRegressor,
    NTKRegressorCV,
)
from sklearn_ntk.activations import ACTIVATIONS, FINITE, Numerical
from sklearn_ntk.layers import (
    AvgPool,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    Input,
    LayerNorm,
    PositionalEmbedding,
    Recurrent,
    Residual,
    SelfAttention,
    SumPool,
)
from sklearn_ntk.layers._attention import MECHANISMS
from sklearn_ntk.program.grids import PADDINGS


def pick(rng, *options):
    return options[rng.integers(len(options))]


def decades(rng, low, high):
    return float(10.0 ** rng.uniform(low, high))


def draw_activation(rng):
    """Random activation, in half of the draws with random parameters."""
    cls = pick(rng, *ACTIVATIONS.values(), Numerical)
    if cls is not Numerical and rng.random() < 0.5:
        return cls.name
    return cls(*(draw_parameter(rng, cls, field) for field in cls._fields))


def draw_parameter(rng, cls, field):
    """Random value in the domain of a parameter."""
    size = pick(rng, -1.0, 1.0) * decades(rng, -1.0, 1.0)
    some = (size, -size, int(rng.integers(7)), tuple(rng.normal(size=rng.integers(1, 5)).tolist()))
    candidates = (*some, pick(rng, np.tanh, np.arctan, np.cos), cls._field_defaults.get(field))
    return next(x for x in candidates if cls.domains.get(field, FINITE).test(x))


def draw_variance(rng):
    return pick(rng, None, None, None, 2.0, decades(rng, -1.0, 1.0), decades(rng, -4.0, 4.0), 0.0)


def draw_weights(rng, axes, **changed):
    """Random layer with weights, for rows with positions along ``axes`` axes, or without (0)."""
    given = {"weight_var": draw_variance(rng), "bias_var": draw_variance(rng)}
    given["frozen"] = bool(rng.random() < 0.1)
    if axes == 0 or rng.random() < 0.3:
        return Dense(**given)
    strides, padding = pick(rng, 1, 1, 1, 2), pick(rng, *PADDINGS)
    given |= {"strides": strides, "padding": padding} | changed
    return pick(rng, Conv, Conv, ConvTranspose)(pick(rng, 1, 2, 3), **given)


def draw_block(rng, axes, may_branch=True):
    """Random layers between two Gaussian signals."""
    act, weights = draw_activation(rng), draw_weights(rng, axes)
    options = [(act, weights)] * 2 + [(LayerNorm(), act, weights)]
    options += [(act, Dropout(float(rng.uniform(0.0, 0.9))), weights)]
    if may_branch:
        end = draw_weights(rng, axes, strides=1, padding=pick(rng, "same", "circular"))
        body = (*draw_block(rng, axes, may_branch=False)[:-1], end)
        options += [(Residual(body),)] * 2 + [(Residual(body, (act, Dense())),)]
    if axes:
        pool = pick(rng, AvgPool, SumPool)(
            pick(rng, 1, 2), pick(rng, None, 1), pick(rng, *PADDINGS)
        )
        sizes = (decades(rng, -1.0, 1.0) for _ in range(4))
        attention = SelfAttention(*sizes, draw_variance(rng), pick(rng, *MECHANISMS))
        embedding = PositionalEmbedding(decades(rng, -1.0, 1.0), pick(rng, None, 1.5))
        options += [(act, pool, weights), (attention,), (embedding,)]
    if axes == 1:
        options += [(draw_recurrent(rng, return_sequences=True), weights)]
    return pick(rng, *options)


def draw_recurrent(rng, **how):
    return Recurrent(draw_activation(rng), *(draw_variance(rng) for _ in range(3)), **how)


def draw_network(rng):
    """Random network and its number of columns; one in twenty is invalid, as it lacks a layer."""
    axes = int(pick(rng, 0, 0, 1, 2))
    shape = [int(rng.integers(1, 7 - 2 * axes)) for _ in range(axes)] + [int(rng.integers(1, 6))]
    layers = [Input(*shape)] * (axes > 0) + [draw_weights(rng, axes)]
    for _ in range(rng.integers(4)):
        layers += draw_block(rng, axes)
    if axes:
        readouts = [Flatten(), GlobalAvgPool(), GlobalSumPool()]
        layers += [pick(rng, *readouts, *[draw_recurrent(rng)] * (axes == 1)), draw_weights(rng, 0)]
    for _ in range(pick(rng, 0, 1) if axes else pick(rng, 0, 1, 2, 8)):
        layers += draw_block(rng, 0)
    if rng.random() < 0.05:
        del layers[rng.integers(len(layers))]
    return tuple(layers), int(np.prod(shape))


CHANGES = (
    lambda rng, X: (X[-1:], X[:1]),
    lambda rng, X: (X[-1:], -X[:1] * pick(rng, 1.0, 0.7)),
    lambda rng, X: (X[-1:], X[:1] + decades(rng, -12.0, -2.0) * X[-1:]),
    lambda rng, X: (X[1:2], 0.0),
    lambda rng, X: (X[2:3], 1.0),
    lambda rng, X: (X[:, :1], pick(rng, 0.0, 3.0)),
    lambda rng, X: (X, X + decades(rng, 0.0, 8.0)),
    lambda rng, X: (X, X * (rng.random(X.shape) < 0.3)),
    lambda rng, X: (X, X * 10.0 ** rng.uniform(-8.0, 8.0, (len(X), 1))),
    lambda rng, X: (X, X * 10.0 ** rng.uniform(-8.0, 8.0, X.shape[1])),
    lambda rng, X: (X, np.round(X)),
)
"""Functions of rows ``X`` that return a view of the entries to change, and their new values: equal,
opposite, close, zero or constant rows, a constant column, a large mean, sparse rows, ..."""


def draw_rows(rng, n, n_columns):
    """Normal rows (n, n_columns) with each of `CHANGES` in an eighth of draws, of random scale."""
    X = rng.standard_normal((n, n_columns))
    for change in CHANGES:
        if rng.random() < 0.12:
            part, values = change(rng, X)
            part[:] = values
    return X * pick(rng, 1.0, 1.0, decades(rng, -3.0, 3.0), decades(rng, -140.0, 140.0))


# --- Estimators -----------------------------------------------------------------------------------


def draw_estimator(rng):
    """Random estimator and its number of columns."""
    network, n_columns = draw_network(rng)
    mlp = {"depth": int(rng.integers(6)), "activation": draw_activation(rng)}
    how = pick(rng, {"architecture": network}, mlp)
    how |= {"weight_var": decades(rng, -1.0, 1.0), "bias_var": pick(rng, 0.0, 1.0)}
    kernel, name = pick(rng, (NTKKernel, "ntk"), (NNGPKernel, "nngp"))
    if rng.random() < 0.1:
        regressor = GaussianProcessRegressor(kernel(**how) + WhiteKernel(), normalize_y=True)
        return pick(
            rng, regressor, GaussianProcessClassifier(kernel(**how | {"bias_var": 1.0}))
        ), n_columns
    if rng.random() < 0.1:
        grid = {"depth": [1, 2], "activation": [mlp["activation"]]}
        return pick(rng, NTKRegressorCV, NTKClassifierCV)(grid), n_columns
    how["kernel"] = name
    if rng.random() < 0.5:
        loss = pick(rng, "squared_error", "hinge", "log_loss")
        return NTKClassifier(**how, loss=loss), n_columns
    how |= pick(rng, {}, {}, {"training_time": pick(rng, "auto", decades(rng, -3.0, 3.0))})
    return NTKRegressor(**how, alpha=pick(rng, "auto", "auto", 0.0, 1.0)), n_columns
