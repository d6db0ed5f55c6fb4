"""What variants of a Gram matrix cost next to the plain one; README.md says how to read it."""

import argparse
import time

import numba
import numpy as np

from sklearn_ntk.architectures import mlp
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Dense, Output, lower

DEPTHS = (1, 2, 3)
LONG = 23


def all_depths(activation, depths):
    """A network with an output at each of the depths."""
    layers = [Dense()]
    for depth in range(1, max(depths) + 1):
        layers += [activation, Dense()]
        layers += [Output()] if depth in depths else []
    return tuple(layers)


def time_of(function):
    """Seconds of a call, the fastest of three in a row."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def variants(X, activation):
    """Functions by name, and the name of the one that each is compared with."""
    plain = lower(mlp(3, activation), 2.0, 0.1)
    long = lower(mlp(LONG, activation), 2.0, 0.1)
    outputs = lower(all_depths(activation, DEPTHS), 2.0, 0.1)
    both = ("nngp", "ntk")
    return {
        "NTK": (lambda: gram(plain, X), None),
        "NNGP": (lambda: gram(plain, X, get="nngp"), "NTK"),
        "both kernels": (lambda: gram(plain, X, get=both), "NTK"),
        f"NTK of depths {DEPTHS} in one pass": (lambda: gram(outputs, X), "NTK"),
        "NTK with both derivatives": (lambda: gram(plain, X, gradient=True), "NTK"),
        "NTK in float32": (lambda: gram(plain, X, dtype="float32"), "NTK"),
        f"NTK, depth {LONG}": (lambda: gram(long, X), "NTK"),
        f"NTK in float32, depth {LONG}": (
            lambda: gram(long, X, dtype="float32"),
            f"NTK, depth {LONG}",
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--d", type=int, default=100)
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    X = np.random.default_rng(0).standard_normal((options.n, options.d))
    cases = variants(X, options.activation)
    times = {name: [] for name in cases}
    for repeat in range(options.repeats + 1):  # the first one compiles
        for name, (function, _) in cases.items():
            times[name].append(time_of(function))
            if repeat == 0:
                times[name].clear()
    times = {name: np.array(seconds) for name, seconds in times.items()}
    print(f"n = {options.n}, d = {options.d}, {options.activation}, depth 3 unless said\n")
    print("| variant | ms | ratio |\n|---|---|---|")
    for name, (_, base) in cases.items():
        ratio = f"{np.median(times[name] / times[base]):.2f}" if base else ""
        compared = f", as to {base}" if base and base != "NTK" else ""
        print(f"| {name}{compared} | {1e3 * np.min(times[name]):.1f} | {ratio} |")
    layers = min(times[f"NTK, depth {LONG}"]) - min(times["NTK"])
    pairs = options.n * (options.n + 1) / 2
    per_layer = 1e9 * layers / (LONG - 3) / pairs * numba.get_num_threads()
    print(f"\nA layer costs {per_layer:.1f} ns per pair and thread.")


if __name__ == "__main__":
    main()
