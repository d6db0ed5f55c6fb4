"""What the processes that `gram.py` starts do: one package computes one Gram matrix.

`gram.py` imports the names of this module, too, so its head imports the standard library only: a
process inherits the peak memory of the one that started it, which therefore has to stay small.
`image_workers.py` has what differs for images.
"""

import contextlib
import ctypes
import functools
import json
import math
import os
import resource
import sys
import time
from importlib import metadata
from pathlib import Path

OURS = "sklearn_ntk"
PEERS = ("rbf_kernel", "scikit-ntk", "neural-tangents")
PACKAGES = {  # whose versions the header names
    OURS: ("numba", "scipy", "numpy"),
    "rbf_kernel": ("scikit-learn", "numpy"),
    "scikit-ntk": ("scikit-ntk", "numpy"),
    "neural-tangents": ("neural-tangents", "jax", "jaxlib", "numpy"),
}
WEIGHT_VAR, BIAS_VAR = 2.0, 0.1
WARM_ROWS = 512  # rows of the warm-up and of the check without biases
SAMPLE = 50  # rows and columns that a check compares
BATCH = 1000  # largest block of nt.batch ...
WHOLE = 5000  # ... which computes matrices of more rows than this


def prepare_ours(X, depth, bias_var, get):
    from sklearn_ntk.architectures import mlp
    from sklearn_ntk.gram import gram
    from sklearn_ntk.layers import lower

    program = lower(mlp(depth), WEIGHT_VAR, bias_var)
    gram(program, X[:WARM_ROWS], get=get)
    return functools.partial(gram, program, X, get=get)


def prepare_rbf(X, depth, bias_var, get):
    from sklearn.metrics.pairwise import rbf_kernel

    rbf_kernel(X[:WARM_ROWS])
    return functools.partial(rbf_kernel, X)


def prepare_scikit_ntk(X, depth, bias_var, get):
    from skntk import NeuralTangentKernel

    if bias_var == 0:  # its inputs are not divided by d, its result by the number of layers
        constant = WEIGHT_VAR * (depth + 1) / X.shape[1]
        return lambda: constant * NeuralTangentKernel(depth, bias=0.0)(X)
    kernel = NeuralTangentKernel(depth)  # its biases enter the NTK alone: ours have no equivalent
    kernel(X[:WARM_ROWS])
    return functools.partial(kernel, X)


def import_neural_tangents():
    """The packages jax, neural_tangents and its stax, in double precision on the CPU."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    jax.config.update("jax_enable_x64", True)
    import neural_tangents as nt
    from neural_tangents import stax

    return jax, nt, stax


def prepare_neural_tangents(X, depth, bias_var, get):
    jax, nt, stax = import_neural_tangents()
    dense = stax.Dense(1, W_std=math.sqrt(WEIGHT_VAR), b_std=math.sqrt(bias_var))
    kernel = stax.serial(*(dense, stax.Relu()) * depth, dense)[2]
    X = jax.numpy.asarray(X)
    if len(X) <= WHOLE:
        run = jax.jit(lambda X: kernel(X, None, get)).lower(X).compile()
        return lambda: jax.block_until_ready(run(X))
    size = block_size(len(X))
    run = nt.batch(kernel, batch_size=size, device_count=0)
    run(X[: 2 * size], None, get)  # compiles the blocks on and off the diagonal
    return lambda: jax.block_until_ready(run(X, None, get))


PREPARE = {
    OURS: prepare_ours,
    "rbf_kernel": prepare_rbf,
    "scikit-ntk": prepare_scikit_ntk,
    "neural-tangents": prepare_neural_tangents,
}


def block_size(n):
    size = max(divisor for divisor in range(1, BATCH + 1) if n % divisor == 0)
    if size < BATCH // 10:
        raise ValueError(f"nt.batch needs blocks of one size; {n} rows allow only {size} a block")
    return size


class Session:
    """What a worker does for one case; the methods answer requests by values for JSON."""

    def __init__(self, name, n=1, d=1, depth=1, kernels="ntk"):
        self.name, self.n, self.d, self.depth = name, int(n), int(d), int(depth)
        self.get = {"ntk": "ntk", "both": ("nngp", "ntk")}[kernels]

    @functools.cached_property
    def X(self):
        import numpy as np

        return np.random.default_rng(0).standard_normal((self.n, self.d))

    @functools.cached_property
    def compute(self):
        return PREPARE[self.name](self.X, self.depth, BIAS_VAR, self.get)

    def describe(self):
        versions = {package: metadata.version(package) for package in PACKAGES[self.name]}
        threads = {}
        if self.name == OURS:
            import numba
            import numpy  # noqa: F401 - loads its BLAS
            from threadpoolctl import threadpool_info

            import sklearn_ntk

            versions = {OURS: sklearn_ntk.__version__} | versions
            threads = {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()}
            threads["numba"] = numba.get_num_threads()
        return {"versions": versions, "threads": threads}

    def memory(self):
        """Seconds of the first call, and megabytes of its peak beyond what was there and K."""
        compute = self.compute
        reset_peak()
        before = peak()
        start = time.perf_counter()
        K = compute()
        seconds = time.perf_counter() - start
        size = sum(part.nbytes for part in as_tuple(K))
        return {"seconds": seconds, "megabytes": (peak() - before - size) / 1e6}

    def sample(self, biases):
        """Some rows and columns of the matrix; the matrix of fewer rows if without biases."""
        import numpy as np

        if biases:
            compute = self.compute
        else:
            compute = PREPARE[self.name](self.X[:WARM_ROWS], self.depth, 0.0, self.get)
        K = np.asarray(as_tuple(compute())[-1])
        index = np.linspace(0, len(K) - 1, SAMPLE).astype(int)
        return K[np.ix_(index, index)].tolist()

    def time(self, number):
        """Seconds of a call, the average of some, after one that brings memory back."""
        compute = self.compute
        compute()
        start = time.perf_counter()
        for _ in range(number):
            compute()
        return (time.perf_counter() - start) / number


def as_tuple(K):
    """The matrices that a package returned, the NTK last."""
    return K if isinstance(K, tuple) else (K,)


def peak():
    """Peak resident memory of this process in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak():
    """Forget the peak of imports and compilation, where the system can (Linux with glibc)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def serve(session):
    """Answer requests, one a line, until there are no more."""
    replies, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"value": getattr(session, request.pop("action"))(**request)}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    serve(Session(*sys.argv[1:]))
