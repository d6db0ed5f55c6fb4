"""What the layers of a module take in and the gradients by what they put out, joined by parameter.

Hooks keep what a layer puts out and hand on a copy of it, so that operations in place behind it
leave it as it is.
"""

import warnings
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from ._rules import RULES, Use

BY_POSITION = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)
"""Classes that treat positions alike, on whatever axes these are: rows may be split into them."""

FEW = 128
"""Rows up to which the gradients of all functions are found in one pass, by larger products."""


class Joined(NamedTuple):
    """Signals of a weight, a bias or both; inputs None stand for a single one, as `Use`."""

    use: Use
    inputs: torch.Tensor | None
    gradients: torch.Tensor

    @property
    def parameters(self):
        """The parameters that these are the signals of."""
        return [each for each in (self.use.weight, self.use.bias) if each is not None]


def run(model, rows, trained):
    """Outputs (n, k), and modules with what each took in and put out, in the graph of autograd."""
    seen = []

    def hook(module, arguments, named, put_out):
        taken = arguments[0] if arguments else named["input"]
        if not put_out.requires_grad:
            put_out.requires_grad_()
        seen.append((module, taken.detach(), put_out))
        return put_out.clone()

    with torch.enable_grad(), _hooked(model, hook, trained):
        return read_outputs(model(rows), len(rows)), seen


def differentiate(outputs, seen, seeds):
    """`Use` of each part of the modules that ran, and ids of parameters with uses beyond these.

    What was ``seen`` is forgotten on the way.
    ``seeds`` (r, k) are functions of the outputs. Without seeds nothing runs backwards, and
    gradients are zeros for one function.
    """
    n, uses, unread = len(outputs), [], set()
    gradients = _gradients(outputs, [put_out for *_, put_out in seen], seeds)
    while seen:
        (module, x, put_out), delta, found = seen.pop(0), gradients.pop(0), []
        size = len(put_out)
        is_by_row = size == n
        if is_by_row or (size and size % n == 0 and isinstance(module, BY_POSITION)):
            x = x if is_by_row else x.reshape(n, -1, *x.shape[1:])
            delta = delta.reshape(n, -1, *delta.shape[1:]).transpose(1, 2)
            delta = delta[:, :, 0] if is_by_row else delta
            found = list(RULES[type(module)](module, x, delta))
        read = {id(each) for use in found for each in (use.weight, use.bias)}
        unread.update({id(each) for each in module.parameters()} - read)
        uses += found
    return uses, unread


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
    if seeds is None or not put_out or not outputs.requires_grad:
        r = 1 if seeds is None else len(seeds)
        return [each.new_zeros(()).expand(len(each), r, *each.shape[1:]) for each in put_out]
    r, seeds = len(seeds), seeds[:, None].expand(-1, *outputs.shape)
    if r == 1:
        return [part[:, None] for part in _backward(outputs, put_out, seeds[0])]
    if all(each.ndim == 2 and len(each) <= FEW for each in put_out):
        try:
            return [part.transpose(0, 1) for part in _backward(outputs, put_out, seeds, True)]
        except (RuntimeError, NotImplementedError):  # an operation that takes one at a time
            pass
    found = [each.new_empty((len(each), r, *each.shape[1:])) for each in put_out]
    for k, seed in enumerate(seeds):
        for all_seeds, part in zip(found, _backward(outputs, put_out, seed), strict=True):
            all_seeds[:, k] = part
    return found


def _backward(outputs, put_out, seeds, is_batched=False):
    """Gradients of ``sum(seeds * outputs)``, or of several such sums, along a new first axis."""
    options = {"retain_graph": True, "allow_unused": True, "is_grads_batched": is_batched}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        parts = torch.autograd.grad(outputs, put_out, seeds, **options)
    shape = seeds.shape[:1] if is_batched else ()
    return [
        each.new_zeros((*shape, *each.shape)) if part is None else part
        for part, each in zip(parts, put_out, strict=True)
    ]


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
    return outputs if outputs.ndim == 2 else outputs[:, None]


def norm(tensor):
    """Norm of a tensor as a number, also where it is beyond the range of half precision."""
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    return float(torch.linalg.vector_norm(tensor, dtype=dtype))


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
