"""Modules that branch on the mode, have hooks or other names for a weight, or change their rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch_models import gradients  # noqa: E402

from sklearn_ntk.finite import (  # noqa: E402
    LazyTrainingReport,
    Linearized,
    empirical_nngp,
    empirical_ntk,
    influence,
)

X = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 4)))
Y = np.random.default_rng(1).standard_normal((6, 2))


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


def expected_kernel(model, rows=X):
    J = gradients(model, rows.clone())
    return np.einsum("ikp,jkp->ij", J, J) / J.shape[1]


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
    h = torch.tanh(model.net[0](X)).detach().numpy()
    assert_allclose(empirical_nngp(model, X), h @ h.T / 5, rtol=1e-12)


# --- Parameters ----------------------------------------------------------------------------------


def test_hooks_on_gradients_are_refused():
    """Of parameters that are trained here; others do not matter."""
    model = Calling(lambda model, x: model.net(x))
    expected = empirical_ntk(model, X, layers="net.2")
    model.net[0].weight.register_hook(lambda g: 2.0 * g)
    for call in (lambda: empirical_ntk(model, X), lambda: Linearized(model)):
        with pytest.raises(ValueError, match=r"hooks on theirs: net\.0\.weight\. Remove the hooks"):
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
    for linear in (Linearized(model), Linearized(model)):
        assert_allclose(linear(rows).detach(), f, rtol=1e-12)
        linear.has_forward_mode = False
        assert_allclose(linear(rows).detach(), f, rtol=1e-12)
    assert torch.equal(rows, X)
