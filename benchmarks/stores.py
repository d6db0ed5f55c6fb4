"""What streaming stores of results gain over plain ones; README.md says how to read it."""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

GET = ("ntk", ("nngp", "ntk"))


def work(is_plain, n, d):
    """Fastest wall-clock and processor seconds of Gram matrices in fresh memory."""
    if is_plain:
        from llvmlite import ir

        ir.StoreInstr.set_metadata = lambda self, name, node: None
    from sklearn_ntk.architectures import mlp
    from sklearn_ntk.gram import gram
    from sklearn_ntk.layers import lower

    X = np.random.default_rng(0).standard_normal((n, d))
    program = lower(mlp(3, "relu"), 2.0, 0.1)
    for get in GET:
        gram(program, X[:200], get=get)
        seconds = []
        for _ in range(5):
            start = time.perf_counter(), time.process_time()
            gram(program, X, get=get)
            seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        print(*np.min(seconds, axis=0))


def ratios(n, d, folders):
    """Seconds with plain stores over those with streaming ones, (kernels, clocks)."""
    seconds = []
    for is_plain in (False, True):
        command = [sys.executable, __file__, "--worker", str(int(is_plain)), "--n", str(n)]
        given = os.environ | {"NUMBA_CACHE_DIR": folders[is_plain]}
        text = subprocess.check_output([*command, "--d", str(d)], env=given, text=True)
        seconds.append([[float(x) for x in line.split()] for line in text.splitlines()])
    return np.divide(seconds[1], seconds[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--d", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker is not None:
        return work(given.worker, given.n, given.d)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        found = [ratios(given.n, given.d, (one, other)) for _ in range(given.repeats)]
    print("| seconds with plain stores over streaming ones | wall clock | processor |")
    print("|---|---|---|")
    for name, row in zip(("NTK", "both kernels"), np.median(found, axis=0), strict=True):
        print(f"| {name}, n = {given.n}, d = {given.d} | {row[0]:.2f} | {row[1]:.2f} |")


if __name__ == "__main__":
    main()
