"""What the last linear layer of a module takes in."""

import torch
from torch import nn

from ._record import called, first_of
from ._refusals import refuse_dependent, refuse_infinite


def hidden(model, rows, check):
    """Inputs (n, p) of the linear module whose outputs are those of the model; or ValueError."""
    seen = []

    def keep(module, arguments, named, put_out):
        pair = first_of(arguments, named), put_out
        if all(isinstance(each, torch.Tensor) for each in pair):
            if pair[0].numel() == len(rows) * module.in_features:  # others may come in place
                seen.append([each.detach().clone().reshape(len(rows), -1) for each in pair])

    linear = [each for each in model.modules() if isinstance(each, nn.Linear)]
    handles = [each.register_forward_hook(keep, with_kwargs=True) for each in linear]
    try:
        outputs = called(model, rows).detach()
    finally:
        for handle in handles:
            handle.remove()
    refuse_infinite(outputs)
    if check:
        refuse_dependent(model, rows, outputs)
    for taken, put_out in reversed(seen):
        if torch.equal(put_out, outputs):
            return taken
    raise ValueError(
        f"The kernel of the last hidden layer needs a model that ends in a Linear module with one "
        f"input (p,) for each row; got {type(model).__name__}, whose outputs are others: pass a "
        f"part of it that ends so."
    )
