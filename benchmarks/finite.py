"""Empirical kernels of networks of torch beside other ways, and neural-tangents' three.

    python benchmarks/finite.py [--neural-tangents PYTHON] [--rows 50] [--networks NAME]

A perceptron of width 1000 with three hidden layers on 100 columns, one output and ten, a
convolutional network, a residual one of five convolutions, and an encoder of two blocks of
attention, in single precision: processor seconds of one kernel matrix, the least of several runs,
and the ratio to ours. The double loop takes two backward passes for each pair of rows; it is
timed on a few rows and scaled up. ``--neural-tangents``, or NEURAL_TANGENTS_PYTHON, names an
interpreter that has it, which is run as a process of its own on equal shapes; compilation does not
count. Packages that are not installed are left out.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from copy import deepcopy
from functools import partial

import numpy as np

THEIRS = """
import sys, time
import jax, jax.numpy as np
from jax._src import source_info_util
for name, value in (("source_info_util", source_info_util), ("config", jax.config)):
    if not hasattr(jax.interpreters.ad, name):  # moved by later releases of JAX
        setattr(jax.interpreters.ad, name, value)
import neural_tangents as nt
from neural_tangents import stax
n, k, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
shape = (n, 14, 14, 1)
conv = lambda width, stride=1: stax.Conv(width, (3, 3), (stride, stride), padding="SAME")
if kind == "perceptron":
    hidden = [stax.Dense(1000), stax.Relu()] * 3
    shape = (n, 100)
elif kind == "convolutional":
    hidden = [conv(32), stax.Relu()] * 2 + [conv(64, 2), stax.Relu(), stax.Flatten()]
elif kind == "residual":
    hidden = [conv(32), stax.Relu()]
    for width, stride in ((32, 1), (64, 2)):
        short = stax.Identity() if stride == 1 else stax.Conv(width, (1, 1), (2, 2))
        block = stax.serial(conv(width, stride), stax.Relu(), conv(width))
        hidden += [stax.FanOut(2), stax.parallel(short, block), stax.FanInSum(), stax.Relu()]
    hidden += [stax.Flatten()]
else:
    sys.exit()
init, apply, _ = stax.serial(*hidden, stax.Dense(k))
_, parameters = init(jax.random.PRNGKey(0), shape)
x = jax.random.normal(jax.random.PRNGKey(1), shape)
for name in ("JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES"):
    way = nt.NtkImplementation[name]
    try:
        f = jax.jit(nt.empirical_ntk_fn(apply, trace_axes=(-1,), vmap_axes=0, implementation=way))
        f(x, None, parameters).block_until_ready()
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            f(x, None, parameters).block_until_ready()
            best = min(best, time.process_time() - start)
        print(f"{name}={best}", flush=True)
    except Exception as error:
        print(f"{name}=nan", flush=True)
"""


def perceptron(k):
    from torch import nn

    hidden = [part for _ in range(3) for part in (nn.LazyLinear(1000), nn.ReLU())]
    return nn.Sequential(*hidden, nn.LazyLinear(k))


def convolutional():
    from torch import nn

    parts = [nn.LazyConv2d(32, 3, padding=1), nn.ReLU(), nn.LazyConv2d(32, 3, padding=1)]
    parts += [nn.ReLU(), nn.LazyConv2d(64, 3, 2, 1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*parts, nn.LazyLinear(10))


def residual():
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width, stride):
            super().__init__()
            self.first = nn.LazyConv2d(width, 3, stride, 1)
            self.second = nn.LazyConv2d(width, 3, padding=1)
            self.short = nn.Identity() if stride == 1 else nn.LazyConv2d(width, 1, stride)

        def forward(self, x):
            return torch.relu(self.short(x) + self.second(torch.relu(self.first(x))))

    parts = [nn.LazyConv2d(32, 3, padding=1), nn.ReLU(), Block(32, 1), Block(64, 2), nn.Flatten()]
    return nn.Sequential(*parts, nn.LazyLinear(10))


def encoder():
    from torch import nn

    block = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
    blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
    mean = nn.Sequential(nn.AdaptiveAvgPool2d((1, 64)), nn.Flatten())
    return nn.Sequential(nn.LazyLinear(64), blocks, mean, nn.LazyLinear(10)).eval()


NETWORKS = {
    "perceptron, 1 output": (partial(perceptron, 1), (100,)),
    "perceptron, 10 outputs": (partial(perceptron, 10), (100,)),
    "convolutional, 10 outputs": (convolutional, (1, 14, 14)),
    "residual, 10 outputs": (residual, (1, 14, 14)),
    "encoder, 10 outputs": (encoder, (16, 64)),
}
"""By name what makes a network, and the shape of its rows."""


def least(function, n_runs=3):
    """Least processor seconds of several runs."""
    best = np.inf
    for _ in range(n_runs):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def double_loop(model, X, n=4):
    """Seconds for all pairs of rows, from those of a few."""
    import torch

    parameters = list(model.parameters())

    def pair(i, j):
        sides = [torch.autograd.grad(model(X[k : k + 1]).sum(), parameters) for k in (i, j)]
        return sum(float((a * b).sum()) for a, b in zip(*sides, strict=True))

    spent = least(lambda: [pair(i, j) for i in range(n) for j in range(i, n)], 1)
    return spent * len(X) * (len(X) + 1) / (n * (n + 1))


def by_jacobians(model, X, chunk=None):
    """``vmap(jacrev)`` of all rows, or some at a time, and their products."""
    from torch.func import functional_call, jacrev, vmap

    parameters = {name: each.detach() for name, each in model.named_parameters()}
    warnings.filterwarnings("ignore", "There is a performance drop")
    rows = vmap(
        jacrev(lambda chosen, row: functional_call(model, chosen, (row[None],))[0]),
        (None, 0),
        chunk_size=chunk,
    )(parameters, X)
    return sum(J.flatten(1) @ J.flatten(1).T for J in rows.values())


def by_nngeometry(model, X):
    """The package nngeometry, which always computes all blocks."""
    import torch
    from nngeometry.gram import GramMatrix
    from torch.utils.data import DataLoader, TensorDataset

    rows = TensorDataset(X, torch.zeros(len(X)))
    loader = DataLoader(rows, batch_size=len(X))
    return GramMatrix(model, loader, function=lambda x, _: model(x)).data


def by_backpack(model, X):
    """Gradients of each row and output by the package backpack, and their products."""
    import torch
    from backpack import backpack, extend
    from backpack.extensions import BatchGrad

    model, parts = extend(deepcopy(model)), []
    for k in range(model(X[:1]).shape[1]):
        with backpack(BatchGrad()):
            model(X)[:, k].sum().backward()
        parts.append(torch.cat([each.grad_batch.flatten(1) for each in model.parameters()], 1))
    return sum(J @ J.T for J in parts)


def by_asdfghjkl(model, X):
    """The package asdfghjkl, which has a kernel for each output."""
    from asdl.kernel import empirical_class_wise_hadamard_ntk

    return empirical_class_wise_hadamard_ntk(deepcopy(model), X).sum(2)


def by_laplace(model, X):
    """Jacobians of the package laplace-torch, and their products."""
    from laplace.curvature.curvature import CurvatureInterface

    J = CurvatureInterface(model, "regression").jacobians(X)[0]
    return sum(part @ part.T for part in J.unbind(1))


def theirs(python, n, k, kind):
    """Seconds of neural-tangents' ways by name."""
    command = [python, "-c", THEIRS, str(n), str(k), kind]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    pairs = (line.split("=") for line in found.splitlines() if "=" in line)
    return {f"neural-tangents, {name.lower()}": float(seconds) for name, seconds in pairs}


OTHERS = {
    "vmap(jacrev)": by_jacobians,
    "vmap(jacrev), 10 rows at a time": partial(by_jacobians, chunk=10),
    "nngeometry": by_nngeometry,
    "backpack": by_backpack,
    "asdfghjkl": by_asdfghjkl,
    "laplace-torch": by_laplace,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    theirs_at = os.environ.get("NEURAL_TANGENTS_PYTHON")
    parser.add_argument("--neural-tangents", metavar="PYTHON", default=theirs_at)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--networks", default="", metavar="NAME", help="those whose name has it")
    options = parser.parse_args()
    import torch

    from sklearn_ntk.finite import empirical_ntk

    torch.manual_seed(0)
    torch.set_num_threads(1)
    n = options.rows
    print("| network | way | seconds | times ours |")
    print("|---|---|---|---|")
    for name, (make, shape) in NETWORKS.items():
        if options.networks not in name:
            continue
        model, X = make(), torch.randn(n, *shape)
        k = model(X[:1]).shape[1]
        ours = least(partial(empirical_ntk, model, X), 5)
        print(f"| {name}, {n} rows | `empirical_ntk` | {ours:.4f} | 1 |")
        ways = {
            "the same, check=False": least(partial(empirical_ntk, model, X, check=False), 5),
            "double loop": double_loop(model, X),
        }
        for way, function in OTHERS.items():
            try:
                ways[way] = least(partial(function, model, X), 2)
            except Exception as error:
                print(f"{way}: {type(error).__name__}", file=sys.stderr)
        if options.neural_tangents:
            ways |= theirs(options.neural_tangents, n, k, name.partition(",")[0])
        for way, seconds in ways.items():
            print(f"| | {way} | {seconds:.3g} | {seconds / ours:.3g} |", flush=True)


if __name__ == "__main__":
    main()
