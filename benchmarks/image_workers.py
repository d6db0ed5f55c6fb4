"""What the processes that `convolution.py` starts do: a block of a Gram matrix of images.

As in `workers.py`, only the standard library is imported before a case is computed.
"""

import functools
import math
import sys
import time

from workers import BIAS_VAR, OURS, WEIGHT_VAR, Session, import_neural_tangents, serve

DEPTH = 3
BLOCKS = (1, 2, 4, 8, 16, 32, 64, 128)  # sides of the blocks that nt.batch may work on
LARGEST = 2e8  # bytes of one array of covariances of all positions in a block


class Images(Session):
    """Images of one channel: the NTK between two sets of ``n``, or the Gram matrix of one set."""

    def __init__(self, name, n=1, size=4, readout="pool", dtype="float64", sets=2, way="blocks"):
        self.name, self.n, self.size, self.sets = name, int(n), int(size), int(sets)
        self.readout, self.dtype, self.way = readout, dtype, way

    @functools.cached_property
    def X(self):
        import numpy as np

        return np.random.default_rng(0).standard_normal((self.sets, self.n, self.size**2))

    @functools.cached_property
    def compute(self):
        return self.prepare_ours() if self.name == OURS else self.prepare_neural_tangents()

    def prepare_ours(self):
        from sklearn_ntk.architectures import cnn
        from sklearn_ntk.gram import gram
        from sklearn_ntk.layers import lower

        network = cnn((self.size, self.size, 1), DEPTH, self.readout)
        program = lower(network, WEIGHT_VAR, BIAS_VAR)
        gram(program, *self.X[:, :2], dtype=self.dtype)
        return functools.partial(gram, program, *self.X, dtype=self.dtype)

    def prepare_neural_tangents(self):
        jax, nt, stax = import_neural_tangents()
        std = {"W_std": math.sqrt(WEIGHT_VAR), "b_std": math.sqrt(BIAS_VAR)}
        layers = (stax.Conv(1, (3, 3), padding="SAME", **std), stax.Relu()) * DEPTH
        readout = {"pool": stax.GlobalAvgPool, "flatten": stax.Flatten}[self.readout]()
        kernel = stax.serial(*layers, readout, stax.Dense(1, **std))[2]
        shape = (self.n, self.size, self.size, 1)
        sets = [jax.numpy.asarray(part.reshape(shape)) for part in self.X]
        run = kernel
        if self.way == "blocks":
            self.block = self.fastest_block(jax, kernel, sets[0], sets[-1])
            run = nt.batch(kernel, batch_size=self.block, device_count=0)
        arguments = (*sets, None)[:2]
        run(*arguments, "ntk")
        return lambda: jax.block_until_ready(run(*arguments, "ntk"))

    def fastest_block(self, jax, kernel, X, Y):
        """Side of the block that takes the least time for a pair, once it is compiled."""
        n_numbers = self.size ** (4 if self.readout == "pool" else 2)
        seconds = {}
        for side in BLOCKS:
            if self.n % side or (seconds and 8 * n_numbers * side**2 > LARGEST):
                continue
            run = jax.jit(lambda X, Y: kernel(X, Y, "ntk"))
            jax.block_until_ready(run(X[:side], Y[:side]))
            start = time.perf_counter()
            jax.block_until_ready(run(X[:side], Y[:side]))
            seconds[side] = (time.perf_counter() - start) / side**2
        return min(seconds, key=seconds.get)

    def settings(self):
        """Side of the blocks; zero where the package chooses."""
        self.compute  # noqa: B018 - finds it
        return getattr(self, "block", 0)

    def sample(self):
        """Some of the result, and the diagonals that errors are relative to."""
        import numpy as np

        return np.asarray(self.compute())[:20, :20].tolist()


if __name__ == "__main__":
    serve(Images(*sys.argv[1:]))
