"""Task vectors of torch modules: what training changed, as a value to add and to scale."""

import numbers
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..._runtime.check import read_array
from ._state import copied, plain


class TaskVector:
    """Change of the parameters of a module by training, ``w - w0``.

    Task vectors add up, and can be subtracted, multiplied by numbers, and applied to a module (G.
    Ilharco et al., "Editing models with task arithmetic", ICLR 2023). Buffers, such as the averages
    of batch normalisation, are not parameters: modules keep those that they have.

    Parameters
    ----------
    model : torch.nn.Module or Linearized
        The module after training.
    base : torch.nn.Module, optional
        The module before training, with the same parameters. A `Linearized` model has none, because
        its parameters are differences.

    Attributes
    ----------
    tensors : dict
        Tensors by the name of the parameter.

    Examples
    --------
    >>> from copy import deepcopy
    >>> import torch
    >>> from sklearn_ntk.finite import TaskVector
    >>> base = torch.nn.Linear(2, 1)
    >>> trained = deepcopy(base)
    >>> trained.weight.data += 1.0
    >>> vector = TaskVector(trained, base)
    >>> bool(torch.equal((-0.5 * vector).apply_to(base).weight, base.weight - 0.5))
    True
    """

    def __init__(self, model, base=None):
        if hasattr(model, "differences"):
            if base is not None:
                raise ValueError("base must be left out for a Linearized model, which has its own.")
            parameters = _parameters(model)
            self.tensors = {name: each.detach().clone() for name, each in parameters.items()}
            return
        if base is None:
            raise ValueError("base, the module before training, must be given.")
        before, after = _parameters(base), _parameters(model)
        _check_same(before, after)
        self.tensors = {name: (after[name] - before[name]).detach() for name in before}

    def apply_to(self, model, scale=1.0):
        """A copy of a module, or of a `Linearized` one, moved by ``scale`` times this vector."""
        moved = copied(plain(model))
        parameters = _parameters(moved)
        _check_same(self.tensors, parameters)
        for name, each in parameters.items():
            each.data += scale * self.tensors[name].to(each)
        return moved

    def __repr__(self):
        return f"TaskVector({len(self.tensors)} parameters, norm {self.norm():.3g})"

    def norm(self):
        """Euclidean norm of all parameters together."""
        return float(sum(float((each.abs() ** 2).sum()) for each in self.tensors.values()) ** 0.5)

    def _map(self, function, *others):
        """A new vector, of a function of the tensors of each name."""
        found = object.__new__(TaskVector)
        for other in others:
            _check_same(self.tensors, other.tensors)
        found.tensors = {
            name: function(each, *(other.tensors[name] for other in others))
            for name, each in self.tensors.items()
        }
        return found

    def __add__(self, other):
        if other == 0:  # the start of a sum
            return self
        if not isinstance(other, TaskVector):
            return NotImplemented
        return self._map(lambda one, two: one + two, other)

    __radd__ = __add__

    def __sub__(self, other):
        if not isinstance(other, TaskVector):
            return NotImplemented
        return self._map(lambda one, two: one - two, other)

    def __mul__(self, factor):
        if not isinstance(factor, numbers.Real | torch.Tensor) or np.ndim(factor):
            return NotImplemented
        return self._map(lambda one: factor * one)

    __rmul__ = __mul__

    def __truediv__(self, divisor):
        return self * (1.0 / divisor)

    def __neg__(self):
        return -1.0 * self


def _parameters(model):
    """Parameters by name; of a linearised module, its differences. Raises TypeError."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"Task vectors need a torch.nn.Module; got {type(model).__name__}: load states by the "
            f"load_state_dict of a module."
        )
    return dict(plain(getattr(model, "differences", model)).named_parameters())


def _check_same(first, other):
    """Raise ValueError unless tensors have the same names and shapes."""
    for name in [*first, *other]:
        shapes = [tuple(each[name].shape) if name in each else None for each in (first, other)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Task vectors need modules with the same parameters; got {name!r} of shape "
                f"{shapes[0]} and {shapes[1]}: take copies of one module."
            )


class TaskAddition(NamedTuple):
    """Accuracies of a model for several tasks, and of models for one task each.

    ``normalized`` is the mean of their ratios, ``combined`` and ``single`` are dicts by task, and
    ``scale`` is the multiple of the vectors that was added. ``validated`` is the mean normalised
    accuracy for each scale, by which the scale was chosen; None if the scale was given.
    """

    normalized: float
    combined: dict
    single: dict
    scale: float
    validated: dict | None = None


def normalized_accuracy(base, vectors, score, scale=1.0, *, validate=None):
    """Accuracy after adding task vectors, relative to the accuracy of each vector alone.

    It is ``mean_t score_t(w0 + scale sum_s v_s) / score_t(w0 + v_t)``.

    Parameters
    ----------
    base : torch.nn.Module or Linearized
    vectors : dict
        `TaskVector` by name of the task.
    score : callable
        ``score(model, name)`` is the accuracy of a model on the test rows of a task.
    scale : float or list of float
        Multiple of the sum, or several from which ``validate`` chooses the best.
    validate : callable, optional
        ``validate(model, name)`` is the accuracy on rows of the task that are held out for this
        choice.

    Returns
    -------
    TaskAddition
        With the scale, and the accuracies by which it was chosen.

    Examples
    --------
    >>> from copy import deepcopy
    >>> import torch
    >>> from sklearn_ntk.finite import TaskVector, normalized_accuracy
    >>> base = torch.nn.Linear(1, 1, bias=False)
    >>> vectors = {}
    >>> for name, change in (("up", 2.0), ("down", -1.0)):
    ...     trained = deepcopy(base)
    ...     trained.weight.data += change
    ...     vectors[name] = TaskVector(trained, base)
    >>> def score(model, name):  # whether the weight moved in the right way
    ...     return float((model.weight > base.weight) == (name == "up"))
    >>> normalized_accuracy(base, vectors, score)
    TaskAddition(normalized=0.5, combined={'up': 1.0, 'down': 0.0}, single={'up': 1.0, 'down': 1.0},
                 scale=1.0, validated=None)
    """
    scales = read_array(np.atleast_1d(scale), "scale", "a number or several", "give one", [1])
    if not isinstance(vectors, Mapping):
        raise TypeError(
            f"vectors must be a dict of TaskVector by name of the task; got "
            f"{type(vectors).__name__}: give each a name."
        )
    if not vectors or not len(scales):
        empty = "scale" if vectors else "vectors"
        raise ValueError(f"{empty} must have at least one entry; got none.")
    if (validate is None) != (np.ndim(scale) == 0):
        raise ValueError(
            "scale must be one number, or several with validate to choose among them; got "
            f"{scale!r} {'without' if validate is None else 'with'} validate."
        )
    total, validated = sum(vectors.values()), None
    if validate is not None:
        single = {name: validate(each.apply_to(base), name) for name, each in vectors.items()}
        validated = {}
        for each in map(float, scales):
            moved = total.apply_to(base, each)
            validated[each] = _ratio({name: validate(moved, name) for name in vectors}, single)
    best = float(scales[0]) if validated is None else max(validated, key=validated.get)
    single = {name: score(each.apply_to(base), name) for name, each in vectors.items()}
    moved = total.apply_to(base, best)
    combined = {name: score(moved, name) for name in vectors}
    return TaskAddition(_ratio(combined, single), combined, single, best, validated)


def _ratio(combined, single):
    """Mean ratio of accuracies by task; raises ValueError where the single one is zero."""
    useless = [name for name, accuracy in single.items() if not accuracy > 0.0]
    if useless:
        raise ValueError(
            f"Accuracies of single tasks must be > 0; got {single[useless[0]]!r} for "
            f"{useless[0]!r}: leave it out, or train longer."
        )
    return float(np.mean([combined[name] / single[name] for name in single]))
