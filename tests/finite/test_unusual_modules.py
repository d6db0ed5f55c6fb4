"""Modules that keep tensors, change them, are compiled, or mix kinds of numbers."""

from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402
from torch_models import X, Y, expected_kernel  # noqa: E402

from sklearn_ntk.finite import (  # noqa: E402
    EmpiricalNTKKernel,
    LazyTrainingReport,
    Linearized,
    TaskVector,
    empirical_ntk,
    empirical_regression,
)


class Network(nn.Sequential):
    """A perceptron with two outputs, and a line in front of it."""

    def __init__(self, before=None):
        torch.manual_seed(0)
        super().__init__(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        self.double()
        self.before = before

    def forward(self, x):
        x = x if self.before is None else self.before(self, x)
        for layer in (self[0], self[1], self[2]):
            x = layer(x)
        return x


# --- Tensors that a module keeps -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pruned", "weight norm"])
def test_weights_that_are_attributes(kind):
    """They are results of other parameters, which a copy of the module cannot be made with."""
    model = Network()
    if kind == "pruned":
        prune.l1_unstructured(model[0], "weight", 0.5)
    else:
        with pytest.warns(FutureWarning, match="is deprecated"):
            nn.utils.weight_norm(model[0])
    weight = model[0].weight
    assert not weight.is_leaf
    K = empirical_ntk(model, X)
    assert model[0].weight is weight
    assert_allclose(K, expected_kernel(model), rtol=1e-12)
    report = LazyTrainingReport(model, n_steps=2).fit(X, Y)
    trained = report.model_[0].weight
    assert_allclose(empirical_ntk(report.model_, X), expected_kernel(report.model_), rtol=1e-12)
    report.model_(X)
    assert torch.equal(trained, report.model_[0].weight)
    linear, outputs = Linearized(model), model(X).detach()
    assert_allclose(linear(X).detach(), outputs, rtol=1e-12)
    assert_allclose(TaskVector(linear).apply_to(linear)(X).detach(), outputs, rtol=1e-12)


def test_what_a_pass_keeps_is_gone():
    """A model that keeps features of its rows can be copied afterwards, as before."""

    def keep(model, x):
        model.kept = model[0](x)
        return x

    model = Network(keep)
    empirical_ntk(model, X)
    assert not hasattr(model, "kept")
    deepcopy(LazyTrainingReport(model, n_steps=1).fit(X, Y).model_)
    deepcopy(model)


def test_replaced_buffers():
    def average(model, x):
        model.mean = 0.9 * model.mean + 0.1 * x.mean(0)
        return x

    model = Network(average)
    start = torch.zeros(4, dtype=torch.float64)
    model.register_buffer("mean", start)
    with pytest.raises(ValueError, match=r"that changes its buffers: mean\. Call the model's eval"):
        empirical_ntk(model, X)
    assert model.mean is start and not start.any()


@pytest.mark.slow
def test_compiled():
    """By the module inside, whose names stay as they are."""
    model = Network()
    compiled = torch.compile(model, backend="eager")
    assert_allclose(empirical_ntk(compiled, X, layers="2"), empirical_ntk(model, X, layers="2"))
    linear = Linearized(compiled)
    assert_allclose(linear(X).detach(), model(X).detach(), rtol=1e-12)
    TaskVector(linear).apply_to(compiled)


def test_sparse_gradients():
    model = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten(), nn.Linear(12, 2))
    rows = torch.arange(15).reshape(5, 3) % 9
    dense = deepcopy(model)
    dense[0].sparse = False
    assert_allclose(empirical_ntk(model, rows), empirical_ntk(dense, rows))
    found, other = (LazyTrainingReport(each, n_steps=2).fit(rows, Y[:5]) for each in (model, dense))
    assert found.checkpoints_[-1].loss == other.checkpoints_[-1].loss


def test_checks_can_be_left_out():
    """Of rows that depend on each other."""
    model = Network(lambda model, x: x - x.mean(0))
    for call in (
        lambda **options: EmpiricalNTKKernel(model, **options)(X),
        lambda **options: empirical_regression(model, X, Y, X, 1.0, **options),
        lambda **options: LazyTrainingReport(model, n_steps=1, **options).fit(X, Y),
    ):
        with pytest.raises(ValueError, match="or depend on the other rows"):
            call()
        call(check=False)


# --- Kinds of numbers ----------------------------------------------------------------------------


def test_one_output_without_axis():
    """The rows of ``squeeze`` lose their axis, too, when there is but one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    squeezed = nn.Sequential(model, nn.Flatten(0))
    squeezed[1].forward = torch.squeeze
    assert_allclose(empirical_ntk(squeezed, X), empirical_ntk(model, X))
    assert_allclose(empirical_ntk(squeezed, X[:1], X), empirical_ntk(model, X[:1], X))


@pytest.mark.parametrize("many", [False, True])
def test_report_in_the_precision_of_the_module(many):
    """Where a copy in float64 cannot run, as here, whose rows are always in single precision."""
    rows, targets = (np.tile(each, (12, 1)) for each in (X, Y)) if many else (X, Y)
    model = Network(lambda model, x: x.float()).float()
    report = LazyTrainingReport(model, n_steps=3).fit(rows, targets)
    model.before = None
    expected = LazyTrainingReport(model, n_steps=3).fit(rows, targets)
    found, other = (each.checkpoints_[-1] for each in (report, expected))
    assert_allclose(found.loss, other.loss, rtol=1e-4)
    assert_allclose(found.linear_loss, other.linear_loss, rtol=1e-4)
    assert_allclose(report.kappa_, expected.kappa_, rtol=1e-2)


def test_frozen_body_in_half_precision():
    """Rows are as the model takes them: those of arrays as its first parameter."""
    body, head = nn.Linear(4, 8).bfloat16().requires_grad_(False), nn.Linear(8, 2)
    model = nn.Sequential(body, nn.Identity(), head)
    model[1].forward = torch.Tensor.float
    rows = X.bfloat16()
    expected = empirical_ntk(head, body(rows).float())
    assert_allclose(empirical_ntk(model, rows), expected)
    assert_allclose(empirical_ntk(model, rows.float().numpy()), expected)
    report = LazyTrainingReport(model, n_steps=2).fit(rows, Y)
    assert report.checkpoints_[-1].jacobian_change < 1e-5


class Spectral(nn.Module):
    """A product in Fourier space."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(3, 3, dtype=torch.cdouble)

    def forward(self, x):
        return torch.fft.irfft(self.mix(torch.fft.rfft(x)), n=4)


def test_complex_parameters():
    """As pairs of real ones."""
    torch.manual_seed(0)
    model = nn.Sequential(Spectral(), nn.Tanh(), nn.Linear(4, 2).double())
    K, parameters = np.zeros((6, 6)), list(model.parameters())
    for output in range(2):
        parts = [torch.autograd.grad(model(X[[i]])[0, output], parameters) for i in range(6)]
        J = [torch.cat([torch.view_as_real(p + 0j).ravel() for p in each]) for each in parts]
        K += (torch.stack(J) @ torch.stack(J).T).numpy() / 2
    assert_allclose(empirical_ntk(model, X), K, rtol=1e-12)
    report = LazyTrainingReport(model, n_steps=1, learning_rate=1e-5).fit(X, Y)
    losses = report.checkpoints_[0].loss - np.array(report.checkpoints_[1][1:3])
    assert_allclose(losses[0], losses[1], rtol=1e-3)
    linear = Linearized(model)
    for each in linear.differences.parameters():
        each.data += 0.1 + (0.2j if each.is_complex() else 0.0)
    found = linear(X).detach()
    assert linear.has_forward_mode
    linear.has_forward_mode = False
    assert_allclose(linear(X).detach(), found, rtol=1e-12)
    TaskVector(linear).norm()
