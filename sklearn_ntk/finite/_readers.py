"""Which models are understood, and who reads their signals.

A reader of a model has ``layers``, the names of the layers with trained parameters, and

``prepare(X)``
    rows as it takes them, after checks; sets ``n_outputs``;
``signals(rows, seeds)``
    outputs (n, k), and the `Signal` of each layer for the functions ``seeds @ outputs``, for an
    array (r, k); may raise `OtherRoutes`;
``row_bytes(rows, seeds)``
    the memory that the signals of a row take;
``outputs(rows)``
    outputs (n, k) in float64;
``hidden(rows)``
    the inputs (n, p) of the last layer with weights;
``in_double(X)``
    a reader of a copy of the model in float64, or itself if it is, or if the copy takes no such X.

Those of networks that can be trained, of torch and drawn ones, also have

``copy()``
    a reader of a copy of the model, which has the same layers;
``parameters()``
    copies of the parameters of these layers, by name;
``move(rows, weigh)``
    adds the gradients of ``sum(delta * outputs)`` to these parameters, for a ``delta`` (n, k) that
    is ``weigh(outputs)``, and returns the outputs from before.
"""

import reprlib
from functools import wraps
from importlib import import_module

import numpy as np

from .._runtime.check import read_flag, read_targets

_HOMES = {
    "torch.nn.modules.module.Module": "._torch",
    "sklearn.neural_network._multilayer_perceptron.BaseMultilayerPerceptron": "._sklearn",
    "sklearn_ntk.finite.FiniteNetwork": "._network",
}
"""By class of model, the module that has its ``Reader``: none is imported before it is needed."""


class OtherRoutes(Exception):
    """Raised where a reader finds that it must read its signals anew, in another form."""


def restarted(function):
    """A function of a reader, and of what else, that starts again after `OtherRoutes`."""

    @wraps(function)
    def wrapped(*arguments, **named):
        while True:  # each time, more parameters take the general route
            try:
                return function(*arguments, **named)
            except OtherRoutes:
                pass

    return wrapped


def reader_for(model, layers=None, check=True):
    """Reader of a model; ``layers`` are names of those that count, all by default.

    With False nothing is differentiated, and no layer needs to be trained. ``check`` is whether
    gradients are compared, see `empirical_ntk`.
    """
    check = read_flag(check, "check")
    if not isinstance(model, type):
        for cls in type(model).__mro__:
            home = _HOMES.get(f"{cls.__module__}.{cls.__qualname__}")
            if home is not None:
                return import_module(home, __package__).Reader(model, layers, check)
    raise TypeError(
        f"model must be a torch.nn.Module, a fitted MLPRegressor or MLPClassifier, or a network of "
        f"sklearn_ntk.finite.sample_network; got {reprlib.repr(model)}."
    )


def chosen(names, layers):
    """Those of the names that are ``layers``, or stand in them: "block" has "block.0.weight"."""
    if layers is None:
        return list(names)
    if layers is False:
        return []
    if isinstance(layers, str) or not hasattr(layers, "__iter__"):
        layers = [layers]
    groups = {
        layer: [name for name in names if name == layer or name.startswith(f"{layer}.")]
        for layer in map(str, layers)
    }
    if not groups or not all(groups.values()):
        unknown = next((layer for layer, inside in groups.items() if not inside), [])
        raise ValueError(
            f"layers must be names of layers with trained parameters; got {unknown!r}: choose "
            f"from {', '.join(names)}."
        )
    return [name for name in names if any(name in inside for inside in groups.values())]


def read_in_double(model, X, X_new, layers, check):
    """Reader in float64, if the model can run in it, and training and new rows as it takes them.

    Of kernels in single precision, ridges below their rounding errors make nothing of use.
    """
    reader = reader_for(model, layers, check)
    rows, new = reader.prepare(X), reader.prepare(X_new)
    reader = reader.in_double(rows)
    return reader, reader.prepare(rows), reader.prepare(new)


def no_solution(alpha):
    """The error for a kernel matrix that cannot be factorised with a ridge."""
    return ValueError(
        f"alpha must be so large that the kernel matrix of the training rows can be factorised; "
        f"got {alpha:.3g}: increase it."
    )


def with_rows(rows):
    """Prepared rows; raises ValueError if there are none."""
    if not rows.ndim or not len(rows):
        raise ValueError(f"X must have rows; got shape {tuple(rows.shape)}: pass at least one.")
    return rows


def targets_and_outputs(reader, rows, y):
    """Targets (n, k) of prepared rows, and outputs (n, k) of the model there."""
    if getattr(reader, "has_noise", False):
        raise ValueError(
            "model must have outputs that depend on a row and the parameters alone; got a drawn "
            "network with Dropout: leave the Dropout out, or pass its to_torch().eval()."
        )
    y = y.detach().cpu() if hasattr(y, "detach") else y  # of torch
    Y, _ = read_targets(y, len(rows))
    start = reader.outputs(rows)
    k = start.shape[1]
    if Y.shape != start.shape:
        raise ValueError(
            f"y must have a column for each of the {k} outputs of the model; got shape "
            f"{np.shape(y)}: of classes pass indicators, such as np.eye({k})[y]."
        )
    return Y, start


def needs_torch(name, error):
    """The error for what needs torch, which could not be imported."""
    return ModuleNotFoundError(
        f'{name} needs the extra torch; got {error}: run pip install ".[torch]" in the checkout.'
    )
