"""Fits and products on a Dask cluster of this machine, beside those of one process.

    python benchmarks/cluster.py [--rows 20000] [--workers 1 2] [--fits cg local] [--repeat 2]

Rows are waves with noise, as of `large_n.py`; workers have one thread each, and so have all
libraries here. Printed are seconds of the clock: of a product of the Gram matrix in the memory of
the workers, or up to 64 MB, 4096 rows, in that of the client, in single precision, with 2 and with
34 columns (least of ``--repeat`` times 5), and of fits with a given ridge by each solver (least of
``--repeat``). The first column is one process without a cluster.
"""

import os

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")})

import argparse
import timeit

import numpy as np
from distributed import Client, LocalCluster
from gram import table_row
from large_n import made

from sklearn_ntk import NTKKernel, NTKRegressor
from sklearn_ntk.dask import ClusterOperator, DaskNTKRegressor
from sklearn_ntk.gram import KernelOperator

SOLVERS = {
    "cg": {},
    "local": {"leaf_size": 3000},
    "nystroem": {"n_components": 1000},
}
COLUMNS = (2, 34)


def least(function, n):
    """Least seconds of n calls."""
    return min(timeit.repeat(function, number=1, repeat=n))


def products(operator, options):
    """Yield names and seconds of products with the stored matrix."""
    stored = operator.stored(True, 0.0, "the product")
    for k in COLUMNS:
        V = np.random.default_rng(0).normal(size=(operator.shape[0], k)).astype(np.float32)
        yield f"product, {k} columns", least(lambda V=V: stored @ V, 5 * options.repeat)


def measure(operator, estimator, data, options):
    """Yield names and seconds of products and fits."""
    yield from products(operator, options)
    X, y = data[:2]
    given = {"kernel": "ntk", "activation": "relu", "features": None}
    alpha = 1e-2 * NTKKernel().diag(X).mean()
    for solver in options.fits:
        model = estimator(**given, alpha=alpha, solver=solver, **SOLVERS[solver])
        model.fit(X[:1500], y[:1500])  # loads the compiled loops
        yield f"fit, {solver}", least(lambda model=model: model.fit(X, y), options.repeat)


def on_cluster(n_workers, data, options):
    """Names and seconds on a cluster."""
    cluster = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**cluster, memory_limit=0) as cluster, Client(cluster) as client:
        operator = ClusterOperator(NTKKernel(), data[0], client)
        return dict(measure(operator, DaskNTKRegressor, data, options))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[3000, 6000, 20_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--fits", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    parser.add_argument("--repeat", type=int, default=2)
    return parser.parse_args()


def main():
    options = parse()
    heads = [f"{n} worker{'s' * (n > 1)}" for n in options.workers]
    print(table_row(["rows", "seconds of", "one process", *heads]))
    print(table_row(["---"] * (3 + len(heads))), flush=True)
    for n in options.rows:
        data = made(n)
        alone = measure(KernelOperator(NTKKernel(), data[0]), NTKRegressor, data, options)
        results = [dict(alone), *(on_cluster(m, data, options) for m in options.workers)]
        for name in results[0]:
            print(table_row([n, name, *(f"{each[name]:.3g}" for each in results)]), flush=True)


if __name__ == "__main__":
    main()
