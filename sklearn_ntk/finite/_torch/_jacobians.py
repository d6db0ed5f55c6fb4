"""The general route: gradients of each row and output with respect to some parameters."""

import warnings

import torch
from torch.func import jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ._record import called, read_outputs
from ._state import called_with, eager


def jacobians(model, rows, seeds, parameters, chunk):
    """Gradients (n, r, P) of ``seeds @ outputs`` with respect to ``parameters``, by name.

    Rows are differentiated ``chunk`` at a time, or one by one if the model has operations that
    cannot be.
    """

    def functions(chosen, row):
        outputs = called_with(model, chosen, row[None].clone())
        return seeds @ read_outputs(outputs, 1)[0]

    detached, parts = {name: each.detach() for name, each in parameters.items()}, rows.split(chunk)
    size = sum(real(each).numel() for each in detached.values())
    J, start = seeds.new_empty((len(rows), len(seeds), size)), 0
    try:
        with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH), eager():
            warnings.filterwarnings("ignore", "There is a performance drop")
            for part in parts:
                found = vmap(jacrev(functions), (None, 0))(detached, part)
                own = J[start : start + len(part)]
                flat = [real(found[name]).reshape(*own.shape[:2], -1) for name in parameters]
                torch.cat(flat, 2, out=own)
                start += len(part)
    except (RuntimeError, NotImplementedError):
        del J
        return by_rows(model, rows, seeds, parameters)
    return J


def by_rows(model, rows, seeds, parameters):
    """The same as `jacobians`, row by row, each by backward passes of its own."""
    return torch.stack([_of_row(model, row[None], seeds, parameters) for row in rows])


def _of_row(model, row, seeds, parameters):
    """Gradients (r, P) of one row, a backward pass for each function."""
    with torch.enable_grad():
        functions = seeds @ called(model, row)[0]
        found = [gradients(each, parameters.values()) for each in functions]
    return torch.stack([torch.cat([real(part).ravel() for part in each]) for each in found])


def gradients(function, parameters):
    """Gradients of a number with respect to parameters; zeros where it has none."""
    targets = list(parameters)
    if not targets or not function.requires_grad:
        return [torch.zeros_like(each) for each in targets]
    found = torch.autograd.grad(function, targets, retain_graph=True, allow_unused=True)
    pairs = zip(found, targets, strict=True)
    return [torch.zeros_like(each) if part is None else part.to_dense() for part, each in pairs]


def real(tensor):
    """The tensor, or real and imaginary parts of a complex one."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
