"""Linear models of torch modules, task vectors and their arithmetic."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch_models import MODELS, gradients, model_and_rows  # noqa: E402

from sklearn_ntk.dynamics import Descent, Training  # noqa: E402
from sklearn_ntk.finite import (  # noqa: E402
    Linearized,
    TaskVector,
    empirical_ntk,
    normalized_accuracy,
)

TOKENS = ("tokens", "tied tokens")  # torch's two modes differ in the vector for padding
BACKWARDS = ("opaque", "no rule for several outputs", "weight norm", "gated", *TOKENS)


def moved(model, size=0.3):
    """A copy with other trained parameters, as if after training."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = deepcopy(model)
        for each in model.parameters():
            if each.requires_grad:
                each.data += size * torch.randn_like(each)
    return model


def switches():
    return torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled


class Opaque(torch.autograd.Function):
    """A function without forward mode."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(context, delta):
        return 2.0 * context.saved_tensors[0] * delta


class Squared(nn.Module):
    def forward(self, x):
        return Opaque.apply(x)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MODELS, "opaque"])
def test_linear_model(name):
    """``f + J (w - w0)`` after a change of all trained parameters, and its gradients."""
    if name == "opaque":
        model, X = nn.Sequential(nn.Linear(6, 4), Squared(), nn.Linear(4, 3)).double(), None
        X = torch.randn(5, 6, dtype=torch.float64)
    else:
        model, X = model_and_rows(name)
    before, linear = switches(), Linearized(model)
    start, J = model(X).detach(), gradients(model, X)
    assert_allclose(linear(X).detach(), start, rtol=1e-12, atol=1e-13)
    linear = TaskVector(moved(model), model).apply_to(linear)
    trained = [each for each in linear.parameters() if each.requires_grad]
    step = torch.cat([each.detach().ravel() for each in trained]).numpy()
    expected = start.numpy() + (J @ step).reshape(start.shape)
    assert_allclose(linear(X).detach(), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert linear.has_forward_mode == (name not in BACKWARDS)
    linear.train()(X).sum().backward()
    parts = [torch.zeros_like(each) if each.grad is None else each.grad for each in trained]
    found = torch.cat([each.ravel() for each in parts]).numpy()
    expected = J.sum((0, 1))
    assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert switches() == before
    with torch.no_grad():
        assert not linear(X).requires_grad


class Scaled(nn.Linear):
    """A weight divided by its norm, which counts as a constant."""

    def forward(self, input):
        with torch.no_grad():
            norm = self.weight.norm()
        return nn.functional.linear(input, self.weight / norm, self.bias)


def test_constants_of_parameters():
    """Forward mode does not know of ``no_grad``; rows are a named argument."""
    model, X = Scaled(6, 3).double(), torch.randn(5, 6, dtype=torch.float64)
    linear, step = Linearized(model), torch.randn(3, 6, dtype=torch.float64)
    linear.differences.weight.data += step
    expected = model(X) + X @ step.T / model.weight.norm()
    assert_allclose(linear(input=X).detach(), expected.detach(), rtol=1e-12, atol=1e-14)
    assert not linear.has_forward_mode


@pytest.mark.parametrize("name", ["perceptron", "weight norm", "encoder", "instance norm"])
def test_gradients_with_respect_to_rows(name):
    """They reach what is in front of a linear model, in both modes."""
    if name == "instance norm":
        X = model_and_rows("encoder")[1]
        parts = [nn.Conv1d(5, 4, 3), nn.InstanceNorm1d(4, affine=True), nn.Flatten()]
        model = nn.Sequential(*parts, nn.Linear(16, 2)).double()
    else:
        model, X = model_and_rows(name)
    linear = TaskVector(moved(model), model).apply_to(Linearized(model))
    rows, step = X.clone().requires_grad_(), torch.randn_like(X)
    weights = torch.randn_like(linear(X)).detach()
    (found,) = torch.autograd.grad((linear(rows) * weights).sum(), rows)
    with torch.no_grad():
        ends = [(linear(X + size * step) * weights).sum() for size in (1e-6, -1e-6)]
    assert_allclose((found * step).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6)
    assert linear.has_forward_mode == (name not in BACKWARDS)


def test_rows_of_another_shape():
    """The error is the module's own, and the mode stays."""
    model, X = model_and_rows("perceptron")
    linear = Linearized(model)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        linear(X[:, 1:])
    assert linear(X).shape == (5, 3) and linear.has_forward_mode


def test_training_is_that_of_its_kernel():
    """Forty steps of torch's SGD against the closed form."""
    model, X = model_and_rows("perceptron")
    y = torch.randn(5, 3, dtype=torch.float64)
    linear = Linearized(model)
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.02)
    start = model(X).detach().numpy()
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.mse_loss(linear(X), y).backward()
        optimizer.step()
    K = empirical_ntk(model, X, outputs="blocks").swapaxes(1, 2).reshape(15, 15)
    targets = (y.numpy() - start).reshape(-1)
    # the mean over 15 numbers, without the half that is in our loss
    training = Training(K, learning_rate=0.04, method=Descent(), fit_intercept=False)
    expected = start.reshape(-1) + training.predict(K, targets, [40])[0]
    assert_allclose(linear(X).detach().reshape(-1), expected, rtol=1e-12)
    assert_allclose(empirical_ntk(linear, X), empirical_ntk(model, X), rtol=1e-12)


def test_parallel_modules():
    """Names are those of the module inside, so that their vectors go together."""
    model, X = model_and_rows("perceptron")
    linear = Linearized(nn.DataParallel(model))
    assert_allclose(linear(X).detach(), model(X).detach(), rtol=1e-12)
    vector = TaskVector(nn.DataParallel(moved(model)), model)
    assert_allclose(
        vector.apply_to(linear)(X).detach(), vector.apply_to(Linearized(model))(X).detach()
    )


class Checkpointed(nn.Sequential):
    """Three layers, of which the second is run again on the way backwards."""

    def __init__(self, **options):
        super().__init__(nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 2))
        self.options = options

    def forward(self, x):
        return self[2](checkpoint(self[1], self[0](x), **self.options))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_is_refused(use_reentrant):
    """Its first error would come when gradients of the linear model are taken."""
    model, X = Checkpointed(use_reentrant=use_reentrant), torch.randn(5, 6)
    with pytest.raises(ValueError, match=r"got Checkpointed \(.*\): switch checkpointing off, or"):
        Linearized(model)(X)


def test_bags_are_refused():
    bag, X = nn.EmbeddingBag(7, 5), torch.arange(6).reshape(3, 2)
    model = nn.Sequential(bag, nn.Linear(5, 2))
    with pytest.raises(ValueError, match=r"\(the derivative for '_embedding_bag_backward' is not"):
        Linearized(model)(X)
    bag.requires_grad_(False)
    assert torch.equal(Linearized(model)(X), model(X))


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
def test_what_is_no_python_is_refused():
    model, X = model_and_rows("perceptron")
    for each in (torch.jit.trace(model, X), nn.Sequential(torch.jit.trace(model, X))):
        with pytest.raises(ValueError, match="written in Python; got a TopLevelTracedModule: pass"):
            Linearized(each)
    graph = torch.fx.symbolic_trace(model)
    assert torch.equal(Linearized(graph)(X), model(X))
    graph.eval = None  # as of torch.export
    with pytest.raises(ValueError, match="written in Python; got a Sequential: pass the one that"):
        Linearized(graph)


def test_what_is_trained():
    model, X = model_and_rows("frozen")
    linear = Linearized(model)
    names = [name for name, each in linear.named_parameters() if each.requires_grad]
    assert names == ["differences.0.bias", "differences.2.weight"]
    model[0].bias.data += 1.0
    assert not torch.equal(linear(X), model(X))
    again = pickle.loads(pickle.dumps(linear))
    assert torch.equal(again(X), linear(X))
    assert linear.train().training and not linear.base.training
    with pytest.raises(ValueError, match="got Sequential with none: set requires_grad"):
        Linearized(model.requires_grad_(False))


# --- Task vectors --------------------------------------------------------------------------------


def test_arithmetic():
    model, X = model_and_rows("convolution")
    first, second = (moved(model, size) for size in (0.1, 0.2))
    one, two = (TaskVector(each, model) for each in (first, second))
    assert_allclose(one.apply_to(model)(X).detach(), first(X).detach(), rtol=1e-10)
    assert_allclose(((one + two) - two).apply_to(model)(X).detach(), first(X).detach(), rtol=1e-10)
    assert_allclose(sum([one, two, -two]).norm(), one.norm(), rtol=1e-12)
    assert_allclose((3 * one / 2).norm(), 1.5 * one.norm(), rtol=1e-12)
    half, other = one.apply_to(model, scale=0.5), (0.5 * one).apply_to(model)
    assert torch.equal(half(X), other(X)) and not torch.equal(half(X), model(X))
    assert set(one.tensors) == dict(model.named_parameters()).keys()  # no buffers
    assert one.apply_to(model.float())(X.float()).dtype == torch.float32


def test_vector_of_a_linear_model():
    model, X = model_and_rows("perceptron")
    linear = Linearized(model)
    with torch.no_grad():
        for each in linear.differences.parameters():
            each += 0.1
    vector = TaskVector(linear)
    assert_allclose(vector.apply_to(Linearized(model))(X).detach(), linear(X).detach())
    assert_allclose(vector.apply_to(model)[0].bias.detach(), model[0].bias.detach() + 0.1)


def test_normalized_accuracy():
    """Ratios of scores; the scale that is best for them on other rows."""
    base = nn.Linear(1, 1, bias=False).double()
    vectors = {}
    for name, change in (("a", 1.0), ("b", 3.0)):
        other = deepcopy(base)
        other.weight.data += change
        vectors[name] = TaskVector(other, base)

    def score(model, name):  # best where the weight moved by 1 and 3
        goal = {"a": 1.0, "b": 3.0}[name]
        return 1.0 / (1.0 + abs(model.weight - base.weight - goal).item())

    found = normalized_accuracy(base, vectors, score)
    assert found.single == {"a": 1.0, "b": 1.0}
    assert found.combined == pytest.approx({"a": 1 / 4, "b": 1 / 2})
    assert found.normalized == pytest.approx(3 / 8) and found.validated is None
    tuned = normalized_accuracy(base, vectors, score, [0.25, 0.5, 1.0], validate=score)
    assert tuned.scale == 0.25 and tuned.validated[1.0] == pytest.approx(3 / 8)
    assert tuned.normalized == pytest.approx(tuned.validated[0.25])


def test_refusals():
    model, _ = model_and_rows("perceptron")
    vector = TaskVector(moved(model), model)
    with pytest.raises(ValueError, match=r"got '2.weight' of shape \(3, 8\) and \(2, 8\)"):
        vector.apply_to(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)))
    with pytest.raises(ValueError, match=r"got '0.weight' of shape \(8, 6\) and None"):
        TaskVector(nn.Linear(6, 8), model)
    with pytest.raises(ValueError, match="base, the module before training, must be given"):
        TaskVector(model)
    with pytest.raises(ValueError, match="base must be left out for a Linearized model"):
        TaskVector(Linearized(model), model)
    with pytest.raises(TypeError, match="unsupported operand"):
        vector + 1
    with pytest.raises(ValueError, match=r"got \[0.5, 1.0\] without validate"):
        normalized_accuracy(model, {"a": vector}, len, [0.5, 1.0])
    with pytest.raises(ValueError, match="scale must have at least one entry; got none"):
        normalized_accuracy(model, {"a": vector}, len, [], validate=len)
    with pytest.raises(ValueError, match="vectors must have at least one entry; got none"):
        normalized_accuracy(model, {}, len)
    with pytest.raises(TypeError, match="returns a tensor; got tuple: wrap it in a module"):
        Linearized(nn.LSTM(6, 5))(torch.randn(3, 4, 6))
    with pytest.raises(ValueError, match=r"got 0\.0 for 'a': leave it out, or train longer"):
        normalized_accuracy(model, {"a": vector}, lambda *_: 0.0)
