"""Random features: columns whose inner products approximate the kernel of a perceptron."""

import numbers
from contextlib import suppress
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._compat import DocumentationLink, Interval, StrOptions, _fit_context
from .._runtime.check import read_dtype
from .._runtime.chunks import chunks
from .._runtime.errors import OutOfRange
from .._runtime.memory import check_memory
from ..activations import as_activation
from ..finite._random_features import draw_features, shapes_of
from ._rows import check_columns, of_numpy


class NTKRandomFeatures(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, DocumentationLink, BaseEstimator
):
    """Features whose inner products approximate the kernel of an infinitely wide perceptron.

    A random network with the kernel's parameters turns rows into features ``F``, and ``F @ F.T``
    tends to the Gram matrix of `NNGPKernel` or `NTKKernel`, with errors of order ``1 /
    sqrt(n_components)``. Nothing is learned: `fit` only needs the number of columns, and equal
    seeds give equal features in any process. Use it for streams, and where rows must not leave
    their place. If some rows are at hand, scikit-learn's `Nystroem` and
    ``NTKRegressor(solver="nystroem")`` approximate the kernel better, and predict better, at equal
    cost.

    Parameters
    ----------
    n_components : int, default=1000
        Number of random features, and width of the hidden layers. A constant feature is added if
        ``bias_var`` is positive.
    kernel : {"nngp", "ntk"}, default="nngp"
        The kernel to approximate. Features of the NNGP take half the time of features of the NTK,
        and are closer to their kernel.
    depth : int, default=2
        Number of hidden layers, at least 1.
    activation : str or object of `sklearn_ntk.activations`, default="relu"
        Activation of all hidden layers.
    weight_var : float, default=2.0
        Variance of the weights; 2 preserves the variance of signals in a ReLU network of any depth.
    bias_var : float, default=1.0
        Variance of the biases; 0 is allowed.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the results; single precision takes half the memory and half the time.
    random_state : int, RandomState instance or None, default=None
        Controls the random network.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)

    See Also
    --------
    NNGPKernel, NTKKernel : The kernels.
    sklearn_ntk.finite.tangent_features : Features of the kernel of one finite network.

    Notes
    -----
    For perceptrons whose activation is given as a function with a known derivative. A layer of n
    units with the weights ``W`` turns features ``z`` of the NNGP, at first the rows themselves,
    into ``sqrt(weight_var / n) f(z W)`` and ``sqrt(bias_var)``. Each column of ``W`` is standard
    normal; columns are orthogonal in blocks, which lowers the error (F. X. Yu et al., "Orthogonal
    random features", NeurIPS 2016). Features ``t`` of the NTK become ``sqrt(weight_var / n) (f(z W)
    + f'(z W) (t G))`` and ``sqrt(bias_var)``, with a random matrix ``G`` and entrywise products;
    products of the two terms vanish on average. These are sketches of products of features, as in
    A. Zandieh, I. Han et al. ("Scaling neural tangent kernels via sketching and random features",
    NeurIPS 2021); they share their units with the derivatives, so that one column serves both
    terms of the kernel.

    Averaged over ``W`` and ``G`` of the last layer, inner products are exactly what this layer, if
    infinitely wide, would make of the inner products of the features before it. With one hidden
    layer they are therefore unbiased; with more, the errors of the layers before cause a bias of
    order ``1 / n_components``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NNGPKernel, NTKRandomFeatures
    >>> X = np.random.default_rng(0).normal(size=(5, 3))
    >>> F = NTKRandomFeatures(2000, random_state=0).fit_transform(X)
    >>> F.shape
    (5, 2001)
    >>> K = NNGPKernel()(X)
    >>> bool(np.linalg.norm(F @ F.T - K) < 0.1 * np.linalg.norm(K))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(numbers.Integral, 1, None, closed="left")],
        "kernel": [StrOptions({"nngp", "ntk"})],
        "depth": [Interval(numbers.Integral, 1, None, closed="left")],
        "activation": "no_validation",  # the errors of these two say more
        "dtype": "no_validation",
        "weight_var": [Interval(numbers.Real, 0, None, closed="neither")],
        "bias_var": [Interval(numbers.Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=1000,
        *,
        kernel="nngp",
        depth=2,
        activation="relu",
        weight_var=2.0,
        bias_var=1.0,
        dtype="float64",
        random_state=None,
    ):
        self.n_components = n_components
        self.kernel = kernel
        self.depth = depth
        self.activation = activation
        self.weight_var = weight_var
        self.bias_var = bias_var
        self.dtype = dtype
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    @of_numpy
    def fit(self, X, y=None):
        """Draw the random network for rows with as many columns as these.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Any rows; only their number of columns matters.
        y : None

        Returns
        -------
        self
        """
        activation, dtype = as_activation(self.activation), read_dtype(self.dtype)
        check_columns(X)
        X, is_ntk = validate_data(self, X, dtype=dtype), self.kernel == "ntk"
        shapes = shapes_of(X.shape[1], self.n_components, self.depth, self.bias_var > 0.0)
        n_bytes = 8.0 * (1 + is_ntk) * sum(map(np.prod, shapes)) + 24.0 * np.prod(shapes[-1])
        what = f"A random network with {self.depth} hidden layers of {self.n_components} units"
        check_memory(n_bytes, what, "take fewer components")
        variances = float(self.weight_var), float(self.bias_var)
        rng = check_random_state(self.random_state)
        self._network = draw_features(shapes, activation, variances, rng, is_ntk, dtype)
        self._n_features_out = self.n_components + (self.bias_var > 0.0)
        return self

    @of_numpy
    def transform(self, X):
        """Features of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_components) or (n_samples, n_components + 1)
            The constant feature comes last.
        """
        check_is_fitted(self)
        dtype = self._network.layers[0].weights.dtype
        check_columns(X)
        X = validate_data(self, X, dtype=dtype, reset=False)
        shape = len(X), self._n_features_out
        n_bytes = float(dtype.itemsize) * shape[0] * shape[1]
        check_memory(n_bytes, f"An array of features of shape {shape}", "take fewer rows at a time")
        found = np.empty(shape, dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for rows in chunks(len(X), max(X.shape[1], shape[1])):  # of which there are copies
                found[rows] = self._network.features(X[rows])
        if not np.isfinite(found).all():
            raise OutOfRange(
                f"Features overflow for entries of X of up to {np.abs(X).max():.3g}: scale the "
                f"columns."
            )
        return found

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        with suppress(ValueError):  # of a dtype that fits refuse
            tags.transformer_tags.preserves_dtype = [read_dtype(self.dtype).name]
        return tags
