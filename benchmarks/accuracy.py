"""Errors of the kernels against arithmetic of 30 digits; README.md says how to read the tables."""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "oracles"))
import contract
import oracle_duals

from sklearn_ntk.gram import gram

ANGLES = [1.0, 1e-2, 1e-4, 1e-6, 1e-8]


def run_single(program, X, Y):
    """Both kernels in single precision."""
    return np.stack(gram(program, X, Y, contract.BOTH, dtype="float32")).astype(np.float64)


RUNS = {"float64": contract.run_numba, "float32": run_single}


# --- Formulas of others, for ReLU -----------------------------------------------------------------


def angle_by_arccos(K, product):
    return np.arccos(np.minimum(K / np.sqrt(product), product.dtype.type(1)))


def angle_by_arctan2(K, product):
    return np.arctan2(np.sqrt(np.maximum(product - K * K, product.dtype.type(0))), K)


def by_angles(angle_of):
    """The tangent kernel of a ReLU network from covariances and angles, in some precision."""

    def kernel(x, y, depth, weight_var, bias_var, number):
        w, b, half, pi = (number(z) for z in (weight_var, bias_var, 0.5, np.pi))
        x, y = x.astype(number), y.astype(number)
        a, c, d = (w * (u @ v) / number(len(x)) + b for u, v in ((x, x), (x, y), (y, y)))
        T = c
        for _ in range(depth):
            angle = angle_of(c, a * d)
            share = half - half * angle / pi
            c = w * (half * np.sqrt(a * d) * np.sin(angle) / pi + share * c) + b
            a, d = (w * half * z + b for z in (a, d))
            T = w * share * T + c
        return T

    return kernel


FORMULAS = {"arccos": by_angles(angle_by_arccos), "arctan2": by_angles(angle_by_arctan2)}


def table_of_angles(depth):
    """One row for each distance of two rows, the worst of some pairs."""
    rng = np.random.default_rng(0)
    names = [f"{name} {kind}" for kind in RUNS for name in (*FORMULAS, "sklearn_ntk")]
    yield ["distance", *names]
    for angle in ANGLES:
        X = rng.standard_normal((6, 20))
        pairs = {str(i): (x, x + angle * rng.standard_normal(20)) for i, x in enumerate(X)}
        network = contract.deep("relu", depth)
        known = contract.kernels_of_pairs(network, pairs)
        cells = [f"{angle:g}"]
        for kind, run in RUNS.items():
            number = np.dtype(kind).type
            for formula in FORMULAS.values():
                errors = [
                    abs(formula(x, y, depth, 2.0, 0.1, number) - known[key][1])
                    / contract.diagonals(contract.lower(contract.to_layers(network)), x[None])[1]
                    for key, (x, y) in pairs.items()
                ]
                cells.append(f"{np.max(errors):.0e}")
            cells.append(f"{max(contract.compare(run, network, pairs, known).values()):.0e}")
        yield cells


# --- All activations ------------------------------------------------------------------------------


def table_of_activations(names, depths):
    """One row for each activation: the worst of all pairs of rows, with biases and without."""
    kinds = [("float64", 0.1), ("float64", 0.0), ("float32", 0.1)]
    heads = [f"{kind}{', no bias' * (not bias_var)}, depth {depth}" for kind, bias_var in kinds
             for depth in depths]  # fmt: skip
    yield ["activation", *heads, "opposite rows, no bias"]
    for name in names:
        print(name, file=sys.stderr)
        cells = [name]
        for kind, bias_var in kinds:
            for depth in depths:
                cells.append(worst(RUNS[kind], name, depth, bias_var, contract.PAIRS))
        opposite = {k: v for k, v in contract.OPPOSITE.items() if "apart" not in k}
        yield [*cells, worst(RUNS["float64"], name, min(depths), 0.0, opposite)]


def worst(run, name, depth, bias_var, pairs):
    """Largest error as text; activations that make chaos of close rows are spared those."""
    pairs = contract.tractable(pairs, name, depth)
    network = contract.deep(name, depth, 2.0, bias_var)
    known = contract.kernels_of_pairs(network, pairs)
    return f"{max(contract.compare(run, network, pairs, known).values()):.0e}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--names", nargs="+", default=[*oracle_duals.DUALS])
    options = parser.parse_args()
    for table in (table_of_angles(10), table_of_activations(options.names, options.depth)):
        for number, cells in enumerate(table):
            print(f"| {' | '.join(cells)} |", flush=True)
            if number == 0:
                print(f"|{'---|' * len(cells)}", flush=True)
        print()


if __name__ == "__main__":
    main()
