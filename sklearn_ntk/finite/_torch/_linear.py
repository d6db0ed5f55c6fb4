"""The linear model that a torch module is near its parameters."""

import warnings
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.func import jvp
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from ._jacobians import gradients
from ._refusals import refuse_hooks
from ._state import called_with, copied, eager, in_short, plain, put_back, tensors

with warnings.catch_warnings():  # torch loads what it needs at the first use, by deprecated means
    warnings.simplefilter("ignore", DeprecationWarning)
    jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))


class Linearized(nn.Module):
    """First-order expansion ``f(x; w0) + J(x) (w - w0)`` of a module in its parameters.

    Its parameters are the differences ``w - w0``, zero at the start, and any optimiser of torch can
    train them: weight decay pulls towards w0, and the trained parameters are the task vector.
    Buffers, and parameters that do not require gradients, are not included. A training step takes
    about half as long again as a step of the network (G. Ortiz-Jimenez, A. Favero and P. Frossard,
    "Task arithmetic in the tangent space", NeurIPS 2023).

    Parameters
    ----------
    module : torch.nn.Module
        The module is copied, and expanded in evaluation mode, in which the copy stays; later
        changes of the module have no effect.

    Attributes
    ----------
    base : torch.nn.Module
        The copy, whose parameters do not require gradients.
    differences : torch.nn.Module
        A module of the same form that holds the parameters; it is never called.

    Notes
    -----
    Forward-mode derivatives ignore a ``torch.no_grad`` inside the module. The first call therefore
    compares them with derivatives by backward passes, which are used from then on if the two
    differ. When the model is called under ``torch.no_grad``, the module still runs as in training.

    To linearise a network after training, apply its `TaskVector`: ``TaskVector(trained,
    module).apply_to(Linearized(module))``.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ntk.finite import Linearized
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 9), torch.nn.Tanh(), torch.nn.Linear(9, 1))
    >>> model, X = Linearized(network), torch.ones(3, 2)
    >>> bool(torch.equal(model(X), network(X)))
    True
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    """

    def __init__(self, module):
        super().__init__()
        module = plain(module)
        _refuse_compiled(module)
        self.base, self.differences = copied(module).eval(), copied(module)
        with torch.no_grad():
            for each in self.differences.parameters():
                each.zero_()
        if not any(each.requires_grad for each in self.differences.parameters()):
            raise ValueError(
                f"Linearized needs trained parameters; got {type(module).__name__} with none: set "
                f"requires_grad of some."
            )
        refuse_hooks({n: each for n, each in module.named_parameters() if each.requires_grad})
        self.base.requires_grad_(False)
        # in forward mode, torch takes the vector for padding as trained, and backwards it does not
        self._is_compared = False
        self.has_forward_mode = not any(
            getattr(each, "padding_idx", None) is not None for each in module.modules()
        )

    def train(self, mode=True):
        """Set the mode of this module; the base stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, *inputs, **named):
        """Outputs of the linear model."""
        rates = {n: each for n, each in self.differences.named_parameters() if each.requires_grad}
        is_taught = torch.is_grad_enabled()
        rates = rates if is_taught else {name: each.detach() for name, each in rates.items()}
        start = dict(self.base.named_parameters())
        start = {name: start[name] for name in rates}

        def outputs(parameters):
            own, own_named = tree_map_only(torch.Tensor, torch.clone, (inputs, named))
            found = called_with(self.base, parameters, *own, **own_named)
            if not isinstance(found, torch.Tensor):
                raise TypeError(
                    f"Linearized needs a module that returns a tensor; got {type(found).__name__}: "
                    f"wrap it in a module that returns its outputs."
                )
            return found

        is_layer = is_taught and any(each.requires_grad for each in tensors([*inputs, named]))
        with _differentiable(self.base, is_layer), put_back(self.base):
            found = self._in_forward_mode(outputs, start, rates) if self.has_forward_mode else None
            if found is None:
                found = self._in_two_passes(outputs, start, rates, is_layer)
                self.has_forward_mode = False
        return found if is_taught else found.detach()

    def _in_forward_mode(self, outputs, start, rates):
        """Outputs along ``rates``, or None if there is no such mode, or another result in it.

        Forward mode differentiates what the module does without gradients, too; the first call
        tells.
        """
        try:
            if not self._is_compared and not _is_forward_mode_right(outputs, start):
                return None
            found = sum(jvp(outputs, (start,), (rates,)))
        except (RuntimeError, NotImplementedError):
            return None
        self._is_compared = True
        return found

    def _in_two_passes(self, outputs, start, rates, is_layer):
        """`_by_two_passes`; raises as the module does, or ValueError."""
        try:
            return _by_two_passes(outputs, start, rates, is_layer)
        except (RuntimeError, NotImplementedError) as error:
            outputs(start)
            raise ValueError(
                f"Linearized needs operations that torch differentiates twice, or along a "
                f"direction; got {type(self.base).__name__} ({in_short(error)}): switch "
                f"checkpointing off, or freeze such layers."
            ) from error


def _refuse_compiled(module):
    """Raise ValueError if parameters cannot be replaced in the module."""
    for each in module.modules():
        is_trained = any(part.requires_grad for part in each.parameters())
        has_mode = "eval" not in vars(each)  # torch.export gives a graph one that raises
        is_exported = isinstance(each, torch.fx.GraphModule) and not has_mode
        if is_exported or (isinstance(each, torch.jit.ScriptModule) and is_trained):
            raise ValueError(
                f"Linearized needs a module that is written in Python; got a "
                f"{type(each).__name__}: pass the one that was scripted, traced or exported."
            )


def _is_forward_mode_right(outputs, start):
    """Whether both modes find the same derivative along a random direction, where both are.

    Raises an error where torch cannot go back through forward mode, as training does.
    """
    generator = torch.Generator().manual_seed(0)
    rates = {
        name: torch.randn(each.shape, generator=generator, dtype=torch.float64, device="cpu").to(
            each
        )
        for name, each in start.items()
    }
    trained = {name: each.clone().requires_grad_() for name, each in rates.items()}
    value, derivative = jvp(outputs, (start,), (trained,))
    gradients(derivative.sum(), trained.values())
    try:
        moved = _by_two_passes(outputs, start, rates).detach()
    except (RuntimeError, NotImplementedError):
        return True
    value, derivative = value.detach(), derivative.detach()
    expected = moved - value
    tolerance = 4.0 * torch.finfo(value.dtype).eps ** 0.5
    return bool((derivative - expected).norm() <= tolerance * expected.norm())


def _by_two_passes(outputs, start, rates, is_layer=False):
    """Outputs and their derivative along ``rates``, for operations without forward mode.

    The gradient with respect to the parameters is linear in the weights u of the outputs; that of
    its product with the rates, with respect to u, is the derivative.
    If this ``is_layer`` behind others, gradients reach its inputs.
    """
    start = {name: each.detach().requires_grad_() for name, each in start.items()}
    value = outputs(start)
    u = torch.zeros_like(value, requires_grad=True)
    options = {"create_graph": True, "materialize_grads": True}
    back = torch.autograd.grad(value, list(start.values()), u, **options)
    product = sum(
        (g.conj() * rate).real.sum() for g, rate in zip(back, rates.values(), strict=True)
    )
    (derivative,) = torch.autograd.grad(product, u, **options)
    return (value if is_layer else value.detach()) + derivative


def _layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """`torch.nn.functional.layer_norm` by arithmetic."""
    axes = tuple(range(-len(normalized_shape), 0))
    variance, mean = torch.var_mean(input, axes, correction=0, keepdim=True)
    y = (input - mean) * (variance + eps).rsqrt()
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _instance_norm(input, weight=None, bias=None, use_input_stats=True, eps=1e-5, **averages):
    """`torch.nn.functional.instance_norm` by arithmetic, where averages are those of the input."""
    if not use_input_stats:
        options = {"use_input_stats": False, "eps": eps, **averages}
        return functional.instance_norm(input, weight=weight, bias=bias, **options)
    shape = (-1, *(1 for _ in input.shape[2:]))
    weight, bias = (each if each is None else each.reshape(shape) for each in (weight, bias))
    return _layer_norm(input, input.shape[2:], weight, bias, eps)


_BY_ARITHMETIC = {
    functional.layer_norm: _layer_norm,
    functional.instance_norm: _instance_norm,
}


class _Composed(TorchFunctionMode):
    """Where normalisations that torch has as one function are made of arithmetic.

    In derivatives along a direction, torch takes means and variances of theirs as constants.
    """

    def __torch_function__(self, function, types, arguments=(), named=None):
        return _BY_ARITHMETIC.get(function, function)(*arguments, **(named or {}))


@contextmanager
def _differentiable(module, is_layer):
    """Switch gradients on, and what has no forward mode off.

    That is fused attention, and oneDNN for recurrences.
    If this ``is_layer``, whose inputs need gradients, also normalisations without right ones.
    """
    kinds = {kind for each in module.modules() for kind in type(each).__mro__}
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))  # which has gradients, too
        stack.enter_context(eager())
        if is_layer:
            stack.enter_context(_Composed())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if nn.RNNBase in kinds:
            was_enabled = torch.backends.mkldnn.set_flags(False)[0]
            stack.callback(torch.backends.mkldnn.set_flags, was_enabled)
        if {nn.MultiheadAttention, nn.TransformerEncoderLayer} & kinds:
            is_fast = torch.backends.mha.get_fastpath_enabled()
            torch.backends.mha.set_fastpath_enabled(False)
            stack.callback(torch.backends.mha.set_fastpath_enabled, is_fast)
        yield
