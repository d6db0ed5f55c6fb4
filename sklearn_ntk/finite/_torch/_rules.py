"""Rules of modules: inputs and gradients of their parameters from what they take and put out.

A rule gets a module, its input x (n, ...), and the gradients (n, r, ...) of r functions with
respect to what it put out. It yields a `Use` for each part of its parameters.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Use(NamedTuple):
    """A use of a weight, of a bias, or of both, with inputs (n, T, p) and gradients (n, T, r, q).

    The gradients of the weight, as (q, p), are ``sum_t g_t a_t'`` and those of the bias ``sum_t
    g_t``; of a parameter in ``n_parts`` equal parts along its first axis, this is number ``part``.
    ``kind`` tells uses that can be joined along T from others.
    """

    kind: str
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    inputs: torch.Tensor | None
    gradients: torch.Tensor
    part: int = 0
    n_parts: int = 1


def of_product(weight, bias, x, g):
    """Yield the `Use` of ``x W' + b``, by rows (n, ..., p), whose gradients are (n, r, ..., q)."""
    n, r = g.shape[:2]
    a = x.reshape(n, -1, x.shape[-1])
    g = g.reshape(n, r, -1, g.shape[-1]).transpose(1, 2)
    yield Use("linear", weight, bias, a, g)


def _linear(module, x, g):
    return of_product(module.weight, module.bias, x, g)


def _convolution(module, x, g):
    n_groups = module.groups
    if x.ndim == g.ndim - 1 == len(module.kernel_size) + 2:
        windows = _windows(module, x).chunk(n_groups, 1)
        g = g.flatten(3).permute(0, 3, 1, 2).chunk(n_groups, 3)  # (n, T, r, channels)
        for part, (a, delta) in enumerate(zip(windows, g, strict=True)):
            a = a.flatten(2 + len(module.kernel_size)).flatten(1, -2).transpose(1, 2)
            yield Use("linear", module.weight, module.bias, a, delta, part, n_groups)


def _windows(module, x):
    """View (n, channels, *window, *positions) of all windows of a convolution."""
    around, mode = module._reversed_padding_repeated_twice, module.padding_mode
    x = functional.pad(x, around, mode="constant" if mode == "zeros" else mode)
    n_axes = len(module.kernel_size)
    sizes = zip(module.kernel_size, module.stride, module.dilation, strict=True)
    for axis, (size, stride, dilation) in enumerate(sizes):
        x = x.unfold(2 + axis, (size - 1) * dilation + 1, stride)[..., ::dilation]
    return x.permute(0, 1, *range(2 + n_axes, 2 + 2 * n_axes), *range(2, 2 + n_axes))


def _embedding(module, x, g):
    n, r = g.shape[:2]
    tokens = x.reshape(n, -1)
    g = g.reshape(n, r, tokens.shape[1], -1).transpose(1, 2)
    if module.padding_idx is not None:
        g = g * (tokens != module.padding_idx)[:, :, None, None]
    if not module.scale_grad_by_freq and module.max_norm is None:
        yield Use("embedding", module.weight, None, tokens, g)


def _scaled(normalised, n_axes):
    """Rule of ``weight * normalised(module, x) + bias``.

    The parameters have the last ``n_axes(module)`` axes of x, or with None the second one.
    """

    def rule(module, x, g):
        n, r, count = *g.shape[:2], n_axes(module)
        scaled = normalised(module, x)[:, None] * g
        bias = getattr(module, "bias", None)
        for kind, parameter, J in (("scale", module.weight, scaled), ("shift", bias, g)):
            if parameter is not None:
                if count is None:
                    J = J.reshape(n, r, g.shape[2], -1).sum(3)
                else:
                    J = J.reshape(n, r, -1, *J.shape[-count:]).sum(2)
                yield Use(kind, parameter, None, None, J.reshape(n, 1, r, -1))

    return rule


def _of_layer_norm(module, x):
    return functional.layer_norm(x, module.normalized_shape, eps=module.eps)


def _of_rms_norm(module, x):
    return functional.rms_norm(x, module.normalized_shape, eps=module.eps)


def _of_group_norm(module, x):
    return functional.group_norm(x, module.num_groups, eps=module.eps)


def _of_batch_norm(module, x):
    return functional.batch_norm(x, module.running_mean, module.running_var, eps=module.eps)


_CHANNELS = _scaled(_of_batch_norm, lambda module: None)

RULES = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.Conv3d: _convolution,
    nn.Embedding: _embedding,
    nn.LayerNorm: _scaled(_of_layer_norm, lambda module: len(module.normalized_shape)),
    nn.RMSNorm: _scaled(_of_rms_norm, lambda module: len(module.normalized_shape)),
    nn.GroupNorm: _scaled(_of_group_norm, lambda module: None),
    nn.BatchNorm1d: _CHANNELS,
    nn.BatchNorm2d: _CHANNELS,
    nn.BatchNorm3d: _CHANNELS,
}
"""Rule by class, of that class itself: a subclass may compute something else."""
