"""The report on lazy training against plain code, its bounds, and what it says of both kinds."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk import NTKKernel
from sklearn_ntk.architectures import mlp
from sklearn_ntk.finite import LazyTrainingReport, empirical_ntk, sample_network

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(12, 3)), RNG.normal(size=(7, 3))
Y = np.stack([np.sin(2.0 * X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
KERNEL = NTKKernel(2, "erf", bias_var=0.1)


def drawn(width=30, n_outputs=2, seed=0, activation="erf"):
    return sample_network(mlp(2, activation), width, n_outputs, random_state=seed, n_inputs=3)


def jacobian(network, X):
    """Gradients (n k, P) of all outputs."""
    rows = []
    for i, k in np.ndindex(len(X), network.n_outputs):
        delta = np.zeros((len(X), network.n_outputs))
        delta[i, k] = 1.0
        rows.append(np.concatenate([g.ravel() for g in network.gradients(X, delta)]))
    return np.array(rows)


def moved(network, step):
    """The network with other matrices, by a change of all entries in a row."""
    sizes = np.cumsum([matrix.size for matrix in network.matrices])[:-1]
    pairs = zip(network.matrices, np.split(step, sizes), strict=True)
    return network.replace([matrix + part.reshape(matrix.shape) for matrix, part in pairs])


def norm_of(network):
    return np.sqrt(sum(np.sum(matrix**2) for matrix in network.matrices))


@pytest.fixture(scope="module")
def report():
    return LazyTrainingReport(drawn(), KERNEL, n_steps=40, learning_rate=0.1).fit(X, Y, NEW)


def test_all_columns_against_plain_code(report):
    """Steps of descent by Jacobians: of the network, of its linear model and of the kernel."""
    network, rate = drawn(), 0.1 / len(X)
    J, start, start_new = jacobian(network, X), network(X), network(NEW)
    J_new, K, cross = jacobian(network, NEW), KERNEL(X), KERNEL(NEW, X)
    trained, w, wide, wide_new = network, np.zeros(J.shape[1]), start, start_new
    for _ in range(40):
        trained = moved(trained, jacobian(trained, X).T @ (rate * (Y - trained(X)).ravel()))
        linear = start + (J @ w).reshape(Y.shape)
        w = w + J.T @ (rate * (Y - linear).ravel())
        residual = rate * (Y - wide)
        wide, wide_new = wide + K @ residual, wide_new + cross @ residual
    last, deviation = report.checkpoints_[-1], np.sqrt(np.mean(Y.var(axis=0)))
    assert last.step == 40
    found = [last.loss, last.linear_loss, last.infinite_loss]
    outputs = [trained(X), start + (J @ w).reshape(Y.shape), wide]
    assert_allclose(found, [np.sum((f - Y) ** 2) / 24 for f in outputs], rtol=1e-9)
    linear_new = start_new + (J_new @ w).reshape(7, 2)
    for found, other in ((last.to_linear, linear_new), (last.to_infinite, wide_new)):
        expected = np.sqrt(np.mean((trained(NEW) - other) ** 2)) / deviation
        assert_allclose(found, expected, rtol=1e-8)
    H = jacobian(trained, X)
    assert_allclose(last.jacobian_change, np.linalg.norm(H - J) / np.linalg.norm(J), rtol=1e-8)
    pair = [empirical_ntk(each, X) for each in (trained, network)]
    change = np.linalg.norm(pair[0] - pair[1]) / np.linalg.norm(pair[1])
    assert_allclose(last.kernel_change, change, rtol=1e-9)
    step = [a - b for a, b in zip(trained.matrices, network.matrices, strict=True)]
    ratios = [
        np.linalg.norm(d) / np.linalg.norm(m) for d, m in zip(step, network.matrices, strict=True)
    ]
    assert_allclose(list(last.layer_changes.values()), ratios, rtol=1e-9)
    size = np.sqrt(sum(np.sum(d**2) for d in step))
    assert_allclose(last.weight_change, size / norm_of(network), rtol=1e-9)
    foreseen = jacobian(moved(network, w), X)
    kappa = np.linalg.norm(foreseen - J) / np.linalg.norm(J)
    assert_allclose(report.kappa_, kappa, rtol=1e-8)
    H = np.eye(12) - 1.0 / 12
    C, T = H @ pair[0] @ H, H @ Y @ Y.T @ H
    assert_allclose(last.alignment, np.sum(C * T) / np.linalg.norm(C) / np.linalg.norm(T))
    assert_allclose(report.model_(X), trained(X), rtol=1e-9)


def test_start_and_bounds(report):
    first, J = report.checkpoints_[0], jacobian(drawn(), X)
    assert first.step == 0 and first.loss == first.linear_loss == first.infinite_loss
    changes = first.weight_change, first.kernel_change, first.jacobian_change, first.to_linear
    assert_allclose(changes, 0.0, atol=1e-7)
    bounds = report.max_learning_rates_
    assert_allclose(bounds["linear"], 24 / np.linalg.eigvalsh(J @ J.T)[-1])
    assert_allclose(bounds["infinite"], 24 / np.linalg.eigvalsh(KERNEL(X))[-1])
    auto = LazyTrainingReport(drawn(), KERNEL, n_steps=1).fit(X, Y)
    assert auto.learning_rate_ == 0.5 * min(bounds.values())
    K = empirical_ntk(drawn(), X)
    relative = np.linalg.norm(K - KERNEL(X)) / np.linalg.norm(KERNEL(X))
    assert_allclose(report.kernel_to_infinite_, relative)


@pytest.mark.slow
def test_slopes_against_width():
    """From width 50 to 500: weights and kernel as 1 / width, the Jacobian as its root at most."""
    found, widths = [], (50, 160, 500)
    y = np.sin(2.0 * X[:, 0])
    for width, n in zip(widths, (8, 5, 2), strict=True):
        reports = [
            LazyTrainingReport(drawn(width, 1, seed), KERNEL, n_steps=60, n_checkpoints=2).fit(
                X, y, NEW
            )
            for seed in range(n)
        ]
        rows = [(r.checkpoints_[-1], r) for r in reports]
        names = ("weight_change", "kernel_change", "jacobian_change", "to_linear", "to_infinite")
        means = [np.mean([getattr(last, name) for last, _ in rows]) for name in names]
        kappa = np.mean([r.kappa_ for r in reports])
        assert 0.75 < kappa / means[2] < 1.35
        found.append(means)
    slopes = np.polyfit(np.log(widths), np.log(found), 1)[0]
    low, high = (-1.1, -1.2, -0.7, -1.4, -0.8), (-0.7, -0.6, -0.2, -0.6, -0.2)
    assert np.all((low < slopes) & (slopes < high)), slopes
    assert found[-1][2] < 0.15


@pytest.mark.slow
def test_verdicts():
    y = np.sin(2.0 * X[:, 0])
    wide = LazyTrainingReport(drawn(1000, 1), KERNEL, n_steps=30).fit(X, y)
    assert wide.verdict_.startswith("lazy: after 30 steps (loss 0.")
    assert ") the Jacobian has changed by 0.0" in wide.verdict_
    assert "infinitely wide network" in wide.verdict_
    assert repr(wide) == f"LazyTrainingReport(FiniteNetwork): {wide.verdict_}"
    early = LazyTrainingReport(drawn(1000, 1), KERNEL, n_steps=1, learning_rate=1e-3)
    assert repr(early) == "LazyTrainingReport(FiniteNetwork)"
    assert early.fit(X, y).verdict_.startswith("not trained: after 1 steps (loss 0.")
    assert early.checkpoints_[-1].jacobian_change < early.kappa_ * 1.1 < 0.01
    narrow = LazyTrainingReport(drawn(4, 1, 1), n_steps=400, learning_rate=0.02).fit(X, 3.0 * y)
    assert narrow.regime_ == "feature learning" and narrow.checkpoints_[-1].kernel_change > 0.5
    assert "infinitely" not in narrow.verdict_ and np.isnan(narrow.checkpoints_[-1].to_infinite)
    with pytest.warns(RuntimeWarning, match=r"\(linear [\d.]+, infinite 1.317\)") as caught:
        over = LazyTrainingReport(drawn(30, 1), KERNEL, learning_rate=1e3).fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert over.regime_ == "unstable" and "stable below: linear" in over.verdict_
    assert over.checkpoints_[0].step == 0


@pytest.mark.slow
def test_torch_modules_train_as_drawn_networks():
    """The same figures; a frozen layer, precision and refusals."""
    torch = pytest.importorskip("torch")
    network = drawn()
    options = {"kernel": KERNEL, "n_steps": 20, "learning_rate": 0.1}
    expected = LazyTrainingReport(network, **options).fit(X, Y, NEW)
    module = network.to_torch()
    before = [each.detach().clone() for each in module.parameters()]
    found = LazyTrainingReport(module, **options).fit(X, Y, NEW)
    assert all(map(torch.equal, before, module.parameters()))
    assert_allclose(found.kappa_, expected.kappa_, rtol=1e-9)
    for one, two in zip(found.checkpoints_, expected.checkpoints_, strict=True):
        layers = [list(each.layer_changes.values()) for each in (one, two)]
        assert_allclose(*layers, rtol=1e-9)
        numbers = [[v for v in each if not isinstance(v, dict)] for each in (one, two)]
        assert_allclose(*numbers, rtol=1e-6, atol=1e-7)
    assert list(found.checkpoints_[0].layer_changes) == ["matrices.0", "matrices.1", "matrices.2"]
    single = LazyTrainingReport(module.float(), **options).fit(X, Y, NEW)
    assert_allclose(single.checkpoints_[-1].loss, expected.checkpoints_[-1].loss, rtol=1e-4)
    assert_allclose(single.kappa_, expected.kappa_, rtol=1e-2)
    many = np.random.default_rng(1).normal(size=(80, 3))  # eigenvalues below those rounding errors
    LazyTrainingReport(module, n_steps=2).fit(many, np.tile(many[:, :1], 2))
    last = LazyTrainingReport(module, layers="matrices.2", n_steps=5).fit(X, Y)
    assert list(last.checkpoints_[-1].layer_changes) == ["matrices.2"]
    assert last.checkpoints_[-1].jacobian_change < 1e-3  # of a linear model
    assert_allclose(last.checkpoints_[-1].to_linear, 0.0, atol=1e-5)


def test_refusals():
    from sklearn.neural_network import MLPRegressor

    with pytest.raises(
        ValueError, match=r"of the 2 outputs .*; got shape \(12,\): of classes pass"
    ):
        LazyTrainingReport(drawn()).fit(X, Y[:, 0] > 0)
    fitted = MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", max_iter=5000).fit(X, Y)
    with pytest.raises(TypeError, match="got MLPRegressor: its kernel is empirical_ntk"):
        LazyTrainingReport(fitted).fit(X, Y)
    with pytest.raises(ValueError, match="learning_rate must be a finite number > 0; got 0"):
        LazyTrainingReport(drawn(), learning_rate=0).fit(X, Y)
    with pytest.raises(ValueError, match="n_steps must be at least 1"):
        LazyTrainingReport(drawn(), n_steps=0).fit(X, Y)
