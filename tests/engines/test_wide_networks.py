"""Wide random networks have the kernels of the limit, within the noise."""

import montecarlo
import numpy as np
import oracle
import pytest
from contract import to_layers
from oracle_duals import GROWING

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import lower

X = np.array([[0.3, -1.2, 0.8], [1.5, 0.4, -0.9], [0.2, -1.0, 1.1], [-0.6, 2.4, -1.6]])
PARAMETERS = {
    "leaky_relu": {"leak": 0.2},
    "sin": {"shift": 0.3},
    "rbf": {"gamma": 0.6},
    "exp": {"rate": 0.3},
    "exp_normalized": {"gamma": 0.3, "shift": -0.8},
    "rectified_monomial": {"degree": 2},
    "monomial": {"degree": 2},
    "polynomial": {"coefficients": (0.3, 1.0, 0.2)},
    "hermite": {"degree": 2},
}
BODY = [("activation", "relu", {}), ("dense", 0.8, 0.1, True)]
NETWORKS = {
    **{
        name: oracle.mlp(name, 2 - (name in GROWING), 1.7, 0.2, PARAMETERS.get(name))
        for name in ACTIVATIONS
    },
    "unequal variances": [
        ("dense", 0.7, 0.3, True),
        ("activation", "erf", {}),
        ("dense", 2.5, 0.0, True),
        ("activation", "relu", {}),
        ("dense", 1.2, 0.1, True),
    ],
    "residual": [("dense", 1.2, 0.1, True), ("residual", BODY, []), ("residual", BODY, []), *BODY],
    "residual with a shortcut": [
        ("dense", 1.2, 0.1, True),
        ("residual", BODY, [("activation", "erf", {}), ("dense", 0.6, 0.2, True)]),
        *BODY,
    ],
    "first layers frozen": oracle.mlp("relu", 3, 2.0, 0.1, n_frozen=2),
    "last layer frozen": [*oracle.mlp("relu", 1), *BODY[:1], ("dense", 1.3, 0.2, False)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_wide_network(name):
    network = NETWORKS[name]
    sample = montecarlo.empirical_kernels(network, X, X, width=600, n_networks=30, seed=0)
    kernels = gram(lower(to_layers(network)), X, X.copy(), ("nngp", "ntk"))
    for mean, error, limit in zip(sample[:2], sample[2:], kernels, strict=True):
        assert np.all(np.abs(mean - limit) <= 5.0 * error + 1e-12)  # sign has no noise at all
        assert np.all(error <= 0.04 * np.diag(limit).max())
