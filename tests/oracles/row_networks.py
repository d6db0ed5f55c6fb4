"""Networks on rows and activations that have derivatives with respect to rows."""

from duals import JUMPING

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.layers import Dense, Dropout, LayerNorm, Residual

CONTINUOUS = sorted(name for name, cls in ACTIVATIONS.items() if cls not in JUMPING)

NETWORKS = {
    "linear": mlp(0),
    "residual": resmlp(2),
    "shortcut": (Dense(), Residual(("erf", Dense()), (Dense(0.5, 0.0),)), "relu", Dense()),
    "normalised": (Dense(), LayerNorm(), "erf", Dropout(0.3), Dense()),
    "frozen": (Dense(frozen=True), "tanh", Dense(1.3, 0.2), "relu", Dense()),
    "series": mlp(2, "mish"),
}
