"""Recurrent networks and encoders with attention, on sequences."""

from .._runtime.check import read_count
from ..layers import (
    Dense,
    GlobalAvgPool,
    LayerNorm,
    PositionalEmbedding,
    Recurrent,
    Residual,
    SelfAttention,
)
from ._arguments import choose, input_of


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
        With smaller values, the state forgets faster.

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
    end = choose("readout", readout, {"last": (layer,), "mean": (over_time, GlobalAvgPool())})
    return (input_of(shape), *(over_time,) * (depth - 1), *end, Dense())


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
        Shape of the rows.
    n_blocks : int
        Number of blocks.
    activation : str or activation
        Between the dense layers.
    mechanism : {"softmax", "identity", "relu", "abs"}
        Function that maps scores to attention weights, as in `SelfAttention`.
    score_var : float
        Variance of the weights of queries and keys; larger values focus the attention.
    position_var : float
        Variance of the positional embedding; with zero, the order of positions has no effect.
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
    start = (input_of(shape), Dense(), PositionalEmbedding(position_var, length_scale), LayerNorm())
    return (*start, *block * read_count(n_blocks, "n_blocks"), GlobalAvgPool(), Dense())
