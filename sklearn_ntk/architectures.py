"""Families of networks: functions that return a tuple of layers, to be read and edited."""

from .layers import Dense, Residual


def mlp(depth=3, activation="relu"):
    """Multilayer perceptron with ``depth`` hidden layers; ``depth=0`` is a linear model.

    Parameters
    ----------
    depth : int
        Number of hidden layers.
    activation : str or activation
        Of all hidden layers.

    Returns
    -------
    tuple of layers

    Examples
    --------
    >>> from sklearn_ntk.architectures import mlp
    >>> mlp(depth=2)[1::2]
    ('relu', 'relu')
    >>> len(mlp(depth=2))
    5
    """
    return (Dense(), activation) * depth + (Dense(),)


def resmlp(depth=3, activation="relu", residual_var=None):
    """Residual perceptron of ``depth`` blocks ``x + Dense(activation(x))``.

    Parameters
    ----------
    depth : int
        Number of residual blocks between the first and the last dense layer.
    activation : str or activation
    residual_var : float, optional
        Variance of the weights inside the blocks; None takes the kernel's. Small values such as
        ``1 / depth`` keep the variance of deep networks in bounds.

    Returns
    -------
    tuple of layers

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.architectures import resmlp
    >>> NTKKernel(architecture=resmlp(depth=2, residual_var=0.5)).diag([[1.0, 1.0]]).round(3)
    array([8.45])
    """
    block = Residual((activation, Dense(residual_var)))
    return (Dense(), *(block,) * depth, activation, Dense())
