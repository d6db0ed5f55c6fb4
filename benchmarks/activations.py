"""Time of every activation a pair and layer on one thread, next to Gauss-Hermite quadrature.

The last columns are for the rule in two dimensions that is as accurate: the nodes on an axis, and
its time, of NumPy and for the NNGP alone, over ours. A rule that never gets there says at which
number of nodes the search ended, and the ratio is a lower bound.
"""

import argparse
import timeit
import warnings

import numba
import numpy as np

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.architectures import mlp
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import lower

COVARIANCE = 1.1, 1.3, 1.13
NODES = 8, 12, 16, 24, 32, 48, 64, 96, 128
TOLERANCE = 1e-10
GROWING = "exp", "monomial", "hermite", "rectified_monomial"


def seconds(function, repeats=5):
    """Least time of a call."""
    return min(timeit.repeat(function, number=1, repeat=repeats))


def time_of_layer(act, X):
    """Nanoseconds of one layer for one pair of the lower triangle, as NNGP and NTK."""
    weight_var = 0.1 if act.name in GROWING else 1.0  # or the network overflows
    shallow, deep = (lower(mlp(depth, act), weight_var, 0.1) for depth in (1, 4))

    def run(program):
        return lambda: gram(program, X, None, ("nngp", "ntk"))

    run(deep)()  # compiles
    total = seconds(run(deep)) - seconds(run(shallow))
    return total / 3 / (len(X) * (len(X) + 1) / 2) * 1e9


def exact_dual(act):
    """``E f(u) f(v)`` by our own formulas, as a Gram matrix of two rows."""
    a, b, c = COVARIANCE
    X = np.array([[np.sqrt(a), 0.0], [c / np.sqrt(a), np.sqrt(b - c * c / a)]]) * np.sqrt(2.0)
    return gram(lower(mlp(1, act), 1.0, 0.0), X, None, ("nngp",))[0][0, 1]


def by_quadrature(act, n_nodes, pairs):
    """``E f(u) f(v)`` of some pairs with equal covariances."""
    z, weight = np.polynomial.hermite_e.hermegauss(n_nodes)
    weight = weight / weight.sum()
    a, b, c = (np.full((pairs, 1, 1), x) for x in COVARIANCE)
    u = np.sqrt(a) * z[:, None]
    v = c / np.sqrt(a) * z[:, None] + np.sqrt(b - c * c / a) * z
    return np.einsum("i,j,pij->p", weight, weight, act.fn(u) * act.fn(v))


def quadrature(act):
    """Nodes on an axis of the first rule that is good enough, and nanoseconds of it a pair."""
    exact, pairs = exact_dual(act), 20
    for n_nodes in NODES:
        if abs(by_quadrature(act, n_nodes, 1)[0] / exact - 1.0) <= TOLERANCE:
            break
    else:
        n_nodes = -NODES[-1]
    elapsed = seconds(lambda: by_quadrature(act, abs(n_nodes), pairs))
    return n_nodes, elapsed / pairs * 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(ACTIVATIONS))
    parser.add_argument("-n", type=int, default=1500, help="number of rows")
    arguments = parser.parse_args()
    numba.set_num_threads(1)
    X = np.random.default_rng(0).standard_normal((arguments.n, 10))
    print(f"{'activation':20}{'ns':>8}{'nodes':>8}{'ratio':>10}")
    for name in arguments.names:
        act = ACTIVATIONS[name]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = time_of_layer(act, X)
            n_nodes, theirs = quadrature(act)
        mark = ">" if n_nodes < 0 else " "
        print(f"{name:20}{ours:8.1f}{mark:>2}{abs(n_nodes):6d}{mark:>2}{theirs / ours:8.0f}")


if __name__ == "__main__":
    main()
