"""Which gradients the hooks saw wrongly: those of a run, beside autograd's of the same run.

Hooks give the gradients ``G_ir`` of each row i and function r of the outputs with respect to a
parameter. For numbers ``w_i`` and ``c_r``

    sum_ir w_i c_r G_ir  is the gradient of  sum_ir w_i c_r f_ir,

which autograd finds in one pass. For random numbers both are the same, but for chance, only if each
``G_ir`` is right: a use of the parameter that no hook saw, positions that belong to other rows, a
wrong rule, all show. Nothing is concluded from other rows, or from other parameters of the network,
than those whose gradients are used. Matrices are compared by their products with a few random
vectors.

That pass is spared where the graph of autograd is a chain of matrix products which hooks saw, each
with a weight of its own, and functions of single entries: there all is as seen. (Its gradients of
weights would take longer than all else.)
"""

from math import hypot, inf

import torch
from torch import nn

from ._jacobians import gradients, real
from ._record import norm

N_VECTORS = 4

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


def weighted_gradients(outputs, seeds, parameters):
    """The numbers w (n,) and c (r,), and by id of a parameter what autograd finds with them.

    ``seeds`` (r, k) are functions of the outputs (n, k), which are in the graph.
    """
    generator = torch.Generator().manual_seed(0)
    n, r = len(outputs), len(seeds)
    w = torch.randperm(n, generator=generator).to(outputs) / n + 0.5  # no two of them near
    c = torch.randn(r, generator=generator).to(outputs)
    if not parameters:
        return w, c, {}
    with torch.enable_grad():
        true = gradients((outputs * w[:, None] * (c @ seeds)).sum(), parameters)
    return w, c, {id(each): G for each, G in zip(parameters, true, strict=True)}


def wrong_parameters(entries, w, c, true):
    """Ids of parameters whose `Joined` entries are not the `weighted_gradients`."""
    generator = torch.Generator().manual_seed(1)
    wrong = [each for each in entries if not _holds(each, true, w, c, generator)]
    return {id(each) for entry in wrong for each in entry.parameters}


def _holds(entry, true, w, c, generator):
    """Whether the weighted sum of gradients of an entry is the true gradient."""
    use, a = entry.use, entry.inputs
    parts = [true[id(each)].chunk(use.n_parts)[use.part] for each in entry.parameters]
    most = 4.0 * torch.finfo(w.dtype).eps ** 0.5 * hypot(*map(norm, parts))
    g = sum(c[k] * entry.gradients[:, :, k] for k in range(len(c))) * w[:, None, None]
    G, *bias = parts
    if a is None:
        return _is_near(g.sum((0, 1)), G.flatten(), most)
    G, g = G.flatten(1), g.flatten(0, 1)
    V = torch.randn((G.shape[1], N_VECTORS), generator=generator).to(G) / N_VECTORS**0.5
    if use.kind == "embedding":
        found = G.new_zeros((len(G), N_VECTORS)).index_add_(0, a.flatten(), g @ V)
        return _is_near(found, G @ V, most)
    a = a.flatten(0, 1)
    p = len(V)  # which the ones of a bias follow
    found = g.T @ torch.cat([a[:, :p] @ V, a[:, p:]], 1)
    return _is_near(found, torch.cat([G @ V, *(each[:, None] for each in bias)], 1), most)


def are_right(J, parameters, w, c, true):
    """Whether Jacobians (n, r, P) of the general route give the `weighted_gradients`.

    Torch has operations whose gradients are wrong for some numbers of rows and functions at a time.
    """
    sums = torch.einsum("nr,nrp->p", (w[:, None] * c).to(J), J.detach())
    parts = [real(true[id(each)]).flatten() for each in parameters]
    norms, found = [norm(part) for part in parts], sums.split([part.numel() for part in parts])
    most = [4.0 * torch.finfo(w.dtype).eps ** 0.5 * (size + 1e-3 * hypot(*norms)) for size in norms]
    return all(map(_is_near, found, parts, most))


def _is_near(found, expected, most):
    """Whether the distance is at most so much; not if one is NaN or infinite."""
    return norm(found - expected) <= most < inf


def is_chain(outputs, seen):
    """Whether the graph of (n, k) outputs has nothing but seen products and functions of entries.

    Then row i of all that is in it belongs to row i of the outputs, from the end to the start, and
    a weight has no other use. ``seen`` is what `run` has recorded.
    """
    products = {put_out.grad_fn: (module, x) for module, x, put_out in seen}
    node, used = outputs.grad_fn, []
    while node is not None:
        if node in products:
            leaves = _leaves_of_product(node, *products[node])
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
    weight = None if edges[-1] is None else edges[-1].next_functions[0][0]
    bias = edges[0] if len(edges) == 3 else None
    for leaf, parameter in ((weight, module.weight), (bias, module.bias)):
        expected = parameter if parameter is not None and parameter.requires_grad else None
        if getattr(leaf, "variable", None) is not expected:
            return None
        leaves += [] if expected is None else [id(expected)]
    return leaves


def _multiplies(node, transposed, x):
    """Whether the factors of a node are x, unchanged, and what another node has transposed."""
    if getattr(node, "_saved_alpha", 1) != 1 or getattr(node, "_saved_beta", 1) != 1:
        return False
    try:
        kept = getattr(node, PRODUCTS[node.name()])
    except RuntimeError:  # changed in place since then
        return False
    layouts = [(each.data_ptr(), each.shape, each.stride()) for each in (kept, x)]
    return transposed.name() == "TBackward0" and layouts[0] == layouts[1]
