"""Perceptrons, on rows whose columns are in no order."""

from .._runtime.check import read_count
from ..layers import Conv, Dense, Flatten, Input, Residual


def mlp(depth=3, activation="relu"):
    """Multilayer perceptron with ``depth`` hidden layers; ``depth=0`` is a linear model.

    Parameters
    ----------
    depth : int
        Number of hidden layers.
    activation : str or activation
        Activation of all hidden layers.

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
    return (Dense(), activation) * read_count(depth, "depth") + (Dense(),)


def column_mlp(n_columns, depth=2, activation="relu", column_layers=1):
    """Perceptron for tables whose first hidden layers take columns one by one.

    In these layers, every column has infinitely many neurons of its own, with the same
    distribution; the next layer, or the output, sees the neurons of all columns. Such layers embed
    the columns, as in Y. Gorishniy, I. Rubachev and A. Babenko, "On embeddings for numerical
    features in tabular deep learning", NeurIPS 2022. If all hidden layers are of this kind, the
    network is a sum of functions of the columns, as in R. Agarwal et al., "Neural additive models",
    NeurIPS 2021.

    Parameters
    ----------
    n_columns : int
        Number of columns of the rows.
    depth : int
        Number of hidden layers.
    activation : str or activation
        Activation of all hidden layers.
    column_layers : int
        Number of hidden layers that take columns one by one, at least one.

    Returns
    -------
    tuple of layers

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.architectures import column_mlp
    >>> kernel = NNGPKernel(architecture=column_mlp(3, depth=1))
    >>> kernel([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]).round(2)
    array([[11.33,  2.53]])
    """
    shape = Input(read_count(n_columns, "n_columns", 1), 1)
    columns = (Conv(1), activation) * read_count(column_layers, "column_layers", 1)
    rest = (Dense(), activation) * (read_count(depth, "depth", column_layers) - column_layers)
    return (shape, *columns, Flatten(), *rest, Dense())


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
    >>> network = resmlp(depth=2, residual_var=0.5)
    >>> NTKKernel(architecture=network, bias_var=0.1).diag([[1.0, 1.0]]).round(3)
    array([8.45])
    """
    block = Residual((activation, Dense(residual_var)))
    return (Dense(), *(block,) * read_count(depth, "depth"), activation, Dense())
