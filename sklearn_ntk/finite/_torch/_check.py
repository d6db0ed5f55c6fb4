"""Which gradients the hooks saw wrongly: those of a run, beside autograd's of the same run.

Hooks give the gradients ``G_ir`` of each row i and function r of the outputs with respect to a
parameter. For numbers ``w_i`` and ``c_r``

    sum_ir w_i c_r G_ir  is the gradient of  sum_ir w_i c_r f_ir,

which autograd finds in one pass. For random numbers both are the same, but for chance, only if each
``G_ir`` is right: a use of the parameter that no hook saw, positions that belong to other rows, a
wrong rule, all show. Nothing is concluded from other rows, or from other parameters of the network,
than those whose gradients are used. Matrices are compared by their products with a few random
vectors. Of several precisions, as under autocast, the lowest tells how near they must be.
"""

from math import hypot, inf

import torch

from ._jacobians import gradients, real
from ._record import norm

N_VECTORS = 4


def weighted_gradients(outputs, seeds, parameters):
    """The numbers w (n,) and c (r,), and by id of a parameter what autograd finds with them.

    ``seeds`` (r, k) are functions of the outputs (n, k), which are in the graph.
    """
    generator = torch.Generator().manual_seed(0)
    n, r = len(outputs), len(seeds)
    order = torch.randperm(n, generator=generator, device="cpu")
    w = order.to(outputs) / n + 0.5  # no two of them near
    c = torch.randn(r, generator=generator, device="cpu").to(outputs)
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
    use, a, g = entry.use, entry.inputs, entry.gradients
    parts = [true[id(each)].chunk(use.n_parts)[use.part] for each in entry.parameters]
    most = _tolerance(w, g, *parts) * hypot(*map(norm, parts))
    dtype = torch.promote_types(torch.promote_types(parts[0].dtype, g.dtype), torch.float32)
    w, c, *parts = (each.to(dtype) for each in (w, c, *parts))
    g = sum(c[k] * g[:, :, k] for k in range(len(c))) * w[:, None, None]
    G, *bias = parts
    if a is None:
        return _is_near(g.sum((0, 1)), G.flatten(), most)
    G = G.flatten(1)
    V = torch.randn((G.shape[1], N_VECTORS), generator=generator, device="cpu").to(G)
    V /= N_VECTORS**0.5
    if use.kind == "embedding":
        found = G.new_zeros((len(G), N_VECTORS))
        found.index_add_(0, a.flatten(), g.flatten(0, 1) @ V)
        return _is_near(found, G @ V, most)
    a, p = a.to(dtype), len(V)  # which the ones of a bias follow
    products = torch.cat([V.T @ a[:, :, :p].mT, a[:, :, p:].mT], 1)  # (n, N_VECTORS or more, T)
    expected = torch.cat([G @ V, *(each[:, None] for each in bias)], 1)
    return _is_near(torch.einsum("ntq,nvt->qv", g, products), expected, most)


def are_right(J, parameters, w, c, true):
    """Whether Jacobians (n, r, P) of the general route give the `weighted_gradients`.

    Torch has operations whose gradients are wrong for some numbers of rows and functions at a time.
    """
    sums = torch.einsum("nr,nrp->p", (w[:, None] * c).to(J), J.detach())
    parts = [real(true[id(each)]).flatten() for each in parameters]
    tolerance = _tolerance(w, J, *parts)
    norms, found = [norm(part) for part in parts], sums.split([part.numel() for part in parts])
    most = [tolerance * (size + 1e-3 * hypot(*norms)) for size in norms]
    return all(map(_is_near, found, parts, most))


def _tolerance(*tensors):
    """Relative distance up to which sums are the same, for the lowest precision of the tensors."""
    return 4.0 * max(torch.finfo(each.dtype).eps for each in tensors) ** 0.5


def _is_near(found, expected, most):
    """Whether the distance is at most so much; not if one is NaN or infinite."""
    return norm(found - expected) <= most < inf
