"""What modules hold beside parameters: copies of it, and its return after a pass."""

from contextlib import contextmanager
from copy import deepcopy
from functools import wraps

import torch


def plain(model):
    """The module that ``torch.compile`` wrapped, or the model itself."""
    return getattr(model, "_orig_mod", model)


def copied(model):
    """A copy of a module; of results of its calls that it holds, without what they came from.

    Old weight normalisation and pruning hold such weights, which torch does not copy.
    """
    held = [each for module in model.modules() for each in tensors(vars(module))]
    return deepcopy(model, {id(each): each.detach().clone() for each in held if not each.is_leaf})


def forget(model):
    """Detach what modules hold of a pass from what it came from, as if it had no gradients."""
    for held in map(vars, model.modules()):
        for name, each in held.items():
            if isinstance(each, torch.Tensor) and not each.is_leaf:
                held[name] = each.detach()


def tensors(held):
    """Yield all tensors of dicts, lists and tuples within each other."""
    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, (dict, list, tuple)):
        for each in held.values() if isinstance(held, dict) else held:
            yield from tensors(each)


@contextmanager
def put_back(model):
    """Put back all attributes and buffers of modules that are replaced meanwhile."""
    holders = [each for module in model.modules() for each in (vars(module), module._buffers)]
    before = [dict(each) for each in holders]
    try:
        yield
    finally:
        for holder, kept in zip(holders, before, strict=True):
            for name in list(holder.keys()):
                if name not in kept:
                    del holder[name]
                elif holder[name] is not kept[name]:
                    holder[name] = kept[name]


def leaves_model(method):
    """A method of a reader, after which its model keeps nothing of what ran: see `put_back`."""

    @wraps(method)
    def wrapped(reader, *arguments):
        with put_back(reader.model):
            return method(reader, *arguments)

    return wrapped
