"""Models whose outputs depend on other rows, on chance, or on what ran before, or are infinite."""

import pickle
import random

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrizations
from torch.nn.utils.spectral_norm import SpectralNorm

from ._record import called, norm

N_FEW, N_CALLS = 8, 64
"""Rows whose outputs are compared between two calls, and calls of models that draw numbers."""


def refuse(model):
    """Raise ValueError that names the modules to put into evaluation mode, or to use first."""
    lazy = [name or type(m).__name__ for name, m in model.named_modules() if _is_lazy(m)]
    if lazy:
        raise ValueError(
            f"A kernel needs parameters, and modules are not initialised: {_list(lazy)}; call the "
            f"model on some rows first, or load what is on the meta device."
        )
    for reason, is_refused in _REASONS:
        names = [name or type(m).__name__ for name, m in model.named_modules() if is_refused(m)]
        if names:
            raise ValueError(
                f"A kernel needs outputs that depend on a row and the parameters alone; got "
                f"{reason}: {_list(names)}. Call the model's eval() first."
            )


def refuse_hooks(trained):
    """Raise ValueError if trained parameters, by name, have hooks on their gradients."""
    names = [name for name, each in trained.items() if each._backward_hooks]
    if names:
        raise ValueError(
            f"Parameters must have gradients that are those of the outputs; got hooks on those of "
            f"{_list(names)}: remove them; to train a part of one, register a parametrization."
        )


def refuse_dependent(model, rows, outputs):
    """Raise ValueError unless outputs (n, k) of rows are the same in a batch of a few of them.

    These are the first ones that differ from row 0, at most a third of all, so that each has
    another place there, and other neighbours. A model that draws random numbers is called many
    times, for chance that these rows may escape.
    """
    tolerance = 4.0 * torch.finfo(outputs.dtype).eps ** 0.5
    others = (rows != rows[:1]).reshape(len(rows), -1).any(1).nonzero()[:, 0]
    few = others[: min(N_FEW, 1 + len(rows) // 3)] if len(others) else others.new_zeros(1)
    for _ in range(N_CALLS):
        before = _random_states(rows.device)
        found = called(model, rows[few]).detach()
        if not norm(found - outputs[few]) <= tolerance * norm(outputs[few]):
            raise ValueError(
                "A kernel needs outputs that depend on a row and the parameters alone; got a model "
                "whose outputs for a row differ between two calls, or depend on the other rows: "
                "take rows along the first axis, and no chance."
            )
        if _random_states(rows.device) == before:
            return


def refuse_width(outputs, k):
    """Raise ValueError unless outputs are (n, k), as those of one row told."""
    if outputs.shape[1] != k:
        raise ValueError(
            f"model must return as many outputs for {len(outputs)} rows as for one, {k}; got "
            f"{outputs.shape[1]}: put the rows on the first axis."
        )


def refuse_constant(model, outputs):
    """Raise ValueError if outputs are not in the graph of autograd, though parameters are."""
    if not outputs.requires_grad:
        raise ValueError(
            f"A kernel needs outputs that autograd follows back to trained parameters; got "
            f"{type(model).__name__}, whose outputs have no gradients: leave torch.no_grad(), "
            f"detach() and the like out of its forward(), or train parameters that outputs depend "
            f"on."
        )


def refuse_wrong(parameters):
    """Raise ValueError that names the parameters whose gradients by rows are not autograd's."""
    raise ValueError(
        f"A kernel needs gradients of single rows that add up to those of all rows; got others for "
        f"the parameters {_list(list(parameters))}: freeze them, or write the model so that each "
        f"row can run alone."
    )


def refuse_infinite(outputs):
    """Raise ValueError where outputs are NaN or infinite."""
    is_finite = outputs.isfinite().all(1)
    if not is_finite.all():
        row = outputs[int(is_finite.int().argmin())]
        raise ValueError(
            f"A kernel needs finite outputs of the model; got {row[~row.isfinite()][0].item()}: "
            f"leave such rows out, or mend the model."
        )


def refuse_moved(model, buffers):
    """Restore buffers that a forward pass changed in place or replaced, and raise ValueError."""
    now, moved = dict(model.named_buffers()), []
    for name, (each, kept) in buffers.items():
        if not _is_same(now.get(name, kept), kept):
            moved.append(name)
            each.data.copy_(kept)
    if moved:
        remedy = "Call the model's eval() first."
        if not any(module.training for module in model.modules()):
            remedy = "It is in evaluation mode: count calls, and the like, in plain attributes."
        raise ValueError(
            f"A kernel needs outputs that depend on a row and the parameters alone; got a model "
            f"that changes its buffers: {', '.join(moved)}. {remedy}"
        )


def _is_same(one, other):
    """Whether tensors are equal, with NaN at the same places."""
    if one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _random_states(device):
    """States of the generators that a module may draw from, as values to compare."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    of_numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    return [each.numpy().tobytes() for each in states], pickle.dumps(of_numpy), random.getstate()


def _list(names):
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _is_lazy(module):
    """Whether this has no parameters yet."""
    if any(each.is_meta for each in module.parameters(recurse=False)):
        return True
    return isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()


def _mixes_rows(module):
    """Whether this is batch normalisation by the rows at hand."""
    if not isinstance(module, _BatchNorm):
        return False
    return module.training or module.running_mean is None


def _is_random(module):
    if not module.training:
        return False
    if isinstance(module, _DropoutNd):
        return module.p > 0.0
    rate = getattr(module, "dropout", 0.0)
    rate = rate if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)) else 0.0
    return rate > 0.0 or isinstance(module, nn.RReLU)


def _moves_buffers(module):
    """Whether this is spectral normalisation that iterates whenever it runs."""
    if not module.training:
        return False
    hooks = module._forward_pre_hooks.values()
    is_new = isinstance(module, parametrizations._SpectralNorm)
    return is_new or any(isinstance(hook, SpectralNorm) for hook in hooks)


_REASONS = (
    ("batch normalisation over the rows", _mixes_rows),
    ("dropout or other chance", _is_random),
    ("spectral normalisation that changes buffers", _moves_buffers),
)
