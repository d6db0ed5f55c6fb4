"""Regression with empirical kernels against plain algebra, for all formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk.architectures import mlp
from sklearn_ntk.finite import empirical_regression, influence, sample_network
from sklearn_ntk.layers import Dense, Dropout

RNG = np.random.default_rng(0)
X, NEW, Y = RNG.normal(size=(9, 3)), RNG.normal(size=(4, 3)), RNG.normal(size=(9, 2))
NETWORK = sample_network(mlp(1, "erf"), 20, 2, n_inputs=3, random_state=0)


def gradients(rows, output):
    """Gradients (n, P) of one output."""
    found = []
    for i in range(len(rows)):
        delta = np.zeros((len(rows), 2))
        delta[i, output] = 1.0
        found.append(np.concatenate([g.ravel() for g in NETWORK.gradients(rows, delta)]))
    return np.array(found)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("formula", ["sgd", "signgd", "asymmetric_signgd"])
def test_predictions(formula, alpha):
    left, right = {
        "sgd": (np.positive, np.positive),
        "signgd": (np.sign, np.sign),
        "asymmetric_signgd": (np.positive, np.sign),
    }[formula]
    K, cross = 0.0, 0.0
    for output in range(2):
        J, J_new = gradients(X, output), gradients(NEW, output)
        K = K + left(J) @ right(J).T / 2.0
        cross = cross + left(J_new) @ right(J).T / 2.0
    ridge = alpha * K.trace() / 9
    dual = np.linalg.solve(K + ridge * np.eye(9), Y - NETWORK(X))
    found = empirical_regression(NETWORK, X, Y, NEW, alpha, formula=formula)
    assert_allclose(found, NETWORK(NEW) + cross @ dual, rtol=1e-8, atol=1e-8)


def test_single_precision():
    """Kernels of modules in it are those of a copy in double precision, as ridges may be small."""
    torch = pytest.importorskip("torch")
    module = NETWORK.to_torch().float()
    exact = module.__class__(NETWORK).requires_grad_()
    exact.load_state_dict(module.state_dict())
    rows, new = (torch.tensor(each).float() for each in (X, NEW))
    for function in (empirical_regression, influence):
        found, expected = (
            function(model, each, Y, each_new, 1e-7)
            for model, each, each_new in ((module, rows, new), (exact, rows.double(), new.double()))
        )
        assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_refusals():
    with pytest.raises(ValueError, match="a column for each of the 2 outputs"):
        empirical_regression(NETWORK, X, Y[:, 0], NEW, 1.0)
    with pytest.raises(ValueError, match=r"outputs must be one of mean, .* got .blocks."):
        empirical_regression(NETWORK, X, Y, NEW, 1.0, outputs="blocks")
    with pytest.raises(ValueError, match="can be factorised; got 0: increase it"):
        empirical_regression(NETWORK, 0.0 * X, Y, NEW, 0.0)
    with pytest.raises(ValueError, match="can be factorised; got 1e-20: increase it"):
        influence(NETWORK, 0.0 * X, Y, NEW, 1e-20)
    noisy = sample_network((Dense(), "relu", Dropout(0.5), Dense()), 5, 2, n_inputs=3)
    for call in (empirical_regression, influence):
        with pytest.raises(ValueError, match="got a drawn network with Dropout: leave"):
            call(noisy, X, Y, NEW, 1.0)
    with pytest.raises(ValueError, match="formula must be one of sgd"):
        empirical_regression(NETWORK, X, Y, NEW, 1.0, formula="adam")
