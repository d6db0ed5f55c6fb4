"""Convolutional networks, on images, and as such on sequences and volumes."""

from .._runtime.check import read_count
from ..layers import AvgPool, Conv, Dense, Flatten, GlobalAvgPool, Residual
from ._arguments import choose, input_of

_MYRTLE = {5: (2, 1, 1), 7: (2, 2, 2), 10: (3, 3, 3)}
_READOUTS = {"pool": GlobalAvgPool(), "flatten": Flatten()}


def cnn(shape, depth=3, readout="pool", activation="relu", filter_size=3):
    """Convolutional network of ``depth`` convolutions, each with an activation, and a readout.

    R. Novak et al., "Bayesian deep convolutional networks with many channels are Gaussian
    processes", ICLR 2019; S. Arora et al., "On exact computation with an infinitely wide neural
    net", NeurIPS 2019, whose depth also counts the last layer and is one more.

    Parameters
    ----------
    shape : tuple of int
        Shape of the rows.
    depth : int
        Number of convolutions.
    readout : {"pool", "flatten"}
        The mean over all positions, or weights for each position. Pooling multiplies the time by
        the number of positions.
    activation : str or activation
    filter_size : int or tuple of int

    Returns
    -------
    tuple of layers

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_ntk import NTKClassifier
    >>> from sklearn_ntk.architectures import cnn
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X / 16, y, train_size=400, random_state=0)
    >>> model = NTKClassifier(architecture=cnn((8, 8, 1), 2, "flatten")).fit(X, y)
    >>> round(model.score(X_test, y_test), 2)
    0.98
    """
    convolutions = (Conv(filter_size), activation) * read_count(depth, "depth")
    return (input_of(shape), *convolutions, choose("readout", readout, _READOUTS), Dense())


def myrtle(shape, n_layers=5, activation="relu"):
    """Myrtle network: convolutions over 3 x 3 pixels, and poolings over 2 x 2 in between.

    V. Shankar et al., "Neural kernels without tangents", ICML 2020. The network has four, six or
    nine convolutions in three groups, with average pooling after the first and second group, global
    average pooling after the third, and a dense layer.

    Parameters
    ----------
    shape : tuple of int
        Shape of the rows, with at least 4 pixels along each axis.
    n_layers : {5, 7, 10}
        Number of layers with weights.
    activation : str or activation

    Returns
    -------
    tuple of layers

    Examples
    --------
    >>> from sklearn_ntk.architectures import myrtle
    >>> [type(layer).__name__ for layer in myrtle((32, 32, 3)) if layer != "relu"]
    ['Input', 'Conv', 'Conv', 'AvgPool', 'Conv', 'AvgPool', 'Conv', 'GlobalAvgPool', 'Dense']
    """
    numbers, pool = choose("n_layers", n_layers, _MYRTLE), AvgPool(2)
    first, second, third = ((Conv(3), activation) * number for number in numbers)
    return (input_of(shape), *first, pool, *second, pool, *third, GlobalAvgPool(), Dense())


def resnet(shape, n_blocks=1, n_stages=3, activation="relu", residual_var=None):
    """Residual network of ``n_stages`` times ``n_blocks`` blocks of two convolutions.

    The blocks are those of S. Zagoruyko and N. Komodakis, "Wide residual networks", BMVC 2016,
    without normalisation. Each stage but the first halves the grid: its first block strides, and
    so does the convolution of size one on its shortcut.

    Parameters
    ----------
    shape : tuple of int
        Shape of the rows.
    n_blocks : int
        Number of blocks of a stage.
    n_stages : int
        Number of stages.
    activation : str or activation
    residual_var : float, optional
        Variance of the weights of the last convolution of a block; None takes the kernel's. Small
        values such as ``1 / (n_stages * n_blocks)`` keep the variance of deep networks in bounds.

    Returns
    -------
    tuple of layers

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.architectures import resnet
    >>> network = resnet((4, 4, 1), n_stages=2, residual_var=0.5)
    >>> kernel = NTKKernel(architecture=network, bias_var=0.1)
    >>> kernel.diag([[1.0] * 16]).round(2)
    array([9.08])
    """
    n_blocks, n_stages = read_count(n_blocks, "n_blocks", 1), read_count(n_stages, "n_stages", 1)

    def block(strides):
        body = (activation, Conv(3, strides), activation, Conv(3, weight_var=residual_var))
        return Residual(body, (Conv(1, strides),) if strides > 1 else ())

    same, halving = block(1), block(2)
    stage = (same,) * (n_blocks - 1)
    stages = (same, *stage) + (halving, *stage) * (n_stages - 1)
    return (input_of(shape), Conv(3), *stages, activation, GlobalAvgPool(), Dense())
