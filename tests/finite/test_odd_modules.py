"""Modules that branch on the mode, have hooks or other names for a weight, or change their rows."""

import threading
from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch_models import X, Y, expected_kernel, gradients  # noqa: E402

from sklearn_ntk.finite import (  # noqa: E402
    LazyTrainingReport,
    Linearized,
    TaskVector,
    empirical_nngp,
    empirical_ntk,
    empirical_regression,
    influence,
)
from sklearn_ntk.finite._kernels import ntk  # noqa: E402
from sklearn_ntk.finite._readers import reader_for  # noqa: E402


class Calling(nn.Module):
    """A function of a perceptron with two outputs, of other modules and rows."""

    def __init__(self, function, **parts):
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
        for name, each in parts.items():
            setattr(self, name, each)
        self.double()

    def forward(self, x):
        return self.function(self, x)


# --- Modes ---------------------------------------------------------------------------------------


def test_outputs_are_those_of_the_mode_with_gradients():
    """Some modules compute something else without, as torch's encoders of padded rows do."""
    model = Calling(lambda model, x: model.net(x if torch.is_grad_enabled() else x**2))
    f, J = model(X).detach().numpy(), gradients(model, X)
    K = np.einsum("ikp,jlp->ikjl", J, J).reshape(12, 12)
    R = np.linalg.inv(K + 0.1 * np.eye(12))
    own = R.reshape(6, 2, 6, 2)[range(6), :, range(6)]
    residuals = np.linalg.solve(0.1 * own, (Y - f)[:, :, None])
    expected = np.einsum("mkid,ido->mik", (K @ R).reshape(6, 2, 6, 2), residuals)
    assert_allclose(influence(model, X, Y, X, 0.1), expected, rtol=1e-9)
    report = LazyTrainingReport(model, n_steps=1).fit(X, Y)
    assert_allclose(report.checkpoints_[0].loss, 0.5 * np.sum((f - Y) ** 2) / 6, rtol=1e-12)
    for mode in (torch.no_grad, torch.inference_mode):
        linear = Linearized(model)
        with mode():
            assert_allclose(linear(X + 0.0), f, rtol=1e-12)
            linear.has_forward_mode = False
            assert_allclose(linear(X + 0.0), f, rtol=1e-12)
    h = torch.tanh(model.net[0](X)).detach().numpy()
    assert_allclose(empirical_nngp(model, X), h @ h.T / 5, rtol=1e-12)


class Named(nn.Linear):
    """A linear layer with an argument of another name, which may put out two tensors."""

    def __init__(self, is_pair):
        super().__init__(4, 4)
        self.is_pair = is_pair

    def forward(self, z):
        z = super().forward(z)
        return (z, z) if self.is_pair else z


@pytest.mark.parametrize("is_pair", [False, True])
def test_layers_that_are_called_otherwise(is_pair):
    def forward(model, x):
        x = model.named(z=x)
        return model.net(model.norm(x=x[0] if is_pair else x))

    model = Calling(forward, named=Named(is_pair), norm=nn.RMSNorm(4))
    assert_allclose(empirical_ntk(model, X), expected_kernel(model), rtol=1e-12)
    h = []
    handle = model.net[2].register_forward_pre_hook(lambda module, taken: h.append(taken[0]))
    model(X)
    handle.remove()
    h = h[0].detach().numpy()
    assert_allclose(empirical_nngp(model, X), h @ h.T / 5, rtol=1e-12)


# --- Modules with two names ----------------------------------------------------------------------


def _alias(net):
    """A module that holds others by two names each."""
    model = Calling(lambda model, x: model.second_net(x))
    model.net, model.second_net = net, net
    return model.double()


def _slope_twice():
    slope = nn.PReLU()
    return nn.Sequential(nn.Linear(4, 5), slope, nn.Linear(5, 5), slope, nn.Linear(5, 2))


def _block_three_times():
    block = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    return nn.Sequential(block, nn.Tanh(), block, nn.Tanh(), block)


class _Cell(nn.Module):
    """A recurrent cell that runs twice, once by each name."""

    def __init__(self):
        super().__init__()
        self.cell, self.last = nn.GRUCell(4, 4), nn.Linear(4, 2)
        self.again = self.cell

    def forward(self, x):
        return self.last(self.again(x, self.cell(x)))


class _Tokens(nn.Module):
    """A parameter of its own beside an encoder."""

    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.randn(2, 2))
        self.encoder = nn.TransformerEncoderLayer(2, 1, 4, dropout=0.0, batch_first=True)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.encoder(x.reshape(-1, 2, 2) + self.places).flatten(1))


TWICE = {
    "activation": _slope_twice,
    "block": _block_three_times,
    "cell": _Cell,
    "wrapper": lambda: _alias(_Tokens()),
}


@pytest.mark.parametrize("name", TWICE)
def test_modules_with_two_names(name):
    """Kernels and linear models are right, and leave the module its parameters."""
    torch.manual_seed(0)
    model = TWICE[name]().double().eval()
    own = [(key, id(each)) for key, each in model.named_parameters(remove_duplicate=False)]
    for check in (True, False):
        assert_allclose(empirical_ntk(model, X, check=check), expected_kernel(model, X), rtol=1e-12)
        names = model.named_parameters(remove_duplicate=False)
        assert [(key, id(each)) for key, each in names] == own
    linear = Linearized(model)
    for each in linear.differences.parameters():
        nn.init.normal_(each)
    outputs = linear(X)
    J = gradients(model, X)
    w = torch.cat([each.flatten() for each in linear.differences.parameters()]).detach().numpy()
    assert_allclose(outputs.detach().numpy(), model(X).detach().numpy() + J @ w, rtol=1e-10)
    assert torch.equal(deepcopy(linear)(X), outputs)
    vector = TaskVector(linear)
    assert torch.equal(vector.apply_to(Linearized(model))(X), outputs)


def test_gradients_that_no_route_finds_are_refused(monkeypatch):
    model = TWICE["activation"]().double()
    for route in ("jacobians", "by_rows"):
        monkeypatch.setattr(
            f"sklearn_ntk.finite._torch._reader.{route}",
            lambda model, rows, seeds, parameters, *_: torch.zeros(len(rows), len(seeds), 1),
        )
    with pytest.raises(ValueError, match=r"to those of all rows; got others for .*1\.weight:"):
        empirical_ntk(model, X)


def test_outputs_without_gradients_are_refused():
    model = Calling(lambda model, x: model.net(x).detach())
    with pytest.raises(ValueError, match="got Calling, whose outputs have no gradients: leave"):
        empirical_ntk(model, X)


# --- Parameters ----------------------------------------------------------------------------------


def test_hooks_on_gradients_are_refused():
    """Of parameters that are trained here; others do not matter."""
    model = Calling(lambda model, x: model.net(x))
    expected = empirical_ntk(model, X, layers="net.2")
    model.net[0].weight.register_hook(lambda g: 2.0 * g)
    for call in (lambda: empirical_ntk(model, X), lambda: Linearized(model)):
        with pytest.raises(ValueError, match=r"got hooks on those of net\.0\.weight: remove them"):
            call()
    assert_allclose(empirical_ntk(model, X, layers="net.2"), expected)
    model.net[0].weight.requires_grad_(False)
    Linearized(model)


@pytest.mark.parametrize("bias", [False, True])
def test_layers_by_any_name_of_their_weight(bias):
    torch.manual_seed(0)
    first, second = nn.Linear(4, 4, bias=bias), nn.Linear(4, 4, bias=bias)
    second.weight = first.weight
    model = nn.Sequential(first, nn.Tanh(), second).double()
    for each in model.parameters():
        each.requires_grad_(each is second.weight or each is second.bias)
    expected = expected_kernel(model)
    model.requires_grad_()
    assert_allclose(empirical_ntk(model, X, layers="2"), expected, rtol=1e-12)
    report = LazyTrainingReport(model, n_steps=1, layers="2").fit(X, X)
    assert list(report.checkpoints_[0].layer_changes) == (["0", "2"] if bias else ["0"])


# --- Rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_rows_that_a_module_changes(check):
    model, rows = Calling(lambda model, x: model.net(x.sub_(0.5))), X.clone()
    K, f = expected_kernel(model), model(X.clone()).detach()
    assert_allclose(empirical_ntk(model, rows, check=check), K, rtol=1e-12)
    report = LazyTrainingReport(model, n_steps=1, check=check).fit(rows, Y)
    assert_allclose(report.checkpoints_[0].loss, 0.5 * ((f.numpy() - Y) ** 2).sum() / 6)
    linear = Linearized(model)
    assert_allclose(linear(rows).detach(), f, rtol=1e-12)
    linear.has_forward_mode = False
    assert_allclose(linear(rows).detach(), f, rtol=1e-12)
    assert torch.equal(rows, X)


def test_rows_of_other_kinds():
    """Byte orders and long doubles of NumPy, complex rows, and the last axis that squeeze takes."""
    model = Calling(lambda model, x: model.net(x))
    expected = empirical_ntk(model, X)
    for dtype in (">f8", np.longdouble):
        assert_allclose(empirical_ntk(model, X.numpy().astype(dtype)), expected)
    squeezed = Calling(lambda model, x: model.net(x).squeeze())
    assert_allclose(empirical_ntk(squeezed, X), expected)
    torch.manual_seed(0)
    model = Calling(lambda model, z: model.net(model.mix(z).real))
    model.mix = nn.Linear(4, 4, dtype=torch.complex64)
    model.net.float()
    rows = X + 1j * X.flip(0)
    found = empirical_ntk(model, rows.numpy())
    assert_allclose(found, empirical_ntk(model, rows.to(torch.complex64)))


def test_rows_that_are_refused():
    model = Calling(lambda model, x: model.net(x))
    for rows in (np.arange(8).reshape(2, 4), [[1, 2, 3, 4]], torch.ones(2, 4, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"torch.u?int\d+ of.*\(mat1 and .*real numbers\."):
            empirical_ntk(model, rows)
    with pytest.raises(ValueError, match=r"shape \(6, 3\) \(mat1 and mat2 .*: the first axis has"):
        empirical_ntk(model, X[:, :3])
    for several in ((X, X), torch.utils.data.TensorDataset(X, X)):
        with pytest.raises(ValueError, match="wrap a model of several inputs in a module"):
            empirical_ntk(model, several)
    means = Calling(lambda model, x: model.net(x).mean(0))
    with pytest.raises(ValueError, match="many outputs for 2 rows as for one, 2; got 1: put the"):
        empirical_ntk(means, X[:2])
    with pytest.raises(ValueError, match=r"dense tensor; got layout torch\.sparse_coo: call its"):
        empirical_ntk(model, X.to_sparse())


# --- Precisions, devices, and what autograd keeps ------------------------------------------------


def under_autocast(model, x):
    with torch.autocast("cpu", torch.bfloat16):
        x = model.net(x)
    return x.float()


def half_body(model, x):
    return model.net[2](torch.tanh(model.net[0](x.bfloat16())).float())


@pytest.mark.parametrize("function", [under_autocast, half_body])
def test_two_precisions(function):
    """Hooks serve layers in both, and the check compares in the lower one."""
    model, rows = Calling(function).float(), X.float()
    if function is half_body:
        model.net[0].bfloat16()
    J = [
        torch.cat([each.float().ravel() for each in torch.autograd.grad(f, model.parameters())])
        for k in range(2)
        for f in [model(row[None])[0, k] for row in rows]
    ]
    J = torch.stack(J).reshape(2, 6, -1).numpy()
    expected = np.einsum("kip,kjp->ij", J, J) / 2
    reader = reader_for(model)
    prepared = reader.prepare(rows)
    found = ntk(reader, prepared, prepared)
    assert_allclose(found, expected, rtol=0, atol=0.02 * expected.max())
    assert not reader.general


def test_another_default_device():
    """What a model makes without a device is its own affair."""
    model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2)).double()
    expected, linear = empirical_ntk(model, X), Linearized(model)
    with torch.device("meta"):
        assert_allclose(empirical_ntk(model, X), expected)
        assert_allclose(linear(X).detach(), model(X).detach())
        LazyTrainingReport(model, n_steps=1).fit(X, Y)


TRANSFORMED = {
    "vmap": lambda model, x: torch.func.vmap(model.net)(x),
    "jvp": lambda model, x: torch.func.jvp(model.net, (x,), (torch.ones_like(x),))[1],
    "vjp": lambda model, x: torch.func.vjp(model.net, x)[1](torch.ones_like(x[:, :2]))[0],
    "jacrev": lambda model, x: torch.func.vmap(torch.func.jacrev(model.net))(x).sum(2),
    "sparse": lambda model, x: (model.sparse @ model.net(x).T).T,
    "empty": lambda model, x: model.net(x) + model.empty.sum(),
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transforms_and_unusual_tensors(name):
    model = Calling(TRANSFORMED[name])
    matrix = torch.tensor([[0.0, 2.0], [0.5, 0.0]], dtype=torch.float64)
    model.register_buffer("sparse", matrix.to_sparse())
    model.register_buffer("never", torch.tensor(np.nan))
    model.empty = nn.Parameter(torch.zeros(0, dtype=torch.float64))
    for check in (False, True):
        assert_allclose(empirical_ntk(model, X, check=check), expected_kernel(model), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")
def test_compiled_in_place():
    """A module, and a block of it, that are compiled where they are."""
    model = Calling(lambda model, x: model.net(x))
    expected, outputs = expected_kernel(model), model(X).detach()
    model.compile(backend="eager")
    model.net[0] = torch.compile(model.net[0], backend="eager")
    model(X)
    assert_allclose(empirical_ntk(model, X), expected, rtol=1e-12)
    assert_allclose(Linearized(model)(X).detach(), outputs, rtol=1e-12)
    assert LazyTrainingReport(model, n_steps=1).fit(X, Y).checkpoints_[-1].step == 1
    linear = Linearized(Calling(lambda model, x: model.net(x)))
    assert_allclose(torch.compile(linear, backend="eager")(X).detach(), outputs, rtol=1e-12)


def test_nothing_of_a_pass_is_left_in_containers():
    def forward(model, x):
        model.kept["all"] = [model.net(x)]
        return model.kept["all"][0]

    model = Calling(forward, kept={})
    reader = reader_for(model)
    reader.outputs(reader.prepare(X))
    assert not model.kept["all"][0].requires_grad


# --- Refusals ------------------------------------------------------------------------------------


def test_modules_that_cannot_be_copied():
    model = Calling(lambda model, x: model.net(x)).float()
    expected = empirical_regression(model, X, Y, X, 1.0)
    model.lock = threading.Lock()
    assert_allclose(empirical_regression(model, X, Y, X, 1.0), expected, rtol=1e-4)
    for call in (
        lambda: LazyTrainingReport(model, n_steps=1).fit(X, Y),
        lambda: Linearized(model),
    ):
        with pytest.raises(ValueError, match=r"copy; got Calling \(cannot pickle '_thread.lock'"):
            call()


def test_what_counts_calls_is_no_buffer():
    def forward(model, x):
        model.calls += 1
        return model.net(x)

    model = Calling(forward).eval()
    model.register_buffer("calls", torch.zeros(()))
    with pytest.raises(ValueError, match=r"buffers: calls\. It is in evaluation mode: count calls"):
        empirical_ntk(model, X)
    del model.calls
    model.calls = 0
    assert_allclose(empirical_ntk(model, X), expected_kernel(model), rtol=1e-12)


def test_a_head_of_zeros():
    model = Calling(lambda model, x: model.net(x))
    nn.init.zeros_(model.net[2].weight)
    with pytest.raises(ValueError, match="not all zero; got a kernel of zeros: choose other"):
        LazyTrainingReport(model, n_steps=1, layers="net.0").fit(X, Y)
