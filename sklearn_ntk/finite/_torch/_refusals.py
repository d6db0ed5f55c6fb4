"""Modules whose outputs for a row depend on the other rows, on chance, or on what ran before."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrizations
from torch.nn.utils.spectral_norm import SpectralNorm


def refuse(model):
    """Raise ValueError that names the modules to put into evaluation mode, or to use first."""
    lazy = [name for name, m in model.named_modules() if _is_lazy(m)]
    if lazy:
        raise ValueError(
            f"A kernel needs parameters, and modules are not initialised: {_list(lazy)}; call the "
            f"model on some rows first."
        )
    for reason, is_refused in _REASONS:
        names = [name or type(m).__name__ for name, m in model.named_modules() if is_refused(m)]
        if names:
            raise ValueError(
                f"A kernel needs outputs that depend on a row and the parameters alone; got "
                f"{reason}: {_list(names)}. Call the model's eval() first."
            )


def _list(names):
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _is_lazy(module):
    return isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()


def _mixes_rows(module):
    """Whether this is batch normalisation by the rows at hand."""
    if not isinstance(module, _BatchNorm):
        return False
    return module.training or module.running_mean is None


def _is_random(module):
    if not module.training:
        return False
    if isinstance(module, _DropoutNd):
        return module.p > 0.0
    rate = getattr(module, "dropout", 0.0)
    rate = rate if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)) else 0.0
    return rate > 0.0 or isinstance(module, nn.RReLU)


def _moves_buffers(module):
    """Whether this is spectral normalisation that iterates whenever it runs."""
    if not module.training:
        return False
    hooks = module._forward_pre_hooks.values()
    is_new = isinstance(module, parametrizations._SpectralNorm)
    return is_new or any(isinstance(hook, SpectralNorm) for hook in hooks)


_REASONS = (
    ("batch normalisation over the rows", _mixes_rows),
    ("dropout or other chance", _is_random),
    ("spectral normalisation that changes buffers", _moves_buffers),
)
