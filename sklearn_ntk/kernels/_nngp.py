"""The neural network Gaussian-process kernel."""

from functools import wraps
from inspect import signature

from ._network import NetworkKernel


def without(init, name):
    """Constructor ``init`` with one parameter removed from its signature, left at its default."""
    full = signature(init)
    shorter = full.replace(parameters=[p for p in full.parameters.values() if p.name != name])

    @wraps(init)
    def constructor(*args, **kwargs):
        bound = shorter.bind(*args, **kwargs)
        init(*bound.args, **bound.kwargs)

    constructor.__signature__ = shorter
    return constructor


class NNGPKernel(NetworkKernel):
    """Neural network Gaussian-process kernel: the prior of an infinitely wide random network.

    It is the covariance of the outputs of a network whose weights are drawn at random. A Gaussian
    process with this kernel is the exact Bayesian posterior of the infinitely wide network.

    Parameters
    ----------
    depth : int, default=2
        Number of hidden layers; 0 is a linear model.
    activation : str or object of `sklearn_ntk.activations`, default="relu"
        Activation of all hidden layers.
    weight_var : float, default=2.0
        Variance of the weights; 2 preserves the variance of signals in a ReLU network of any depth.
    bias_var : float, default=1.0
        Variance of the biases; 0 is allowed, and Gaussian processes then do not optimise it.
    column_layers : int, default=0
        Number of hidden layers, counted from the input, that take columns one by one: each of their
        neurons sees a single column, and each column has the same number of neurons (see
        `architectures.column_mlp`). The time of the kernel is multiplied by the number of columns.
        If all hidden layers do this, the network is a sum of functions of single columns.
    architecture : tuple of layers, optional
        Any network, in place of ``depth``, ``activation`` and ``column_layers``. Layers whose
        variances are None take ``weight_var`` and ``bias_var``.
    length_scale : float or array of shape (d,), optional
        One number, or one for each column, by which rows are divided before the network sees them:
        the input covariance is ``sum_j x_j y_j / (d length_scale_j^2)``. Gaussian processes learn
        length scales unless ``length_scale_bounds="fixed"``, which is required for images (where
        the length scale is one number), with ``column_layers``, and with activations that jump,
        such as "step".
    weight_var_bounds, bias_var_bounds, length_scale_bounds : pair of floats or "fixed"
        Bounds for hyperparameters that Gaussian processes optimise; the defaults are (1e-3, 1e3),
        (1e-5, 1e2) and (1e-5, 1e5). Trials at which the kernel overflows count as very unlikely and
        do not end the fit. A fit without noise, for which all likelihoods are lower than that, may
        still end there; it then keeps the kernel as given, with a warning.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the results; single precision takes half the memory and half the time.
    device : {None, "cpu", "cuda"} or "cuda:" and a number, default=None
        Where the kernel is computed: on the CPU, or on a GPU by CuPy. With None it is computed
        where the rows are. Arrays of NumPy give arrays of NumPy, arrays of CuPy arrays of CuPy.
    verbose : int, default=0
        Whether to print progress and an estimate of the remaining time.

    See Also
    --------
    NTKKernel : Kernel of the same network under training by gradient descent.

    References
    ----------
    J. Lee et al., "Deep neural networks as Gaussian processes", ICLR 2018.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> kernel = NNGPKernel(depth=1, bias_var=0.0)
    >>> kernel([[1.0, 0.0], [0.0, 1.0]]).round(4)
    array([[1.    , 0.3183],
           [0.3183, 1.    ]])
    """

    _get = "nngp"

    __init__ = without(NetworkKernel.__init__, "n_frozen")
