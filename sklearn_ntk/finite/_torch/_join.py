"""Uses of parameters, joined to one entry for each weight or bias, whatever modules have them."""

from typing import NamedTuple

import torch

from ._rules import Use


class Joined(NamedTuple):
    """Signals of a weight, a bias or both; inputs None stand for a single one, as `Use`."""

    use: Use
    inputs: torch.Tensor | None
    gradients: torch.Tensor

    @property
    def parameters(self):
        """The parameters that these are the signals of."""
        return [each for each in (self.use.weight, self.use.bias) if each is not None]


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
        inputs = _with_ones(inputs)
    return Joined(use, inputs, torch.cat(gradients, 1) if len(group) > 1 else gradients[0])


def _with_ones(inputs):
    """Inputs (n, T, p + 1) with ones, in which what comes last in memory stays so."""
    ones = inputs.new_ones((*inputs.shape[:2], 1))
    if inputs.mT.is_contiguous():
        return torch.cat([inputs.mT, ones.mT], 1).mT
    return torch.cat([inputs, ones], 2)
