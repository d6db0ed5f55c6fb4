"""What the graph of autograd tells of products by weights: whether hooks saw all, and others.

``MultiheadAttention`` calls no modules for its products. The graph has each as a node that
multiplies a matrix, which it keeps, by a weight. Of attention of rows to themselves there are two:
one by all three projections, and the one at the end. Their matrices have positions in front of the
rows.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.autograd.graph import GradientEdge

OF_ENTRIES = {
    f"{name}Backward0"
    for name in (
        *("Clone", "Relu", "LeakyRelu", "Elu", "Gelu", "Silu", "Mish", "Softplus", "Hardtanh"),
        *("Tanh", "Sigmoid", "LogSigmoid", "Erf", "Exp", "Sin", "Cos"),
    )
}
"""Nodes of the graph of autograd whose outputs depend, each, on the one entry at their place."""

PRODUCTS = {"AddmmBackward0": "_saved_mat1", "MmBackward0": "_saved_self"}
"""By name of a node that multiplies matrices, after adding or not, where it keeps the first one."""


class Product(NamedTuple):
    """``inputs`` (T n, p) times a weight, plus a bias or None, and the place of the result."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    inputs: torch.Tensor
    edge: GradientEdge


def products(module, taken, put_out):
    """`Product` by each weight, between the tensors that a module took and what it put out.

    Those that autograd does not have, or has twice, are left out.
    """
    last = module.out_proj
    pairs = [(module.in_proj_weight, module.in_proj_bias), (last.weight, last.bias)]
    biases = {id(weight): (weight, bias) for weight, bias in pairs if weight is not None}
    found, seen = {}, {each.grad_fn for each in taken if isinstance(each, torch.Tensor)}
    nodes = [put_out.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        key = id(_weight(node))
        if key in biases:
            inputs = _first_factor(node)
            found.setdefault(key, []).append(Product(*biases[key], inputs, GradientEdge(node, 0)))
        nodes += [each for each, _ in node.next_functions]
    return [each[0] for each in found.values() if len(each) == 1 and each[0].inputs is not None]


def is_chain(outputs, seen):
    """Whether the graph of (n, k) outputs has nothing but seen products and functions of entries.

    Then row i of all that is in it belongs to row i of the outputs, from the end to the start, and
    a weight has no other use: all is as `Seen`, and needs no check. (Its gradients of weights would
    take longer than all else.)
    """
    modules = {each.put_out.grad_fn: each for each in seen if each.rule is not None}
    node, used = outputs.grad_fn, []
    while node is not None:
        if node in modules:
            leaves = _leaves_of_product(node, modules[node].module, modules[node].inputs)
            if leaves is None:
                return False
            used += leaves
            node = node.next_functions[-2][0]
        elif node.name() in OF_ENTRIES and len(node.next_functions) == 1:
            node = node.next_functions[0][0]
        else:
            return False
    return bool(used) and len(used) == len(set(used))


def _leaves_of_product(node, module, x):
    """Ids of a linear module's trained parameters, if a node is its product ``x W' + b``; or None.

    The graph must say so: for the matrix x that was seen, and with no parameter in between.
    """
    if type(module) is not nn.Linear or x.ndim != 2 or node.name() not in PRODUCTS:
        return None
    edges, leaves = [each for each, _ in node.next_functions], []
    if edges[-1] is not None and not _multiplies(node, edges[-1], x):
        return None
    bias = edges[0] if len(edges) == 3 else None
    pairs = (_weight(node), module.weight), (getattr(bias, "variable", None), module.bias)
    for leaf, parameter in pairs:
        expected = parameter if parameter is not None and parameter.requires_grad else None
        if leaf is not expected:
            return None
        leaves += [] if expected is None else [id(expected)]
    return leaves


def _multiplies(node, transposed, x):
    """Whether the factors of a node are x, unchanged, and what another node has transposed."""
    if getattr(node, "_saved_alpha", 1) != 1 or getattr(node, "_saved_beta", 1) != 1:
        return False
    kept = _first_factor(node)
    if kept is None or transposed.name() != "TBackward0":
        return False
    layouts = [(each.data_ptr(), each.shape, each.stride()) for each in (kept, x)]
    return layouts[0] == layouts[1]


def _first_factor(node):
    """The matrix that a node multiplies; None if it is not kept, or changed in place since then."""
    try:
        return getattr(node, PRODUCTS[node.name()]).detach()
    except (AttributeError, RuntimeError):
        return None


def _weight(node):
    """The leaf by whose transpose a node multiplies, or None."""
    transposed = node.next_functions[-1][0] if node.name() in PRODUCTS else None
    if transposed is None or transposed.name() != "TBackward0":
        return None
    return getattr(transposed.next_functions[0][0], "variable", None)
