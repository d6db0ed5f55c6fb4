"""What the layers of a module take in, and the gradients by what they put out.

Hooks keep what a layer puts out and hand on a copy of it, so that operations in place behind it
leave it as it is.
"""

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.autograd.graph import GradientEdge

from ._graph import products
from ._rules import RULES, of_product
from ._state import eager

BY_POSITION = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)
"""Classes that treat positions alike, on whatever axes these are: rows may be split into them."""

FEW = 128
"""Rows up to which the gradients of all functions are found in one pass, by larger products."""

GUESSED = 2**20
"""Bytes that autograd keeps for a row, of modules with torch.func, which do not let us count."""


class Seen(NamedTuple):
    """What a module, or a product by weights inside one, took in and put out.

    ``rule`` yields the `Use` of each of the ``parameters`` from ``inputs`` and gradients; without
    one, there is nothing else. ``place`` is where autograd has what was put out, if not as that
    tensor. Rows may be split into positions if ``is_by_position``; so many, ``n_first``, are in
    front of them.
    """

    module: nn.Module
    parameters: list
    rule: Callable | None = None
    inputs: torch.Tensor | None = None
    put_out: torch.Tensor | None = None
    place: GradientEdge | None = None
    is_by_position: bool = False
    n_first: int = 1


def run(model, rows, trained):
    """Outputs (n, k), and `Seen` of all modules with a rule, in the graph of autograd."""
    seen = []

    def hook(module, arguments, named, put_out):
        if not isinstance(put_out, (torch.Tensor, tuple)) or _is_transformed():
            seen.append(Seen(module, list(module.parameters())))
            return None
        if isinstance(module, nn.MultiheadAttention):
            seen.extend(_within_attention(module, (*arguments, *named.values()), put_out))
            return None
        taken = first_of(arguments, named)
        if not put_out.requires_grad:
            put_out.requires_grad_()
        rule, is_by_position = partial(RULES[type(module)], module), isinstance(module, BY_POSITION)
        own = list(module.parameters())
        seen.append(Seen(module, own, rule, taken.detach(), put_out, None, is_by_position))
        return put_out.clone()

    with torch.enable_grad(), _hooked(model, hook, trained):
        return called(model, rows), seen


def measured(model, row, trained):
    """`run` of a row, and the bytes of what autograd keeps beside the parameters, or a guess."""
    found, own = [], {each.data_ptr() for each in model.parameters()}

    def keep(tensor):
        if tensor.layout == torch.strided and tensor.data_ptr() not in own:
            found.append(tensor.nbytes)
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            return *run(model, row, trained), sum(found)
    except RuntimeError as error:
        if "saved tensor hooks" not in str(error):
            raise
        return *run(model, row, trained), GUESSED


def _is_transformed():
    """Whether this runs within vmap, jvp or the like, where hooks cannot tell what they see."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _within_attention(module, taken, put_out):
    """Yield `Seen` of all products by weights, and of the parameters that are in none of them."""
    rest, found = {id(each): each for each in module.parameters()}, []
    if isinstance(put_out, tuple):
        put_out = put_out[0]
        found = products(module, taken, put_out)
        n_first = put_out.shape[1 if module.batch_first and put_out.ndim == 3 else 0]
    for weight, bias, x, edge in found:
        own = [each for each in (weight, bias) if each is not None]
        rest = {key: each for key, each in rest.items() if all(each is not one for one in own)}
        values = x.new_zeros(()).expand(len(x), len(weight))
        yield Seen(module, own, partial(of_product, weight, bias), x, values, edge, True, n_first)
    if rest:
        yield Seen(module, list(rest.values()))


def differentiate(outputs, seen, seeds):
    """`Use` of each part of the modules that ran, and ids of parameters with uses beyond these.

    What was ``seen`` is forgotten on the way.
    ``seeds`` (r, k) are functions of the outputs. Without seeds nothing runs backwards, and
    gradients are zeros for one function.
    """
    n, uses = len(outputs), []
    unread = {id(part) for each in seen if each.rule is None for part in each.parameters}
    seen[:] = [each for each in seen if each.rule is not None]
    gradients = _gradients(outputs, seen, seeds)
    while seen:
        each, delta, found = seen.pop(0), gradients.pop(0), []
        size = len(each.put_out)
        is_by_row, n_rows = size == n, size // max(each.n_first, 1)
        if n_rows and n_rows % n == 0 and (is_by_row or each.is_by_position):
            x, delta = (_rows_first(part, each.n_first) for part in (each.inputs, delta))
            x = x if is_by_row else x.reshape(n, -1, *x.shape[1:])
            delta = delta.reshape(n, -1, *delta.shape[1:]).transpose(1, 2)
            delta = delta[:, :, 0] if is_by_row else delta
            found = list(each.rule(x, delta))
        read = {id(part) for use in found for part in (use.weight, use.bias)}
        unread.update({id(part) for part in each.parameters} - read)
        uses += found
    return uses, unread


def _rows_first(array, n_first):
    """Entries of an array whose first axis has positions, then rows, in the order of the rows."""
    if n_first == 1:
        return array
    return array.unflatten(0, (n_first, -1)).transpose(0, 1).flatten(0, 1)


@contextmanager
def _hooked(model, hook, trained):
    """A forward hook on all modules that have a rule, and trained parameters of their own."""
    handles = [
        module.register_forward_hook(hook, prepend=True, with_kwargs=True)
        for module in model.modules()
        if any(id(each) in trained for each in _own_parameters(module))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _own_parameters(module):
    """Those that a rule may read."""
    if type(module) is nn.MultiheadAttention:
        return module.parameters()
    has_rule = type(module) in RULES and module._parameters.get("weight") is not None
    return module._parameters.values() if has_rule else ()


def _gradients(outputs, seen, seeds):
    """Gradients (n, r, ...) of ``seeds @ outputs`` by what (n, ...) modules put out."""
    put_out = [each.put_out for each in seen]
    if seeds is None or not put_out or not outputs.requires_grad:
        r = 1 if seeds is None else len(seeds)
        return [each.new_zeros(()).expand(len(each), r, *each.shape[1:]) for each in put_out]
    r, seeds = len(seeds), seeds[:, None].expand(-1, *outputs.shape)
    if r == 1:
        return [part[:, None] for part in _backward(outputs, seen, seeds[0])]
    if all(each.ndim == 2 and len(each) <= FEW for each in put_out):
        try:
            return [part.transpose(0, 1) for part in _backward(outputs, seen, seeds, True)]
        except (RuntimeError, NotImplementedError):  # an operation that takes one at a time
            pass
    found = [each.new_empty((len(each), r, *each.shape[1:])) for each in put_out]
    for k, seed in enumerate(seeds):
        for all_seeds, part in zip(found, _backward(outputs, seen, seed), strict=True):
            all_seeds[:, k] = part
    return found


def _backward(outputs, seen, seeds, is_batched=False):
    """Gradients of ``sum(seeds * outputs)``, or of several such sums, along a new first axis."""
    options = {"retain_graph": True, "allow_unused": True, "is_grads_batched": is_batched}
    places = [each.put_out if each.place is None else each.place for each in seen]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        parts = torch.autograd.grad(outputs, places, seeds, **options)
    shape = seeds.shape[:1] if is_batched else ()
    return [
        each.put_out.new_zeros((*shape, *each.put_out.shape)) if part is None else part
        for part, each in zip(parts, seen, strict=True)
    ]


def first_of(arguments, named):
    """The first argument of a call of a module, by position or else by name; or None."""
    return next(iter([*arguments, *named.values()]), None)


def called(model, rows):
    """Outputs (n, k) of a module, which may change a copy of the rows in place."""
    with eager():
        return read_outputs(model(rows.clone()), len(rows))


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
    outputs = outputs.reshape(1, -1) if n == 1 and outputs.ndim < 2 else outputs  # of squeeze
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
