"""Gram matrices on the stand-in for CuPy, whose warps have as many lanes as the environment says.

As a program it writes those of all `KINDS`; arguments are a part of the text of kernels and another
for each kind, in order, or none.
"""

import sys
from unittest.mock import patch

import gpu
import numpy as np

from sklearn_ntk.architectures import mlp
from sklearn_ntk.engines.sources import cuda, cuda_lines
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Conv, Dense, GlobalAvgPool, Input, Residual, lower

KINDS = {"rows": cuda, "fields": cuda_lines}
END = "--- end of a kind ---"


def matrices(kind):
    """Kernels of one set of rows and of two, as a single axis."""
    X = np.random.default_rng(0).standard_normal((37, 7))
    X[1], X[2], X[4], X[6] = X[0] + 1e-8 * X[30], 2.0 * X[0], -X[3], 0.0
    X[5] = -X[3] + 1e-9 * X[31]
    X[33:] = X[32] + 1e-4 * X[33:]  # several lanes of a warp are near
    Y = np.vstack([X[:7], X[30:]])
    network = mlp(1)
    if kind == "fields":
        X, Y = X[:6, :6], Y[:2, :6]
        block = Residual(("relu", Conv(2)))
        network = Input(3, 2, 1), Conv(3), block, GlobalAvgPool(), Dense()
    program = lower(network, 2.0, 0.1)
    with gpu.importable():
        found = [
            gram(program, *rows, get=("nngp", "ntk"), device="cuda") for rows in ((X,), (X, Y))
        ]
    return np.concatenate([part.ravel() for both in found for part in both])


def main(*changes):
    """Write the matrices of each kind, and `END` among the messages behind each."""
    pairs = changes or ("\n",) * 2 * len(KINDS)
    for kind, text, other in zip(KINDS, pairs[::2], pairs[1::2], strict=True):
        source = KINDS[kind].source

        def changed(kinds, source=source, text=text, other=other):
            assert text in source(kinds)
            return source(kinds).replace(text, other)

        with patch.object(KINDS[kind], "source", changed):
            try:
                np.save(sys.stdout.buffer, matrices(kind))
            except ValueError:  # of NaN
                if not changes:
                    raise
        print(END, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
