"""Networks, kernels and fitted estimators survive being saved, in every usual way."""

import io
import pickle
from functools import cache

import cloudpickle
import joblib
import numpy as np
import pytest
import skops.io
from numpy.testing import assert_array_equal
from processes import run
from sklearn.base import clone, is_regressor

from sklearn_ntk import (
    NNGPKernel,
    NTKClassifier,
    NTKClassifierCV,
    NTKKernel,
    NTKRegressor,
    NTKRegressorCV,
    activations,
    architectures,
    dynamics,
    layers,
)
from sklearn_ntk.activations._registry import ACTIVATIONS


def by_joblib(value):
    file = io.BytesIO()
    joblib.dump(value, file)
    file.seek(0)
    return joblib.load(file)


def by_skops(value):
    data = skops.io.dumps(value)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


WAYS = {
    **{
        f"pickle {k}": lambda value, k=k: pickle.loads(pickle.dumps(value, k))
        for k in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "cloudpickle": lambda value: pickle.loads(cloudpickle.dumps(value)),
    "joblib": by_joblib,
    "skops": by_skops,
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

ARGUMENTS = {
    "Input": (8, 8, 1),
    "Conv": ((3, 1),),
    "ConvTranspose": (3, 2),
    "AvgPool": (2,),
    "SumPool": ((2, 1),),
}
ARGUMENTS |= {"Dropout": (0.5,), "Residual": ((layers.Dense(), "relu", layers.Dense(1.0)),)}
LAYERS = [getattr(layers, name) for name in layers.__all__ if name != "lower"]
VALUES = [
    *(cls() for cls in ACTIVATIONS.values()),
    activations.Numerical(np.arctan),
    activations.Polynomial((1.0, 0.5)),
    dynamics.Flow(),
    dynamics.Descent(),
    dynamics.HeavyBall(0.5),
    dynamics.Nesterov(0.5),
    dynamics.MomentumFlow(0.5),
    *(layer(*ARGUMENTS.get(layer.__name__, ())) for layer in LAYERS),
]
NETWORKS = [
    architectures.mlp(2, activations.LeakyReLU(0.2)),
    architectures.resmlp(1),
    architectures.cnn((4, 4, 1), 1),
    architectures.myrtle((8, 8, 1)),
    architectures.resnet((8, 8, 1)),
    architectures.recurrent((5, 2)),
    architectures.transformer((5, 2)),
]


def same(found, value):
    return found == value and type(found) is type(value) and repr(found) == repr(value)


@every_way
def test_values(way):
    for value in VALUES:
        found = way(value)
        assert same(found, value) and hash(found) == hash(value)
        assert found != tuple(value)


@every_way
def test_networks(way):
    for network in NETWORKS:
        found = way(network)
        assert found == network and all(map(same, found, network))
        for kernel in (NTKKernel(architecture=network), NNGPKernel(architecture=network)):
            assert way(kernel) == kernel


def test_shape_is_a_sequence():
    shape = layers.Input(8, 4, 1)
    assert [*shape] == [8, 4, 1] and len(shape) == 3 and shape[-1] == 1 and shape[:-1] == (8, 4)
    assert shape == layers.Input(8, 4, 1) != layers.Input(8, 4) and shape != (8, 4, 1)


SMALL = (layers.Input(2, 2, 1), layers.Conv(2), "relu", layers.GlobalAvgPool(), layers.Dense())
GRID = {"architecture": [SMALL, architectures.mlp(1)]}
MODELS = {
    "regressor": NTKRegressor(architecture=SMALL),
    "trained regressor": NTKRegressor(architecture=SMALL, training_time="auto"),
    "kernel": NTKRegressor(NTKKernel(1, activations.Erf(2.0)) + NNGPKernel(1)),
    "regressor CV": NTKRegressorCV(GRID),
    "classifier": NTKClassifier(architecture=SMALL),
    "hinge": NTKClassifier(architecture=SMALL, loss="hinge"),
    "log loss": NTKClassifier(architecture=SMALL, loss="log_loss"),
    "classifier CV": NTKClassifierCV(GRID),
}
each_model = pytest.mark.parametrize("name", MODELS)


@cache
def fitted(name):
    """Fitted model, and rows."""
    model, X = MODELS[name], np.random.default_rng(0).normal(size=(18, 4))
    y = X[:, 0] if is_regressor(model) else (X[:, 0] > 0.0).astype(int)
    return clone(model).fit(X, y), X


def words(model, X):
    """All that a model says of rows."""
    if is_regressor(model):
        return [*model.predict(X, return_std=True), model.predict(X, return_cov=True)[1]]
    found = [model.predict(X), model.decision_function(X)]
    return [*found, model.predict_proba(X)] if hasattr(model, "predict_proba") else found


def check_twin(twin, model, X):
    assert repr(twin) == repr(model) and twin.n_features_in_ == model.n_features_in_
    for found, expected in zip(words(twin, X), words(model, X), strict=True):
        assert_array_equal(found, expected)


@pytest.mark.slow
@each_model
def test_estimators(name):
    model, X = fitted(name)
    for way in ("pickle 5", "cloudpickle", "joblib", "skops"):
        check_twin(WAYS[way](model), model, X)


@each_model
def test_memory_mapped(name, tmp_path):
    """The arrays are read-only and stay on the disk."""
    model, X = fitted(name)
    joblib.dump(model, tmp_path / "model")
    check_twin(joblib.load(tmp_path / "model", mmap_mode="r"), model, X)


@each_model
def test_before_fit(name):
    for way in WAYS.values():
        assert repr(way(MODELS[name])) == repr(MODELS[name])


ELSEWHERE = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    model, X, expected = pickle.load(file)  # nothing of the package is imported before

from typing import NamedTuple
import cloudpickle, numpy as np
from sklearn_ntk.activations import activation

np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)

@activation("own_relu")
class OwnReLU(NamedTuple):
    gain: float = 2.0

    def features(self, variance):
        return (np.sqrt(variance) * self.gain,)

with open(sys.argv[2], "wb") as file:
    file.write(cloudpickle.dumps(OwnReLU(3.0)))
"""


@pytest.mark.slow
def test_there_and_back(tmp_path):
    """A model predicts in a process without the package; cloudpickle carries a class of a script.

    That is the class itself, to where its script is not.
    """
    X = np.random.default_rng(0).standard_normal((30, 5))
    network = architectures.resmlp(1, activations.LeakyReLU(0.2))
    model = NTKRegressor(architecture=network, alpha=0.1).fit(X, X[:, 0])
    there, back = tmp_path / "model", tmp_path / "activation"
    there.write_bytes(pickle.dumps((model, X, model.predict(X))))
    run(ELSEWHERE, there, back)
    found = pickle.loads(back.read_bytes())
    assert repr(found) == "OwnReLU(gain=3.0)" and found.name == "own_relu" and found.gain == 3.0
    assert same(activations.as_activation(found), found) and found != type(found)()
