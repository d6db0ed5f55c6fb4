"""Kernels and Gram matrices that print nothing, whatever ``verbose`` of the kernel says."""

from copy import copy

from sklearn.base import clone


def quiet_operator(operator):
    """The operator, of a kernel that prints nothing for its blocks, but does for the whole."""
    if not hasattr(operator, "kernel"):
        return operator
    quiet = copy(operator)
    quiet.kernel = quiet_kernel(operator.kernel)
    return quiet


def quiet_kernel(kernel):
    """A kernel that prints nothing."""
    return clone(kernel).set_params(verbose=0) if verbose_of(kernel) else kernel


def verbose_of(kernel):
    """The parameter ``verbose`` of a kernel, zero if it has none."""
    return kernel.get_params(deep=False).get("verbose", 0) if hasattr(kernel, "get_params") else 0
