"""The numerical contract: pairs of rows, runs of all engines on them, and their errors.

Errors are differences to the values of `oracle`, relative to the diagonals of the Gram matrices.
"""

import inspect
from functools import cache

import gpu
import numpy as np
import oracle
import oracle_duals
import pytest

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.engines.reference import tiles as _numpy
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Dense, Residual, lower

BOTH = ("nngp", "ntk")


def run_numpy(program, X, Y, gradient=False):
    """Kernels (2, n, m), NNGP then NTK, and derivatives (2, n, m, 2), by the reference engine."""
    scan = _numpy.scan_rows(program, (np.vstack([X, Y]) ** 2).mean(axis=1), gradient)
    sides = [rows_of(scan, slice(len(X))), rows_of(scan, slice(len(X), None))]
    nngp, ntk, *rates = _numpy.run(program, _numpy.initial_gap(X, Y), *sides, gradient)
    values = np.concatenate([nngp, ntk])
    return (values, np.concatenate(rates)) if gradient else values


def rows_of(scan, part):
    """`TileRows` with the records and rates of the rows in the slice ``part``."""

    def cut(value):
        if isinstance(value, (list, tuple)):
            return type(value)(cut(item) for item in value)
        return value[part] if np.ndim(value) else value

    return scan._replace(records=cut(scan.records), rates=cut(scan.rates))


def run_numba(program, X, Y, gradient=False, **options):
    """Kernels and derivatives as `run_numpy`, by the compiled engine."""
    result = gram(program, X, Y, BOTH, gradient, **options)
    if gradient:
        return tuple(map(np.stack, result))
    return np.concatenate([part.reshape(-1, *part.shape[-2:]) for part in result])


def run_cuda(program, X, Y, gradient=False, **options):
    """Kernels and derivatives as `run_numpy`, by the engine for GPUs, or on its stand-in."""
    with gpu.ready():
        return run_numba(program, X, Y, gradient, device="cuda", **options)


ENGINES = {"numpy": run_numpy, "numba": run_numba, "cuda": run_cuda}
engines = pytest.mark.parametrize(
    "run", [pytest.param(run_numpy, marks=pytest.mark.reference), run_numba, run_cuda], ids=ENGINES
)


def to_layers(network):
    """A network of the oracle as one of the package."""
    return tuple(to_layer(*layer) for layer in network)


def to_layer(kind, *arguments):
    """One layer of the oracle as one of the package."""
    if kind == "activation":
        name, parameters = arguments
        return ACTIVATIONS[name](**parameters)
    if kind == "residual":
        return Residual(*map(to_layers, arguments))
    weight_var, bias_var, trained = arguments
    tied = (None if value in ("w", "b") else value for value in (weight_var, bias_var))
    return Dense(*tied, frozen=not trained)


def parameters_of(name):
    """Parameters that the oracle's dual of an activation takes, with values of `varied`."""
    known = oracle_duals.ALL[name]
    changed = dict(zip(ACTIVATIONS[name]._fields, varied(ACTIVATIONS[name]), strict=True))
    return {field: changed[field] for field in list(inspect.signature(known).parameters)[3:]}


def varied(cls):
    """An activation whose numbers differ from the defaults; degrees and coefficients do not."""
    defaults = cls._field_defaults.values()
    return cls(*(0.7 * x + 0.2 * (abs(x) < 0.5) if isinstance(x, float) else x for x in defaults))


def diagonals(program, X):
    """Diagonals (2, n) of NNGP and NTK."""
    rows = _numpy.scan_rows(program, (X * X).mean(axis=1))
    return np.concatenate([rows.variance, rows.ntk])


def errors(actual, expected, program, X, Y):
    """Errors (2, n, m) of both Gram matrices, relative to the diagonals."""
    left, right = (diagonals(program, Z) for Z in (X, Y))
    return relative(actual - expected, left[:, :, None], right[:, None, :])


def relative(error, left, right):
    """Errors relative to the geometric mean of two diagonal entries; to the larger if it is 0."""
    scale = np.sqrt(left) * np.sqrt(right)
    scale = np.where(scale > 0.0, scale, np.maximum(left, right))
    return np.abs(error) / (scale + (scale == 0.0))


ROW = np.array([0.3, -1.2, 0.8, 0.1, 0.5])
ASIDE = np.array([1.1, 0.4, -0.2, -0.9, 0.3])
ZERO = np.zeros(5)
PAIRS = {
    **{f"{step:g} apart": (ROW, ROW + step * ASIDE) for step in 10.0 ** -np.r_[0, 2:13:2]},
    **{f"{step:g} and longer": (ROW, 1.3 * (ROW + step * ASIDE)) for step in (1e-2, 1e-8)},
    "parallel": (ROW, 1.3 * ROW),
    "coincident": (ROW, ROW),
    "zero": (ROW, ZERO),
    "both zero": (ZERO, ZERO),
    "orthogonal": (np.eye(5)[0], np.eye(5)[1]),
}
OPPOSITE = {
    "antiparallel": (ROW, -0.7 * ROW),
    **{
        f"opposite {i}": (x, -x) for i, x in enumerate(np.random.default_rng(0).normal(size=(5, 5)))
    },
    **{f"opposite and {step:g} apart": (-ROW, ROW + step * ASIDE) for step in (1e-2, 1e-5, 1e-8)},
}
UNEQUAL = {f"{ratio:g} times": (ROW, ratio * ASIDE) for ratio in (1e-6, 1e-3, 1e3)}
ALL_PAIRS = {**PAIRS, **OPPOSITE, **UNEQUAL}


def deep(name, depth, weight_var=2.0, bias_var=0.1):
    """A network of the oracle with one activation."""
    return oracle.mlp(name, depth, weight_var, bias_var, parameters_of(name))


@cache
def exact(name, depth, bias_var):
    """Kernels of `ALL_PAIRS` in high precision, by the name of the pair."""
    return kernels_of_pairs(deep(name, depth, 2.0, bias_var), ALL_PAIRS)


def kernels_of_pairs(network, pairs):
    """Kernels of pairs in high precision, by the name of the pair."""
    return {key: np.array(oracle.kernels(network, *pairs[key], 30), float) for key in pairs}


def compare(run, network, pairs, exact_kernels, scale=relative):
    """The larger error of both kernels of each pair of ``pairs``, by the name of the pair."""
    program = lower(to_layers(network))
    X, Y = (np.array(rows) for rows in zip(*pairs.values(), strict=True))
    actual = np.diagonal(run(program, X, Y), axis1=1, axis2=2)
    desired = np.array([exact_kernels[key] for key in pairs]).T
    error = scale(actual - desired, diagonals(program, X), diagonals(program, Y))
    return dict(zip(pairs, error.max(axis=0), strict=True))


def assert_small(error, tolerance):
    """Assert that no error, by the name of the pair, exceeds the tolerance or is NaN."""
    assert {key: e for key, e in error.items() if not e <= tolerance} == {}


JUMPING = ("sign", "step")
"""Activations with a jump: their kernel depends on the square root of the gap, so that each layer
halves the number of correct digits."""


def tractable(pairs, name, depth):
    """The pairs without those so close, or so nearly opposite, that jumps amplify rounding."""
    if name not in JUMPING or depth == 1:
        return pairs
    close = ("1e-08", "1e-10", "1e-12", "parallel", "1e-05")
    return {key: rows for key, rows in pairs.items() if not any(word in key for word in close)}
