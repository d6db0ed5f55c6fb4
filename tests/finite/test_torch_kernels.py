"""Empirical kernels of torch modules against a gradient for each row and output."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neural_network import MLPRegressor

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch_models import MODELS, gradients, model_and_rows  # noqa: E402

from sklearn_ntk.finite import (  # noqa: E402
    empirical_nngp,
    empirical_ntk,
    empirical_ntk_diagonal,
    tangent_features,
)
from sklearn_ntk.finite._kernels import ntk  # noqa: E402
from sklearn_ntk.finite._readers import reader_for  # noqa: E402


def close(actual, expected, tolerance=1e-13):
    assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_kernels(name):
    """All outputs, formulas and budgets, and what takes the general route."""
    model, X = model_and_rows(name)
    J = gradients(model, X)
    reader = reader_for(model)
    rows = reader.prepare(X)
    ntk(reader, rows, rows)
    assert list(reader.general) == MODELS[name][2]
    blocks = np.einsum("ikp,jlp->ijkl", J, J)
    trace = np.einsum("ijkk->ij", blocks)
    close(empirical_ntk(model, X, outputs="blocks"), blocks)
    close(empirical_ntk(model, X, outputs="sum"), blocks.sum((2, 3)))
    close(empirical_ntk(model, X, outputs=-1), blocks[..., -1, -1])
    K = empirical_ntk(model, X)
    close(K, trace / J.shape[1])
    assert_array_equal(K, K.T)
    close(empirical_ntk(model, X, X[1:], outputs="trace"), trace[:, 1:])
    close(empirical_ntk_diagonal(model, X, outputs="trace"), trace.diagonal())
    some, options = X[:2], {"outputs": "trace", "memory": 1000}  # row by row
    close(empirical_ntk(model, some, X[1:3], **options), trace[:2, 1:3])
    close(empirical_ntk_diagonal(model, some, **options), trace.diagonal()[:2])
    signs = np.sign(np.where(np.abs(J) < 1e-13 * np.abs(J).max(), 0.0, J))
    # with attention, true zeros are rounding errors of some sign
    if "attention" not in name and name != "encoder":
        expected = np.einsum("ikp,jkp->ij", signs, signs)
        assert_array_equal(empirical_ntk(model, X, formula="signgd", outputs="trace"), expected)
        diagonal = empirical_ntk_diagonal(model, X, formula="signgd", outputs="trace")
        assert_array_equal(diagonal, expected.diagonal())
    expected = np.einsum("ikp,jlp->ijkl", J[:2], signs[:2])
    found = empirical_ntk(model, some, formula="asymmetric_signgd", outputs="blocks", memory=2e4)
    close(found, expected)


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("attention")])
def test_attention_is_read_right_without_a_check(name):
    model, X = model_and_rows(name)
    J = gradients(model, X)
    close(empirical_ntk(model, X, check=False), np.einsum("ikp,jkp->ij", J, J) / J.shape[1])


@pytest.mark.parametrize("name", ["perceptron", "convolution", "tokens", "attention"])
def test_single_precision(name):
    model, X = model_and_rows(name, torch.float32)
    K = empirical_ntk(model, X)
    assert K.dtype == np.float64
    close(K, empirical_ntk(*model_and_rows(name)), 2e-6)


def test_networks_of_scikit_learn():
    """A copy in torch has the same kernel to rounding, and so has the last hidden layer."""
    X, y = np.random.default_rng(0).standard_normal((2, 20, 6))
    model = MLPRegressor(hidden_layer_sizes=(40, 30), activation="tanh", max_iter=2)
    with pytest.warns(match="converged yet"):
        model.fit(X, y)
    copy = nn.Sequential(*[nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 30), nn.Tanh()])
    copy = copy.append(nn.Linear(30, 6)).double()
    for layer, W, b in zip(copy[::2], model.coefs_, model.intercepts_, strict=True):
        layer.weight.data, layer.bias.data = torch.from_numpy(W.T.copy()), torch.from_numpy(b)
    for outputs in ("mean", "blocks"):
        expected = empirical_ntk(copy, X, outputs=outputs)
        close(empirical_ntk(model, X, outputs=outputs), expected, 1e-14)
    close(empirical_nngp(model, X), empirical_nngp(copy, X), 1e-14)


def test_half_precision_and_rows_of_numpy():
    model, X = model_and_rows("perceptron")
    expected = empirical_ntk(model, X)
    assert_array_equal(empirical_ntk(model, X.numpy().tolist()), expected)
    assert_array_equal(empirical_ntk(model, np.asfortranarray(X)), expected)
    close(empirical_ntk(model.bfloat16(), X), expected, 0.05)


def test_layers():
    """Kernels of layers add up to that of the network; frozen ones add nothing."""
    model, X = model_and_rows("encoder")
    whole = empirical_ntk(model, X)
    parts = [
        empirical_ntk(model, X, layers=name) for name in ("body", ["last.weight", "last.bias"])
    ]
    close(sum(parts), whole)
    for each in model.body.parameters():
        each.requires_grad_(False)
    close(empirical_ntk(model, X), parts[1])
    with pytest.raises(ValueError, match=r"got 'body': choose from last.weight, last.bias\."):
        empirical_ntk(model, X, layers="body")


def test_inference_mode():
    """Torch has no gradients there, whatever else is switched on."""
    model, X = model_and_rows("perceptron")
    with torch.inference_mode():
        with pytest.raises(RuntimeError, match=r"needs gradients: leave torch\.inference_mode"):
            empirical_ntk(model, X)
        assert empirical_nngp(model, X).shape == (5, 5)


def test_gradients_and_flags_stay_as_they_are():
    model, X = model_and_rows("convolution")
    X = X.requires_grad_()
    with torch.no_grad():
        empirical_ntk(model, X)
    assert X.grad is None and all(each.grad is None for each in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["perceptron", "convolution", "tokens", "attention"])
def test_tensors_in_place_of_arrays(name, monkeypatch):
    """Signals on another device stay tensors there: here, for want of one, on the CPU."""
    model, X = model_and_rows(name)

    def everything():
        for outputs in ("mean", "blocks"):
            for formula in ("sgd", "asymmetric_signgd"):
                options = {"outputs": outputs, "formula": formula}
                yield empirical_ntk(model, X, **options)
                if outputs == "mean":
                    yield empirical_ntk_diagonal(model, X, **options)
        yield tangent_features(model, X, 4, random_state=0).features
        if name == "perceptron":
            yield empirical_nngp(model, X)

    expected = list(everything())
    seen = []

    def kept(tensor):
        seen.append(tensor.detach())
        return seen[-1]

    monkeypatch.setattr("sklearn_ntk.finite._torch._reader._array", kept)
    for found, other in zip(everything(), expected, strict=True):
        assert isinstance(found, np.ndarray) and found.dtype == np.float64
        close(found, other)
    assert seen


def test_hidden_layer():
    model, X = model_and_rows("perceptron")
    hidden = torch.relu(model[0](X)).detach().numpy()
    close(empirical_nngp(model, X), hidden @ hidden.T / 8)
    found = empirical_nngp(model, X, X[:2], weight_var=2.0, bias_var=0.5)
    close(found, hidden @ hidden[:2].T / 4 + 0.5)
    named = Returning(lambda y: y.squeeze(), nn.Linear(6, 1)).double().requires_grad_(False)
    close(empirical_nngp(named, X), (X @ X.T / 6).numpy())
    shaped = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Linear(6, 2), nn.Flatten()).double()
    close(empirical_nngp(shaped, X), (X @ X.T / 6).numpy())
    pair = nn.Linear(6, 2), nn.Linear(2, 3)
    for model, rows in (
        (nn.Sequential(*pair, nn.Flatten()), torch.randn(4, 5, 6)),
        (nn.Sequential(*pair, nn.Unflatten(1, (3, 1)), nn.Conv1d(3, 2, 1), nn.Flatten()), X),
        (Returning(lambda y: torch.cat([y, y], 1)), X),
        (nn.Sequential(*pair, nn.ReLU(inplace=True)), X),
    ):
        with pytest.raises(ValueError, match=r"whose outputs are others: pass a part"):
            empirical_nngp(model.double(), rows)


@pytest.mark.slow
def test_features():
    """Their inner products are the kernel within the error that they tell, for tokens as well."""
    for name in ("perceptron", "tokens", "convolution"):
        model, X = model_and_rows(name)
        K = empirical_ntk(model, X)
        features, error = tangent_features(model, X, 6, random_state=0)
        found = features @ features.T
        assert np.sqrt(np.mean((found - K) ** 2)) <= 3 * error * K.trace() / len(K)
        assert 0.05 < error < 0.7
        one, _ = tangent_features(model, X[1:2], 6, random_state=0)
        close(one[0], features[1], 1e-12)
        parts, _ = tangent_features(model, X, 6, random_state=0, memory=1000)
        close(parts, features, 1e-12)


PEAK = """
from pathlib import Path
import torch
from torch import nn
from sklearn_ntk.finite import empirical_ntk

class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.last = nn.LSTM(16, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x):
        return self.last(self.lstm(x)[0][:, -1])

def peak():  # of this process, and not of the one that started it
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

torch.manual_seed(0)
torch.set_num_threads(1)
model, X = Recurrent(), torch.randn(200, 10, 16)
empirical_ntk(model, X[:2])
before = peak()
empirical_ntk(model, X, memory="512 MB")
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs the status that Linux tells")
def test_general_route_keeps_the_budget():
    """Gradients of all rows take 168 MB, of which there are copies on the way."""
    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert 168e6 < int(run.stdout) < 560e6


# --- Refusals ------------------------------------------------------------------------------------


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return x


class Returning(nn.Module):
    def __init__(self, wrap, layer=None):
        super().__init__()
        self.layer, self.wrap = layer or nn.Linear(6, 4), wrap

    def forward(self, x):
        return self.wrap(self.layer(input=x))


def body(*middle):
    return nn.Sequential(nn.Linear(6, 4), *middle, nn.Linear(4, 2))


def spectral():
    return nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))


REFUSED = {
    "batch norm": (lambda: body(nn.BatchNorm1d(4)), "batch normalisation over the rows: 1. Call"),
    "batch norm without averages": (
        lambda: body(nn.BatchNorm1d(4, track_running_stats=False)).eval(),
        "batch normalisation over the rows: 1. Call",
    ),
    "dropout": (lambda: body(nn.Dropout(0.1)), "dropout or other chance: 1. Call"),
    "rrelu": (lambda: body(nn.RReLU()), "dropout or other chance: 1. Call"),
    "spectral norm": (lambda: body(spectral()), "changes buffers: 1.parametrizations.weight.0."),
    "old spectral norm": (
        lambda: body(nn.utils.spectral_norm(nn.Linear(4, 4))),
        "changes buffers: 1. Call",
    ),
    "lazy": (lambda: body(nn.LazyLinear(4)), "not initialised: 1; call the model on some rows"),
    "mixed rows": (lambda: body(Centred()), "differ between two calls, or depend on the other"),
    "noise": (lambda: body(Noisy()), "differ between two calls, or depend on the other rows"),
    "counter": (lambda: body(Counting()), r"changes its buffers: 1.calls. Call the model's eval"),
    "all frozen": (lambda: body().requires_grad_(False), "got Sequential with none: set"),
    "axes": (lambda: Returning(lambda y: y[:, None]), r"got shape \(3, 1, 4\)|got shape \(1, 1, 4"),
    "transposed": (lambda: Returning(torch.t), r"for n = 1 rows; got shape \(4, 1\)"),
    "whole numbers": (
        lambda: Returning(lambda y: y.argmax(1)),
        "must return real numbers; got torch.int64: take those before the last step",
    ),
    "tuple": (lambda: Returning(lambda y: (y, y)), "must return a tensor.*; got tuple: wrap"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    make, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        empirical_ntk(make(), torch.randn(3, 6))


def test_dropout_that_is_off_is_allowed():
    model = body(nn.Dropout(0.0), nn.BatchNorm1d(4).eval())
    assert empirical_ntk(model, torch.randn(3, 6)).shape == (3, 3)
    model = body(nn.Dropout(0.5), nn.BatchNorm1d(4), spectral()).eval()
    assert empirical_ntk(model, torch.randn(3, 6), check=False).shape == (3, 3)


def test_buffers_are_restored():
    model = body(Counting())
    with pytest.raises(ValueError, match="buffers"):
        empirical_ntk(model, torch.randn(3, 6))
    assert model[1].calls.item() == 0


def test_other_arguments():
    model, X = model_and_rows("perceptron")
    for row in (0, 3):
        missing = X.clone()
        missing[row, 1] = np.nan
        with pytest.raises(ValueError, match="needs finite outputs of the model; got nan: leave"):
            empirical_ntk(model, missing)
    with pytest.raises(ValueError, match=r"X must have rows; got shape \(0, 6\)"):
        empirical_ntk(model, X[:0])
    for rows in ({"x": X}, [[1.0], [1.0, 2.0]], [["a"]]):
        with pytest.raises(ValueError, match=r"X must be a tensor or an array of numbers.*; got"):
            empirical_ntk(model, rows)
    with pytest.raises(ValueError, match="outputs must be a number from 0 to 2; got 3"):
        empirical_ntk(model, X, outputs=3)
