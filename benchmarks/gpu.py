"""Times on a GPU, beside matrix products and copies there, and beside the CPU; see README.md."""

import argparse
import json
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

STANDIN = Path(__file__).resolve().parents[1] / "tests" / "oracles" / "cupy_standin"
NEAR_SHARES = (0.0, 0.01, 0.1, 1.0)


def median_time(call, cupy, repeats):
    """Median seconds of a call after one that warms up, with all that it has started done."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        cupy.cuda.Device().synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def rows_with_near_pairs(n, d, share):
    """Rows of which this share of the pairs are 1e-4 of their length apart."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    m = round(n * share**0.5)
    X[:m] = X[0] + 1e-4 * X[:m]
    return X


class Floors:
    """Seconds of what any Gram matrix takes: one product of matrices, and one write of a result."""

    def __init__(self, cupy, n, d, dtype, repeats):
        X = cupy.asarray(np.random.default_rng(0).standard_normal((n, d)).astype(dtype))
        out = cupy.zeros((n, n), dtype)

        def write():
            out[...] = 1.0

        self.product = median_time(lambda: cupy.matmul(X, X.T), cupy, repeats)
        self.write = median_time(write, cupy, repeats)


def dense(cupy, options):
    """Gram matrices of perceptrons of rows on the device, into memory that is there."""
    from sklearn_ntk.architectures import mlp
    from sklearn_ntk.gram import gram
    from sklearn_ntk.layers import lower

    n, d = options.n, options.d
    cases = [(depth, 0.0) for depth in options.depth]
    cases += [(options.depth[0], share) for share in NEAR_SHARES[1:]]
    for dtype in ("float64", "float32"):
        floors = Floors(cupy, n, d, dtype, options.repeats)
        out = cupy.zeros((n, n), dtype)
        for depth, share in cases:
            X = cupy.asarray(rows_with_near_pairs(n, d, share))
            compute = partial(gram, lower(mlp(depth)), X, dtype=dtype, out=out)
            seconds = median_time(compute, cupy, options.repeats)
            yield {
                "what": f"depth {depth}, {dtype}, {share:.0%} near",
                "ms": 1e3 * seconds,
                "X @ X.T, ms": 1e3 * floors.product,
                "a write, ms": 1e3 * floors.write,
                "ratio": seconds / (floors.product + floors.write),
            }


def to_host(cupy, options):
    """Results for rows of NumPy, also if the memory of the device is smaller than they."""
    from sklearn_ntk import NTKKernel

    X = rows_with_near_pairs(options.n, options.d, 0.0)
    kernel, pool = NTKKernel(depth=3, device="cuda"), cupy.get_default_memory_pool()
    expected = kernel(X)
    n_bytes = expected.nbytes
    for part in (None, 0.5):
        pool.free_all_blocks()
        pool.set_limit(size=0 if part is None else int(part * n_bytes) + 2 * X.nbytes)
        try:
            seconds = median_time(lambda: kernel(X), cupy, 1)
            gap = np.abs(kernel(X) - expected).max()
        finally:
            pool.set_limit(size=0)
        memory = "all" if part is None else f"half of the result's {n_bytes / 1e9:.2g} GB"
        row = {"what": f"rows of NumPy, memory: {memory}", "ms": 1e3 * seconds}
        yield row | {"GB/s": n_bytes / seconds / 1e9, "largest difference": gap}


def fits(cupy, options):
    """Fits with one ridge, also on the CPU, with a search, and for a training time."""
    from sklearn_ntk import NTKRegressor

    X = np.random.default_rng(0).standard_normal((options.n_fit, 20))
    y = np.sin(X[:, 0]) + 0.1 * X[:, 1]
    settings = {"one ridge": {"alpha": 1.0}, "search": {}, "until a time": {"training_time": 1e4}}
    for name, parameters in settings.items():
        is_quick = name == "one ridge"  # the others take many minutes on a CPU
        devices = ("cuda", "cpu") if options.cpu and is_quick else ("cuda",)
        times, predictions = {}, {}
        for device in devices:
            model = NTKRegressor(
                "ntk", activation="relu", features=None, solver="cholesky", device=device
            )
            model.set_params(**parameters)
            if device == "cuda":  # compiles, and takes memory
                model.fit(X[:200], y[:200])
            start = time.perf_counter()
            model.fit(X, y)
            times[device] = time.perf_counter() - start
            predictions[device] = model.predict(X[:100])
        row = {"what": f"fit of {options.n_fit} rows, {name}", "s": times["cuda"]}
        if "cpu" in times:
            gap = np.abs(predictions["cpu"] - predictions["cuda"]).max()
            row |= {"CPU, s": times["cpu"], "CPU / GPU": times["cpu"] / times["cuda"]}
            row |= {"largest difference": gap}
        yield row
        cupy.get_default_memory_pool().free_all_blocks()


def gradients(cupy, options):
    """Gradients of a function at rows on the device, a sum over all of them, and features."""
    from sklearn_ntk import NTKKernel, NTKRegressor

    n, d = options.n_fit, options.d
    X = rows_with_near_pairs(n, d, 0.0)
    coef, kernel = np.ones((n, 1)), NTKKernel(depth=2)
    on_device = cupy.asarray(X)
    seconds = median_time(lambda: kernel.gradient_x(on_device, on_device, coef), cupy, 1)
    row = {"what": f"gradients of {n} rows, {d} columns", "s": seconds}
    some, known = cupy.asarray(X[:10]), kernel.gradient_x(X[:10], X, coef)
    gap = np.abs(kernel.gradient_x(some, on_device, coef).get() - known).max()
    yield row | {"largest difference / largest": gap / np.abs(known).max()}
    X, y = X[:, :20], X[:, 0] * X[:, 1]
    found = {}
    for device in ("cuda", "cpu") if options.cpu else ("cuda",):
        model = NTKRegressor("ntk", features="full", alpha=1.0, device=device)
        model.fit(X[:200], y[:200])
        start = time.perf_counter()
        model.fit(X[:1500], y[:1500])
        found[device] = time.perf_counter() - start
    names = {"cuda": "s", "cpu": "CPU, s"}
    yield {"what": "fit of 1500 rows, features"} | {names[key]: s for key, s in found.items()}


def images(cupy, options):
    """Gram matrices of convolutional networks, in milliseconds for an entry of half of a matrix.

    Segments are fields in fast memory or, of the smaller networks, also operations one by one.
    Single rows are in the first time, not in the second.
    """
    from sklearn_ntk.architectures import cnn
    from sklearn_ntk.engines.cupy import lines
    from sklearn_ntk.gram import diagonal, gram
    from sklearn_ntk.layers import lower

    size, cells = options.image, lines.CELLS_BYTES
    for depth in options.convolutions:
        for readout, n, has_fields in (
            ("pool", 32, True),
            ("flatten", 300, True),
            ("pool", 8, False),
        ):
            if not has_fields and depth > 3:
                continue
            lines.CELLS_BYTES = cells if has_fields else 0
            program = lower(cnn((size, size, 3), depth, readout))
            X = cupy.asarray(np.random.default_rng(0).standard_normal((n, 3 * size**2)))
            for dtype in ("float32", "float64"):
                both = (
                    median_time(partial(compute, program, X, dtype=dtype), cupy, 2)
                    for compute in (gram, diagonal)
                )
                seconds, alone = both
                yield {
                    "what": f"{depth} convolutions, {readout}{'' if has_fields else ', no fields'}",
                    "dtype": dtype,
                    "rows": n,
                    "ms an entry": 2e3 * seconds / (n * (n - 1)),
                    "without single rows": 2e3 * (seconds - alone) / (n * (n - 1)),
                }
    lines.CELLS_BYTES = cells


PARTS = {"dense": dense, "host": to_host, "images": images, "fit": fits, "gradients": gradients}


def print_table(rows):
    """Print rows as a Markdown table, a column for each of their names."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in rows:
        cells = [row.get(name, "") for name in names]
        print("|", " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells), "|")
    print(flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to time; all of it")
    parser.add_argument("--n", type=int, default=20000, help="rows of Gram matrices")
    parser.add_argument("--d", type=int, default=784, help="their columns")
    parser.add_argument("--depth", type=int, nargs="+", default=[3, 1, 20])
    parser.add_argument("--convolutions", type=int, nargs="+", default=[21, 3])
    parser.add_argument("--image", type=int, default=32, help="pixels along each side of images")
    parser.add_argument("--n-fit", type=int, default=20000, help="rows of fits")
    parser.add_argument("--cpu", action="store_true", help="fit with one ridge on the CPU, too")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    parser.add_argument("--standin", action="store_true", help="rehearse without a GPU; no times")
    return parser.parse_args()


def main():
    options = arguments()
    if options.standin:
        sys.path.insert(0, str(STANDIN))
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    print(f"{name}, CuPy {cupy.__version__}, {os.cpu_count()} processors of the machine\n")
    found = {}
    for part in options.parts or PARTS:
        found[part] = list(PARTS[part](cupy, options))
        print_table(found[part])
        if options.json:
            options.json.write_text(json.dumps({"device": name, "tables": found}, indent=1))


if __name__ == "__main__":
    main()
