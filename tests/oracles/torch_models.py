"""Torch modules of many kinds, in float64, and their kernels by a gradient for each row and output.

Import this after ``pytest.importorskip("torch")``.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations


class Tied(nn.Module):
    """One weight in two modules with different biases, and one of them called twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.second.weight = self.first.weight

    def forward(self, x):
        for layer in (self.first, self.first, self.second):
            x = torch.tanh(layer(x))
        return self.last(x)


class Pooled(nn.Module):
    """A body on sequences, the mean over time, and a linear layer."""

    def __init__(self, body, width):
        super().__init__()
        self.body, self.last = body, nn.Linear(width, 3)

    def forward(self, x):
        x = self.body(x)
        return self.last((x[0] if isinstance(x, tuple) else x).mean(1))


class Attention(nn.Module):
    """Torch's own attention with a positional parameter."""

    def __init__(self):
        super().__init__()
        self.start, self.place = nn.Linear(6, 8), nn.Parameter(torch.randn(5, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.Linear(8, 2)

    def forward(self, x):
        x = self.start(x) + self.place
        return self.last(self.attention(x, x, x, need_weights=False)[0].mean(1))


class Attending(nn.Module):
    """Attention of positions to themselves, or to others, in windows of two rows of three."""

    def __init__(self, calls=("own",), in_windows=False, **options):
        super().__init__()
        self.start, self.attention = nn.Linear(6, 8), nn.MultiheadAttention(8, 2, **options)
        self.last, self.calls, self.in_windows = nn.Linear(8, 2), calls, in_windows

    def forward(self, x):
        n, is_turned = len(x), not self.attention.batch_first
        x = self.start(x[:, :4])
        if self.in_windows:
            x = x.reshape(2 * n, 2, 8)
        x = x.transpose(0, 1) if is_turned else x
        mask = torch.ones(x.shape[0 if is_turned else 1]).diag().roll(1, 0).bool()
        for call in self.calls:
            other = {"own": x, "other": torch.tanh(x), "narrow": x[..., :6]}[call]
            x = self.attention(query=x, key=other, value=other, attn_mask=mask)[0]
        x = x.transpose(0, 1) if is_turned else x
        return self.last(x.reshape(n, 4, 8).mean(1))


class OneByOne(nn.Module):
    """Attention that is called for each row, in a batch of one or in none."""

    def __init__(self, in_batch):
        super().__init__()
        self.attention, self.last = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 2)
        self.in_batch = in_batch

    def forward(self, x):
        rows = x[:, :4].split(1) if self.in_batch else x[:, :4]
        means = [self.attention(row, row, row)[0].mean(-2) for row in rows]
        return self.last(torch.stack(means).reshape(len(x), 6))


class Tokens(nn.Module):
    """Tokens, one of them for padding; the last layer may have the weight of the first."""

    def __init__(self, is_tied):
        super().__init__()
        self.start, self.norm = nn.Embedding(11, 8, padding_idx=3), nn.LayerNorm(8)
        self.middle, self.last = nn.Linear(8, 8), nn.Linear(8, 11 if is_tied else 3)
        if is_tied:
            self.last.weight = self.start.weight

    def forward(self, x):
        return self.last(torch.relu(self.middle(self.norm(self.start(x)))).mean(1))


class Functional(nn.Module):
    """A weight that is used in its module, and again without it."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        again = functional.linear(torch.tanh(self.first(input=x)), self.first.weight)
        return self.last(torch.relu(again))


class Merged(nn.Module):
    """Rows and times on one axis, in either order."""

    def __init__(self, rows_first):
        super().__init__()
        self.first, self.last, self.rows_first = nn.Linear(6, 7), nn.Linear(7, 2), rows_first

    def forward(self, x):
        n, time = x.shape[:2]
        x = (x if self.rows_first else x.transpose(0, 1)).reshape(n * time, -1)
        x = self.last(torch.relu(self.first(x)))
        return x.reshape(n, time, 2).mean(1) if self.rows_first else x.reshape(time, n, 2).mean(0)


class Turned(nn.Module):
    """A layer that sees the rows in another order, and one whose outputs nothing uses."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.unused = nn.Linear(6, 7), nn.Linear(7, 2), nn.Linear(7, 2)

    def forward(self, x):
        x = torch.relu(self.first(x.flip(0)).flip(0))
        self.unused(x)
        return self.last(x)


class Cube(torch.autograd.Function):
    """A function that torch cannot differentiate for several outputs at a time."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(context, g):
        return 3.0 * context.saved_tensors[0] ** 2 * g


class Cubed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 7), nn.Linear(7, 2)

    def forward(self, x):
        return self.last(Cube.apply(self.first(x)))


class Column(nn.Module):
    """One output without an axis of its own."""

    def __init__(self):
        super().__init__()
        self.only = nn.Linear(6, 1)

    def forward(self, x):
        return self.only(torch.sin(x))[:, 0]


def _perceptron(first=None, relu=None):
    return nn.Sequential(first or nn.Linear(6, 8), relu or nn.ReLU(), nn.Linear(8, 3))


def _convolutional():
    return nn.Sequential(
        *[nn.Conv2d(4, 6, 3, 2, padding=1, groups=2), nn.BatchNorm2d(6), nn.ReLU(True)],
        nn.Conv2d(6, 6, 3, dilation=2, padding="same", padding_mode="circular"),
        *[nn.GroupNorm(2, 6), nn.Tanh(), nn.Flatten(), nn.Linear(96, 3)],
    )


def _frozen():
    model = _perceptron()
    model[0].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return model


def _frozen_attention():
    model = Attending(batch_first=True)
    model.attention.in_proj_weight.requires_grad_(False)
    return model


ROWS = {
    "rows": lambda: torch.randn(5, 6),
    "sequences": lambda: torch.randn(4, 5, 6),
    "images": lambda: torch.randn(4, 4, 8, 8),
    "volumes": lambda: torch.randn(3, 4, 2, 8, 8),
    "tokens": lambda: torch.randint(0, 11, (4, 7)),
}

WEIGHT_NORM = ["0.bias", *(f"0.parametrizations.weight.original{k}" for k in range(2))]
NARROW = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias"]
IN_ATTENTION = [
    *("attention.in_proj_weight", "attention.in_proj_bias"),
    *("attention.out_proj.weight", "attention.out_proj.bias"),
]
PROJECTIONS = IN_ATTENTION[:2]
OF_LSTM = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]

MODELS = {
    "perceptron": (_perceptron, "rows", []),
    "one output": (Column, "rows", []),
    "gated": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.GLU(), nn.Linear(4, 3)),
        "rows",
        [],
    ),
    "in place": (lambda: _perceptron(relu=nn.ReLU(True)), "rows", []),
    "tied": (Tied, "rows", []),
    "frozen": (_frozen, "rows", []),
    "functional": (Functional, "rows", ["first.weight", "first.bias"]),
    "weight norm": (
        lambda: _perceptron(parametrizations.weight_norm(nn.Linear(6, 8))),
        "rows",
        WEIGHT_NORM,
    ),
    "spectral norm": (
        lambda: _perceptron(parametrizations.spectral_norm(nn.Linear(6, 8))),
        "rows",
        ["0.bias", "0.parametrizations.weight.original"],
    ),
    "merged": (lambda: Merged(True), "sequences", []),
    "merged, times first": (
        lambda: Merged(False),
        "sequences",
        ["first.weight", "first.bias", "last.weight", "last.bias"],
    ),
    "rows turned round": (Turned, "rows", ["first.weight", "first.bias"]),
    "no rule for several outputs": (Cubed, "rows", []),
    "attention": (Attention, "sequences", ["place"]),
    "attention, positions first": (lambda: Attending(bias=False), "sequences", []),
    "attention, twice": (lambda: Attending(["own", "own"], batch_first=True), "sequences", []),
    "attention in windows": (
        lambda: Attending(in_windows=True, batch_first=True),
        "sequences",
        [],
    ),
    "attention to others": (
        lambda: Attending(["other"], batch_first=True),
        "sequences",
        PROJECTIONS,
    ),
    "attention to both": (
        lambda: Attending(["own", "other"]),
        "sequences",
        PROJECTIONS,
    ),
    "attention, one by one": (lambda: OneByOne(False), "sequences", IN_ATTENTION),
    "attention, batches of one": (lambda: OneByOne(True), "sequences", IN_ATTENTION),
    "attention, more keys": (
        lambda: Attending(add_bias_kv=True),
        "sequences",
        ["attention.bias_k", "attention.bias_v"],
    ),
    "attention, narrow keys": (
        lambda: Attending(["narrow"], kdim=6, vdim=6),
        "sequences",
        [f"attention.{name}" for name in NARROW],
    ),
    "attention, frozen": (_frozen_attention, "sequences", ["attention.in_proj_bias"]),
    "encoder": (
        lambda: Pooled(nn.TransformerEncoderLayer(6, 2, 12, batch_first=True), 6),
        "sequences",
        [],
    ),
    "lstm": (
        lambda: Pooled(nn.LSTM(6, 5, batch_first=True), 5),
        "sequences",
        [f"body.{name}" for name in OF_LSTM],
    ),
    "tokens": (lambda: Tokens(False), "tokens", []),
    "tied tokens": (lambda: Tokens(True), "tokens", ["start.weight"]),
    "convolution": (_convolutional, "images", []),
    "transposed": (
        lambda: nn.Sequential(
            *[nn.ConvTranspose2d(4, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()],
            nn.Linear(3, 2),
        ),
        "images",
        ["0.weight", "0.bias"],
    ),
    "convolution of sequences": (
        lambda: nn.Sequential(
            *[nn.Conv1d(5, 7, 3), nn.PReLU(), nn.Conv1d(7, 3, 2, bias=False), nn.RMSNorm(3)],
            *[nn.Flatten(), nn.Linear(9, 2)],
        ),
        "sequences",
        ["1.weight"],
    ),
    "convolution of volumes": (
        lambda: nn.Sequential(
            nn.Conv3d(4, 3, (2, 3, 1)), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
        ),
        "volumes",
        [],
    ),
}
"""By name a function that makes the model, the kind of its rows, and the parameters whose gradients
take the general route."""


def model_and_rows(name, dtype=torch.float64):
    """A model in evaluation mode and its rows, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        make, rows, _ = MODELS[name]
        model, X = make().to(dtype).eval(), ROWS[rows]()
    return model, X.to(dtype) if X.is_floating_point() else X


def gradients(model, X):
    """Gradients (n, k, P) of all trained parameters, a backward pass for each row and output."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    found = []
    for x in X:
        outputs = model(x[None]).reshape(-1)
        found.append([_of_one(output, parameters) for output in outputs])
    return np.array(found)


def _of_one(output, parameters):
    parts = torch.autograd.grad(output, parameters, retain_graph=True, allow_unused=True)
    zeros = map(torch.zeros_like, parameters)
    pairs = zip(parts, zeros, strict=True)
    return torch.cat([(zero if g is None else g).ravel() for g, zero in pairs]).numpy()


X = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 4)))
Y = np.random.default_rng(1).standard_normal((6, 2))


def expected_kernel(model, rows=X):
    """Kernel (n, n), the mean over outputs, by the gradients of each row."""
    J = gradients(model, rows.clone())
    return np.einsum("ikp,jkp->ij", J, J) / J.shape[1]
