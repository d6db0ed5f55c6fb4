"""What hooks would see wrongly, and outputs that depend on other rows or on chance."""

import random

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch_models import gradients, model_and_rows  # noqa: E402

from sklearn_ntk.finite import (  # noqa: E402
    LazyTrainingReport,
    empirical_nngp,
    empirical_ntk,
    empirical_ntk_diagonal,
    tangent_features,
)
from sklearn_ntk.finite._kernels import ntk  # noqa: E402
from sklearn_ntk.finite._readers import reader_for  # noqa: E402


class Calling(nn.Module):
    """A function of some modules and rows."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x):
        return self.function(self, x)


# --- Numbers and orders of rows that depend on data ----------------------------------------------


def unpadded(model, x):
    embedding, f, last = model.parts
    is_token = x != 0
    z = torch.zeros(*x.shape, 7, dtype=torch.float64)
    z[is_token] = torch.tanh(f(embedding(x)[is_token]))
    return last(z.sum(1) / is_token.sum(1, keepdim=True))


def early_exit(model, x):
    first, more, last = model.parts
    h = torch.tanh(first(x))
    is_deep = h[:, 0] > 0
    out = h.clone()
    out[is_deep] = h[is_deep] + torch.tanh(more(h[is_deep]))
    return last(out)


def experts(model, x):
    gate, *parts = model.parts
    scores, best = gate(x).softmax(1).max(1)
    out = x.clone()
    for k, part in enumerate(parts):
        rows = (best == k).nonzero()[:, 0]
        out = out.index_add(0, rows, scores[rows, None] * torch.tanh(part(x[rows])))
    return out


def by_score(model, x):
    """Rows are sorted by what a layer makes of them."""
    f, last = model.parts
    order = x.sum(1).argsort()
    return last(torch.tanh(f(x[order]))[order.argsort()])


def times_first(model, x):
    f, last = model.parts
    return last(torch.tanh(f(x.transpose(0, 1))).mean(0))


def used_twice(model, x):
    f, last = model.parts
    return last(torch.relu(f(x)) + functional.linear(x * x, f.weight))


def tokens(lengths):
    X = torch.randint(1, 11, (len(lengths), 5))
    for x, length in zip(X, lengths, strict=True):
        x[length:] = 0
    return X


def deep_rows_at_both_ends(model):
    X = torch.randn(10, 4, dtype=torch.float64)
    is_deep = torch.tanh(model.parts[0](X))[:, 0] > 0
    deep, others = X[is_deep], X[~is_deep]
    return torch.cat([deep[1:], others, deep[:1]])


def constant_in_time(model):
    X = torch.ones(6, 4, 4) * torch.randn(6, 1, 4)
    X[-1] = X[0]
    return X


def linear(*sizes):
    return [nn.Linear(*pair) for pair in sizes]


CASES = {
    "unpadded tokens": (
        lambda: Calling(unpadded, nn.Embedding(11, 6), *linear((6, 7), (7, 2))),
        lambda model: tokens([4, 5, 3, 4, 2, 5, 5, 4]),  # as many as rows, times 4
    ),
    "early exit": (
        lambda: Calling(early_exit, *linear((4, 8), (8, 8), (8, 2))),
        deep_rows_at_both_ends,
    ),
    "experts": (
        lambda: Calling(experts, *linear((4, 3), (4, 4), (4, 4), (4, 4))),
        lambda model: torch.randn(9, 4),
    ),
    "sorted rows": (
        lambda: Calling(by_score, *linear((4, 6), (6, 2))),
        lambda model: torch.randn(9, 4),
    ),
    "times first": (lambda: Calling(times_first, *linear((4, 6), (6, 2))), constant_in_time),
    "a weight used twice": (
        lambda: Calling(used_twice, *linear((4, 6), (6, 2))),
        lambda model: torch.randn(6, 4) * (torch.arange(6) > 0)[:, None],  # the first row is zero
    ),
}
"""By name a model, and its rows."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_depends_on_data(name):
    """Kernels of all layers and of one, whole and in parts, as if there were no hooks."""
    make, rows = CASES[name]
    torch.manual_seed(0)
    model = make().double()
    X = rows(model)
    X = X.double() if X.is_floating_point() else X
    J = gradients(model, X)
    K = np.einsum("ikp,jkp->ij", J, J)
    tolerance = {"rtol": 0, "atol": 1e-13 * K.max()}
    assert_allclose(empirical_ntk(model, X, outputs="trace"), K, **tolerance)
    found = empirical_ntk(model, X[:1], X, outputs="trace", memory=1000)
    assert_allclose(found, K[:1], **tolerance)
    found = empirical_ntk_diagonal(model, X, outputs="trace", memory=1000)
    assert_allclose(found, K.diagonal(), **tolerance)
    names, sizes = zip(*((n, each.numel()) for n, each in model.named_parameters()), strict=True)
    own = J[..., sum(sizes[:2]) : sum(sizes[:3])]
    own, options = np.einsum("ikp,jkp->ij", own, own), {"outputs": "trace", "layers": names[2]}
    assert_allclose(empirical_ntk(model, X, **options), own, **tolerance)
    features, _ = tangent_features(model, X, 1000, **options)  # nothing is projected
    assert_allclose(features @ features.T, own, **tolerance)


@pytest.mark.slow
def test_operations_that_torch_batches_wrongly():
    """Of two rows and two functions of a rectifier with a slope for each unit, in torch 2.13."""
    torch.manual_seed(0)
    parts = [nn.Linear(6, 8), nn.PReLU(8), nn.Linear(8, 8), nn.GLU(), nn.Linear(4, 2)]
    model, X = nn.Sequential(*parts).double(), torch.randn(5, 6, dtype=torch.float64)
    for rows in (X[:2], X[1:3], X):
        J = gradients(model, rows)
        K = np.einsum("ikp,jlp->ijkl", J, J)
        found = empirical_ntk(model, rows, outputs="blocks")
        assert_allclose(found, K, rtol=0, atol=1e-13 * np.abs(K).max())


def test_gradients_that_vanish_at_the_start():
    """A last layer of zeros hides a second use of a weight until it is trained."""

    def twice(model, x):
        f, last = model.parts
        return last(torch.tanh(f(x)) + torch.sin(2.0 * functional.linear(x**2, f.weight)))

    torch.manual_seed(0)
    model = Calling(twice, nn.Linear(5, 20, bias=False), nn.Linear(20, 1)).double()
    nn.init.zeros_(model.parts[1].weight)
    X = torch.randn(30, 5, dtype=torch.float64)
    report = LazyTrainingReport(model, n_steps=50).fit(X, np.sin(3.0 * X[:, 0].numpy()))
    K, start = (
        np.einsum("ikp,jkp->ij", J, J) for J in (gradients(report.model_, X), gradients(model, X))
    )
    expected = np.linalg.norm(K - start) / np.linalg.norm(start)
    assert_allclose(report.checkpoints_[-1].kernel_change, expected, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision(dtype):
    """The same parameters take the general route, also where norms of gradients overflow."""
    torch.manual_seed(0)
    model = Calling(used_twice, *linear((4, 6), (6, 2))).to(dtype)
    for scale in (1.0, 30.0):
        reader = reader_for(model)
        rows = reader.prepare(scale * torch.randn(20, 4))
        ntk(reader, rows, rows)
        assert "parts.0.weight" in reader.general
    model, X = model_and_rows("convolution", dtype)
    reader = reader_for(model)
    rows = reader.prepare(X)
    ntk(reader, rows, rows)
    assert not reader.general


def test_perceptrons_need_no_other_pass(monkeypatch):
    """Gradients of weights would take longer than the kernel."""
    monkeypatch.setattr("sklearn_ntk.finite._torch._check.gradients", None)
    for name in ("perceptron", "in place", "frozen"):
        empirical_ntk(*model_and_rows(name))
    for name in ("tied", "functional", "rows turned round", "convolution"):
        with pytest.raises(TypeError, match="NoneType"):
            empirical_ntk(*model_and_rows(name))


# --- Rows that depend on each other, and chance --------------------------------------------------

DEPENDENT = {
    "means": lambda x: x - x.mean(0),
    "softmax over rows": lambda x: x.softmax(0),
    "order": lambda x: x * torch.arange(len(x))[:, None],
}
ROWS = {
    "random": torch.randn(9, 4, generator=torch.Generator().manual_seed(0)),
    "grid": torch.linspace(-1.0, 1.0, 9)[:, None].expand(9, 4),
    "two kinds": torch.eye(4)[torch.arange(48) % 2],
    "first is last": torch.eye(4)[[0, 1, 2, 0]],
}


def mixing(function):
    return Calling(
        lambda model, x: model.parts[1](function(model.parts[0](x))), *linear((4, 6), (6, 2))
    )


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", DEPENDENT)
def test_rows_that_depend_on_each_other(name, rows):
    """Also if the first argument has a single row."""
    torch.manual_seed(0)
    model, X = mixing(DEPENDENT[name]), ROWS[rows]
    calls = (
        lambda: empirical_ntk(model, X),
        lambda: empirical_ntk(model, X[:1], X),
        lambda: empirical_ntk_diagonal(model, X),
        lambda: tangent_features(model, X),
        lambda: empirical_nngp(model, X),
    )
    for call in calls:
        with pytest.raises(ValueError, match="or depend on the other rows"):
            call()


CHANCE = {
    "paths of rows": lambda model, x: x * torch.empty(len(x), 1).bernoulli_(0.9),
    "layers, by random": lambda model, x: 2.0 * x if random.random() < 0.1 else x,
    "layers, by NumPy": lambda model, x: 2.0 * x if np.random.random() < 0.1 else x,  # noqa: NPY002
}


@pytest.mark.parametrize("name", CHANCE)
def test_chance_that_is_rare(name):
    model, X = nn.Sequential(nn.Linear(4, 6), Calling(CHANCE[name]), nn.Linear(6, 2)), ROWS["grid"]
    for seed in range(10):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        with pytest.raises(ValueError, match="differ between two calls"):
            empirical_ntk(model, X)


def test_numbers_that_are_drawn_in_vain():
    drawing = Calling(lambda model, x: x if torch.rand(()) < 2.0 else -x)
    model = nn.Sequential(nn.Linear(4, 6), drawing, nn.Linear(6, 2))
    assert empirical_ntk(model, ROWS["random"]).shape == (9, 9)
