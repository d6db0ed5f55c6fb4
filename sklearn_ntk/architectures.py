"""Families of networks: functions that return a tuple of layers, which users may edit.

Networks on images and sequences begin with the shape of the rows, ``(height, width, channels)`` or
``(time, channels)``, in the order of ``ravel()``; volumes have an axis more.
"""

from ._runtime.check import read_count
from .layers import (
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Input,
    LayerNorm,
    PositionalEmbedding,
    Recurrent,
    Residual,
    SelfAttention,
)

_MYRTLE = {5: (2, 1, 1), 7: (2, 2, 2), 10: (3, 3, 3)}
_READOUTS = {"pool": GlobalAvgPool(), "flatten": Flatten()}


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
    return (Dense(), activation) * read_count(depth, "depth") + (Dense(),)


def column_mlp(n_columns, depth=2, activation="relu", column_layers=1):
    """Perceptron on tables, whose first hidden layers take columns one by one.

    Every column has infinitely many neurons of its own there, with the same distribution; the next
    layer, or the output, sees the neurons of all columns. Such layers are an embedding of the
    columns in Y. Gorishniy, I. Rubachev and A. Babenko, "On embeddings for numerical features in
    tabular deep learning", NeurIPS 2022. Where all hidden layers are such, the network is a sum of
    functions of the columns, as in R. Agarwal et al., "Neural additive models", NeurIPS 2021.

    Parameters
    ----------
    n_columns : int
        Of the rows.
    depth : int
        Number of hidden layers.
    activation : str or activation
        Of all hidden layers.
    column_layers : int
        How many of them take columns one by one, at least one.

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


def cnn(shape, depth=3, readout="pool", activation="relu", filter_size=3):
    """Convolutional network of ``depth`` convolutions, each with an activation, and a readout.

    R. Novak et al., "Bayesian deep convolutional networks with many channels are Gaussian
    processes", ICLR 2019; S. Arora et al., "On exact computation with an infinitely wide neural
    net", NeurIPS 2019, who count the last layer as well: their depth is one more.

    Parameters
    ----------
    shape : tuple of int
        Of the rows.
    depth : int
        Number of convolutions.
    readout : {"pool", "flatten"}
        The mean over all positions, or weights for each position. Pooling takes as many times
        longer as there are positions.
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
    return (_input(shape), *convolutions, _choose("readout", readout, _READOUTS), Dense())


def myrtle(shape, n_layers=5, activation="relu"):
    """Myrtle network: convolutions over 3 x 3 pixels, and poolings over 2 x 2 in between.

    V. Shankar et al., "Neural kernels without tangents", ICML 2020. Four, six or nine convolutions
    in three groups, with an average pooling behind the first and the second group, then a global
    one, and a dense layer.

    Parameters
    ----------
    shape : tuple of int
        Of the rows; at least 4 pixels along each axis.
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
    numbers, pool = _choose("n_layers", n_layers, _MYRTLE), AvgPool(2)
    first, second, third = ((Conv(3), activation) * number for number in numbers)
    return (_input(shape), *first, pool, *second, pool, *third, GlobalAvgPool(), Dense())


def resnet(shape, n_blocks=1, n_stages=3, activation="relu", residual_var=None):
    """Residual network of ``n_stages`` times ``n_blocks`` blocks of two convolutions.

    The blocks are those of S. Zagoruyko and N. Komodakis, "Wide residual networks", BMVC 2016,
    without normalisation. Each stage but the first halves the grid: its first block strides, and
    so does the convolution of size one on its shortcut.

    Parameters
    ----------
    shape : tuple of int
        Of the rows.
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
    return (_input(shape), Conv(3), *stages, activation, GlobalAvgPool(), Dense())


def recurrent(shape, depth=1, activation="relu", readout="last", recurrent_var=None):
    """Recurrent network of ``depth`` Elman layers, each with the states of the one before as input.

    S. Alemohammad et al., "The recurrent neural tangent kernel", ICLR 2021.

    Parameters
    ----------
    shape : (int, int)
        Time and channels of the rows.
    depth : int
        Number of recurrent layers, at least one.
    activation : str or activation
    readout : {"last", "mean"}
        The last state, or the mean of all states.
    recurrent_var : float, optional
        Variance of the weights from one state to the next; None takes the kernel's ``weight_var``.
        With smaller ones the state forgets faster.

    Returns
    -------
    tuple of layers

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.architectures import recurrent
    >>> kernel = NTKKernel(architecture=recurrent((3, 1)), bias_var=0.0)
    >>> kernel([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).round(3)
    array([[8.   , 0.637],
           [0.637, 4.   ]])
    """
    depth = read_count(depth, "depth", 1)
    layer = Recurrent(activation, recurrent_var=recurrent_var)
    over_time = layer._replace(return_sequences=True)
    end = _choose("readout", readout, {"last": (layer,), "mean": (over_time, GlobalAvgPool())})
    return (_input(shape), *(over_time,) * (depth - 1), *end, Dense())


def transformer(
    shape,
    n_blocks=1,
    activation="relu",
    *,
    mechanism="softmax",
    score_var=1.0,
    position_var=1.0,
    length_scale=None,
):
    """Encoder of ``n_blocks`` blocks of attention and dense layers; the readout is the mean.

    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, in the limit of infinitely many
    heads (J. Hron et al., "Infinite attention", ICML 2020): each block is attention and then two
    dense layers at each position, both residual and followed by a layer normalisation.

    Parameters
    ----------
    shape : tuple of int
        Of the rows.
    n_blocks : int
        Number of blocks.
    activation : str or activation
        Between the dense layers.
    mechanism : {"softmax", "identity", "relu", "abs"}
        Function that maps scores to attention weights, as in `SelfAttention`.
    score_var : float
        Variance of the weights of queries and keys; greater ones focus the attention.
    position_var : float
        Variance of the positional embedding; with zero the order of positions has no effect.
    length_scale : float, optional
        Length scale of the correlations of positions; None makes them independent.

    Returns
    -------
    tuple of layers

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.architectures import transformer
    >>> X = [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]
    >>> NTKKernel(architecture=transformer((3, 1)), bias_var=0.1)(X).round(2)
    array([[7.75, 7.57],
           [7.57, 7.75]])
    >>> NTKKernel(architecture=transformer((3, 1), position_var=0.0), bias_var=0.1)(X).round(2)
    array([[8.47, 8.47],
           [8.47, 8.47]])
    """
    attention = SelfAttention(score_var, score_var, mechanism=mechanism)
    dense = Residual((Dense(), activation, Dense()))
    block = (Residual((attention,)), LayerNorm(), dense, LayerNorm())
    start = (_input(shape), Dense(), PositionalEmbedding(position_var, length_scale), LayerNorm())
    return (*start, *block * read_count(n_blocks, "n_blocks"), GlobalAvgPool(), Dense())


def _choose(name, key, table):
    """Entry of a table for the argument ``name``; raises ValueError that lists the keys."""
    if not isinstance(key, (str, int)) or key not in table:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, table))}; got {key!r}.")
    return table[key]


def _input(shape):
    """`Input` of a shape; raises TypeError if it is no tuple."""
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            f"shape must be a tuple, (height, width, channels) or (time, channels); got {shape!r}."
        )
    return Input(*shape)
