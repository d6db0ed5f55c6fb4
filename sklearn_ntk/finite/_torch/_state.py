"""What modules hold beside parameters: copies of it, and its return after a pass."""

import sys
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import wraps

import torch
from torch import nn
from torch.func import functional_call


def plain(model):
    """The module that ``torch.compile`` or data parallelism wrapped, or the model itself."""
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return plain(model.module)
    return plain(model._orig_mod) if hasattr(model, "_orig_mod") else model


def eager():
    """A context in which what was compiled runs as it is written, with hooks and transforms."""
    may_be = "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance")
    may_be = may_be and not torch.compiler.is_compiling()
    return torch.compiler.set_stance("force_eager") if may_be else nullcontext()


def called_with(model, parameters, *inputs, **named):
    """What a module returns with tensors in place of some of its parameters, given by name.

    Each parameter has one name for each module that holds it. By more names, of modules that others
    hold twice, torch would leave the tensors in the module.
    """
    own = dict(model.named_parameters(remove_duplicate=False))
    given = {id(own[name]): each for name, each in parameters.items()}
    places = {
        f"{path}.{name}" if path else name: given[id(each)]
        for path, module in model.named_modules()
        for name, each in module._parameters.items()
        if id(each) in given
    }
    return functional_call(model, places, inputs, named, tie_weights=False)


def copied(model):
    """A copy of a module; of results of its calls that it holds, without what they came from.

    Old weight normalisation and pruning hold such weights, which torch does not copy.
    """
    held = [each for module in model.modules() for each in tensors(vars(module))]
    known = {id(each): each.detach().clone() for each in held if not each.is_leaf}
    try:
        return deepcopy(model, known)
    except Exception as error:  # of whatever a module holds
        raise ValueError(
            f"model must be one that copy.deepcopy can copy; got {type(model).__name__} "
            f"({in_short(error)}): keep locks, open files and results of calls outside of it, or "
            f"give it a __deepcopy__."
        ) from error


def forget(model):
    """Detach what modules hold of a pass from what it came from, as if it had no gradients."""
    for module in model.modules():
        _detach(vars(module))


def _detach(held):
    """Detach the tensors of dicts and lists within each other, in place."""
    for name, each in list(held.items() if isinstance(held, dict) else enumerate(held)):
        if isinstance(each, torch.Tensor) and not each.is_leaf:
            held[name] = each.detach()
        elif isinstance(each, (dict, list)):
            _detach(each)


def in_short(error):
    """The first sentence of an error, which may have many lines."""
    return str(error).partition("\n")[0].partition(". ")[0].rstrip(".")


def tensors(held):
    """Yield all tensors of dicts, lists and tuples within each other."""
    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, (dict, list, tuple)):
        for each in held.values() if isinstance(held, dict) else held:
            yield from tensors(each)


@contextmanager
def put_back(model):
    """Put back all attributes, buffers and parameters of modules that are replaced meanwhile."""
    holders = [
        each
        for module in model.modules()
        for each in (vars(module), module._buffers, module._parameters)
    ]
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
