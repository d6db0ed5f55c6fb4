"""What the layers of a module take in and the gradients by what they put out, joined by parameter.

Hooks keep what a layer puts out and hand on a copy of it, so that operations in place behind it
leave it as it is.
"""

from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from ._rules import RULES, Use

BY_POSITION = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)
"""Classes that treat positions alike, on whatever axes these are: rows may be split into them."""


class Joined(NamedTuple):
    """Signals of a weight, a bias or both; inputs None stand for a single one, as `Use`."""

    use: Use
    inputs: torch.Tensor | None
    gradients: torch.Tensor

    @property
    def parameters(self):
        """The parameters that these are the signals of."""
        return [each for each in (self.use.weight, self.use.bias) if each is not None]


def record(model, rows, seeds, trained):
    """Outputs (n, k) of a module, and the `Use` of each part of its trained parameters.

    ``trained`` has the ids of parameters; ``seeds(outputs)`` (r, k) are functions of the outputs.
    """
    n, seen = len(rows), []

    def hook(module, arguments, named, put_out):
        taken = arguments[0] if arguments else named["input"]
        if not put_out.requires_grad:
            put_out.requires_grad_()
        seen.append((module, taken.detach(), put_out))
        return put_out.clone()

    with torch.enable_grad(), _hooked(model, hook, trained):
        outputs = read_outputs(model(rows), n)
        seeds = seeds(outputs.detach())
    gradients = _gradients(outputs, [put_out for *_, put_out in seen], seeds)
    uses = []
    while seen:
        (module, x, put_out), delta = seen.pop(0), gradients.pop(0)
        if len(put_out) != n:
            if not isinstance(module, BY_POSITION) or len(put_out) % n:
                continue
            x = x.reshape(n, -1, *x.shape[1:])
        delta = delta.reshape(n, -1, len(seeds), *put_out.shape[1:])
        delta = delta.transpose(1, 2)
        delta = delta[:, :, 0] if len(put_out) == n else delta
        uses += RULES[type(module)](module, x, delta)
    return outputs.detach(), uses


@contextmanager
def _hooked(model, hook, trained):
    """A forward hook on all modules that have a rule, and trained parameters of their own."""
    handles = [
        module.register_forward_hook(hook, prepend=True, with_kwargs=True)
        for module in model.modules()
        if type(module) in RULES
        and module._parameters.get("weight") is not None
        and any(id(each) in trained for each in module._parameters.values())
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _gradients(outputs, put_out, seeds):
    """Gradients (n, r, ...) of ``seeds @ outputs`` with respect to tensors (n, ...)."""
    found = [each.new_zeros((len(each), len(seeds), *each.shape[1:])) for each in put_out]
    if not put_out or not outputs.requires_grad:
        return found
    for k, seed in enumerate(seeds):
        parts = torch.autograd.grad(
            outputs, put_out, seed.expand_as(outputs), retain_graph=True, allow_unused=True
        )
        for all_seeds, part in zip(found, parts, strict=True):
            if part is not None:
                all_seeds[:, k] = part
    return found


def read_outputs(outputs, n):
    """Outputs (n, k); raises ValueError or TypeError for others than (n,) and (n, k)."""
    if not isinstance(outputs, torch.Tensor):
        raise TypeError(
            f"model must return a tensor (n,) or (n, k); got {type(outputs).__name__}: wrap it in "
            f"a module that returns its outputs."
        )
    if not outputs.is_floating_point():
        raise TypeError(
            f"model must return real numbers; got {outputs.dtype}: take those before the last "
            f"step, or real and imaginary parts as two outputs."
        )
    outputs = outputs[None] if n == 1 and not outputs.ndim else outputs  # of squeeze
    if outputs.ndim not in (1, 2) or len(outputs) != n:
        raise ValueError(
            f"model must return a tensor (n,) or (n, k) for n = {n} rows; got shape "
            f"{tuple(outputs.shape)}: put the rows on the first axis, and flatten the others."
        )
    return outputs.reshape(n, -1)


def join(uses, trained):
    """`Joined` of all trained parameters that are always used in the same way.

    A weight and a bias that go together have one entry, with ones as inputs of the bias. Uses of a
    parameter in several modules, or at several calls, are positions of one entry.
    """
    uses = [use for whole in uses for use in _trained_parts(whole, trained)]
    ways = {}
    for use in uses:
        for parameter in (use.weight, use.bias):
            if parameter is not None:
                way = (use.kind, id(use.weight), id(use.bias), use.n_parts)
                ways.setdefault(id(parameter), set()).add(way)
    groups = {}
    for use in uses:
        is_shared = any(
            len(ways[id(each)]) > 1 for each in (use.weight, use.bias) if each is not None
        )
        for part in _apart(use) if is_shared else [use]:
            groups.setdefault((part.kind, id(part.weight), id(part.bias), part.part), []).append(
                part
            )
    kinds = {}
    for group in groups.values():
        for parameter in (group[0].weight, group[0].bias):
            kinds.setdefault(id(parameter), set()).add((group[0].kind, group[0].n_parts))
    return [
        _joined(group)
        for group in groups.values()
        if all(
            len(kinds[id(each)]) == 1
            for each in (group[0].weight, group[0].bias)
            if each is not None
        )
    ]


def _trained_parts(use, trained):
    """The use with None for a parameter that is not trained, if one is."""
    weight, bias = (each if id(each) in trained else None for each in (use.weight, use.bias))
    if weight is not None or bias is not None:
        use = use._replace(weight=weight, bias=bias)
        yield use if weight is not None or use.inputs is None else _shift(use)


def _shift(use):
    """The use of the bias alone: its gradients, summed over positions."""
    total = use.gradients.sum(1, keepdim=True)
    return use._replace(kind="shift", weight=None, inputs=None, gradients=total)


def _apart(use):
    """The uses of the weight and of the bias."""
    if use.weight is not None:
        yield use._replace(bias=None)
    if use.bias is not None:
        yield _shift(use) if use.inputs is not None else use._replace(weight=None)


def _joined(group):
    """One entry of several uses."""
    use = group[0]
    gradients = [each.gradients for each in group]
    if use.inputs is None:
        return Joined(use, None, sum(gradients[1:], gradients[0]))
    inputs = torch.cat([each.inputs for each in group], 1) if len(group) > 1 else use.inputs
    if use.bias is not None:
        inputs = torch.cat([inputs, inputs.new_ones((*inputs.shape[:2], 1))], 2)
    return Joined(use, inputs, torch.cat(gradients, 1) if len(group) > 1 else gradients[0])


def assembled(joined):
    """Yield each parameter, the number of its part, and the gradient of the first row there."""
    use, g = joined.use, joined.gradients[0, :, 0]  # (T, q)
    if use.inputs is None:
        yield joined.parameters[0], use.part, use.n_parts, g[0]
        return
    if use.kind == "embedding":
        total = torch.zeros_like(use.weight, dtype=g.dtype)
        yield use.weight, 0, 1, total.index_add_(0, joined.inputs[0], g)
        return
    G = g.T @ joined.inputs[0]
    if use.bias is not None:
        yield use.bias, use.part, use.n_parts, G[:, -1]
        G = G[:, :-1]
    yield use.weight, use.part, use.n_parts, G
