"""Which parameters the hooks see rightly: gradients of one row, beside those of autograd.

In a batch of two rows, the outputs of the first one are differentiated. The signals of the other
must vanish, and those of the first must give the gradients of autograd for that row alone. The
gradient G of a weight is compared by the products of both sides with a random vector: the error of
the product is on average the norm of that of the matrix.

New memory for G takes longer than all else. It is spared for weights of which the graph of autograd
shows that their only uses are the products ``a W' + b`` that hooks have seen.
"""

import torch
from torch import nn

from ._jacobians import gradients
from ._record import differentiate, join, run


def right_entries(model, rows, outputs, trained):
    """Signals, of two rows, of the parameters whose rule holds.

    ``outputs`` (1, k) are those of the first row alone, in the graph of autograd, and ``trained``
    are parameters by name. Raises ValueError if they are others in the batch.
    """
    tolerance = 4.0 * torch.finfo(outputs.dtype).eps ** 0.5
    ids = {id(each) for each in trained.values()}
    of_pair, seen = run(model, rows[[0, -1]], ids)
    if _differ(outputs[0], of_pair[0], tolerance):
        raise ValueError(
            "A kernel needs outputs that depend on a row and the parameters alone; got a model "
            "whose outputs for a row differ between two calls, or depend on the other rows: take "
            "rows along the first axis, and no chance."
        )
    plain = _multiplied(of_pair, seen)
    seed = _normal(outputs.shape[1], outputs)
    entries = join(differentiate(of_pair, seen, torch.stack([seed, 0.0 * seed])[None]), ids)
    doubted = [each for each in trained.values() if id(each) not in plain]
    with torch.enable_grad():
        found = gradients((outputs[0] * seed).sum(), doubted) if doubted else []
    true = dict(zip(map(id, doubted), found, strict=True))
    wrong = [entry for entry in entries if not _holds(entry, true, tolerance)]
    wrong = {id(each) for entry in wrong for each in entry.parameters}
    return [entry for entry in entries if wrong.isdisjoint(map(id, entry.parameters))]


def _multiplied(outputs, seen):
    """Ids of parameters whose only uses are the products that linear modules were seen to form."""
    uses, edges = {}, _edges_of(outputs.grad_fn)
    for module, x, put_out in seen:
        if type(module) is nn.Linear and x.ndim == 2 and len(x) == len(outputs):
            for variable in _factors(put_out.grad_fn, x):
                uses[id(variable)] = uses.get(id(variable), 0) + 1
    return {key for key, count in uses.items() if count == edges.get(key)}


def _edges_of(root):
    """By id of a leaf, how many nodes of a graph use it."""
    found, known, waiting = {}, set(), [root]
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            found[id(node.variable)] = found.get(id(node.variable), 0) + 1
        elif node is not None and node not in known:
            known.add(node)
            waiting += [each for each, _ in node.next_functions]
    return found


def _factors(node, x):
    """The leaves W and b, or one of them, of a node that computes ``x W' + b``; else none."""
    if node is None or node.name() != "AddmmBackward0" or node._saved_alpha != 1:
        return []
    (bias, _), _, (transposed, _) = node.next_functions
    found = [] if bias is None else [bias]
    if transposed is not None:
        try:
            kept = node._saved_mat1
        except RuntimeError:  # changed in place since then
            return []
        layouts = [(each.data_ptr(), each.shape, each.stride()) for each in (kept, x)]
        if transposed.name() != "TBackward0" or layouts[0] != layouts[1]:
            return []
        found.append(transposed.next_functions[0][0])
    return [each.variable for each in found if hasattr(each, "variable")]


def _holds(entry, true, tolerance):
    """Whether signals of the first row give its gradients, and those of the second vanish."""
    use, g, other = entry.use, entry.gradients[0, :, 0], entry.gradients[1]
    if not other.norm() <= tolerance * g.norm():
        return False
    for parameter, product in _products(entry, g):
        G = true.get(id(parameter))
        if G is not None:
            G = G.chunk(use.n_parts)[use.part]
            if _differ(_probed(G), product, tolerance, G):
                return False
    return True


def _products(entry, g):
    """Yield each parameter, and what `_probed` gives for its gradient by the signals."""
    use = entry.use
    if entry.inputs is None:
        yield entry.parameters[0], _probed(g[0].reshape(entry.parameters[0].shape))
        return
    a = entry.inputs[0]
    if use.weight is not None:
        v = _normal(use.weight[0].numel(), g)
        if use.kind == "embedding":
            yield use.weight, g.new_zeros(len(use.weight)).index_add_(0, a, g @ v)
        else:
            yield use.weight, (a[:, : len(v)] @ v) @ g
    if use.bias is not None:
        yield use.bias, g.sum(0)


def _probed(G):
    """Product (q,) of a gradient, as a matrix (q, p), with a random vector; a vector as it is."""
    G = G.flatten(1) if G.ndim > 1 else G.reshape(-1)
    return G @ _normal(G.shape[1], G) if G.ndim > 1 else G


def _normal(size, like):
    """The same random vector at each call, for its size."""
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).to(like)


def _differ(first, other, tolerance, unit=None):
    """Whether the distance of tensors is more than a tolerance times the norm of a unit.

    By default this is the first one.
    """
    if first.shape != other.shape:
        return True
    unit = first if unit is None else unit
    return not (first - other).norm() <= tolerance * unit.norm()  # faster than torch.dist
