"""Kernels of infinitely wide networks on scikit-learn's Gaussian-process kernel API."""

import numbers
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
from sklearn.utils import check_array

from ._check import is_number, read_dtype, read_rows
from ._compat import CLASSIFIER, served
from ._errors import OutOfRange
from ._special import is_variance
from .activations import as_activation
from .architectures import mlp
from .gram import diagonal, gram
from .layers import lower

_TIED = ("weight_var", "bias_var")

MOST, LEAP = (1e70, 1e290), 1e10
"""Variance of rows at which a regressor's trial overflows: so much more than where it starts, in
these bounds, in which products and powers of kernels have room. A trial beyond has this variance.
"""

MOST_OF_CLASSES, BEYOND_CLASSES = 1e13, 1e5
"""The same for classifiers, whose factorisations fail on more, and what a trial beyond has: they
add 1 to it, so that this is unlikely enough."""

SINGLE = 1e9
"""Variance of rows beyond which trials have double precision, since powers might overflow."""


class _NetworkKernel(Kernel):
    """What the kernels of a network share; ``_get`` names which of its kernels this is."""

    n_frozen = 0
    _is_trial = False
    _given, _most = None, MOST[0]
    _rejected = frozenset()

    @property
    def theta(self):
        """Logarithms of the free hyperparameters; setting others than before is a trial."""
        return super().theta

    @theta.setter
    def theta(self, theta):
        self._is_trial = self._is_trial or not np.array_equal(theta, self.theta)
        Kernel.theta.fset(self, theta)

    @property
    def bounds(self):
        """Bounds of `theta`; scikit-learn asks for them before and after its trials."""
        if self._is_trial and self._given and self._variances() in self._rejected:
            self.weight_var, self.bias_var = self._given
            warnings.warn(
                f"The optimiser ends where the kernel overflows, which stays {self!r}, as given: "
                f"add noise to the model, or narrow the bounds of the variances.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._is_trial = False
        return super().bounds

    def _variances(self):
        return self.weight_var, self.bias_var

    @property
    def hyperparameter_weight_var(self):
        """The variance of all weights that the architecture leaves to the kernel."""
        return self._hyperparameter("weight_var")

    @property
    def hyperparameter_bias_var(self):
        """The variance of all biases that the architecture leaves to the kernel."""
        return self._hyperparameter("bias_var")

    def _hyperparameter(self, name):
        tied = self._program().ties[_TIED.index(name)]
        bounds = getattr(self, f"{name}_bounds")
        free = tied and getattr(self, name) > 0
        return Hyperparameter(name, "numeric", bounds if free else "fixed")

    def _check_parameters(self):
        for name in _TIED:
            value = getattr(self, name)
            if not is_variance(value) or (name == "weight_var" and value == 0):
                sign = ">" if name == "weight_var" else ">="
                raise ValueError(f"{name} must be a finite number {sign} 0; got {value!r}.")
        for name in ("depth", "n_frozen"):
            value = getattr(self, name)
            if not (isinstance(value, numbers.Integral) and is_number(value)) or value < 0:
                raise ValueError(f"{name} must be an integer >= 0; got {value!r}.")
        read_dtype(self.dtype)

    def _program(self):
        """The network as a program; this is where the parameters are checked."""
        self._check_parameters()
        layers = self.architecture
        if layers is None:
            layers = mlp(self.depth, as_activation(self.activation))
        program = lower(layers, self.weight_var, self.bias_var, self.n_frozen)
        if program.n_outputs > 1:
            raise ValueError(
                f"A kernel needs a network with one output, its end; got {program.n_outputs}: "
                f"remove the Output layers, or use sklearn_ntk.gram.gram."
            )
        if self._get == "ntk" and not program.is_trained:
            raise ValueError(
                "The NTK of a network without a trained layer is zero: leave one unfrozen."
            )
        return program

    def __call__(self, X, Y=None, eval_gradient=False):
        """Gram matrix of the rows of ``X``, or between those of ``X`` and ``Y``.

        Parameters
        ----------
        X : array-like of shape (n, d)
        Y : array-like of shape (m, d), optional
            If left out, or the same object as ``X``, the matrix is symmetric to the bit.
        eval_gradient : bool
            Also return the gradient with respect to the logarithms of the free hyperparameters,
            in the order of `theta`; only without ``Y``.

        Returns
        -------
        K : array of shape (n, m)
        gradient : array of shape (n, n, n_free), if ``eval_gradient``
        """
        if eval_gradient and Y is not None:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        program = self._program()
        same = Y is None or Y is X
        X = _check_rows(X)
        Y = X if same else _check_rows(Y)
        how = {"get": self._get, "dtype": self.dtype, "verbose": self.verbose}
        module = served() if same and self._is_trial else None
        try:
            found = gram(program, X, Y, gradient=eval_gradient, **how)
            found = found if eval_gradient else (found,)
            found = self._within(found, module) if same else found
        except OutOfRange:
            if module is None:
                raise
            return self._reject(len(X), eval_gradient, module)
        if not eval_gradient:
            return found[0]
        # theta is alphabetical, bias_var before weight_var, while gram has the weights first
        free = [_TIED.index(name) for name in self._free()]
        return found[0], found[1][..., ::-1] if len(free) == 2 else found[1][..., free]

    def _free(self):
        return [h.name for h in self.hyperparameters if not h.fixed]

    def _within(self, found, module):
        """Results for a likelihood; a trial that leaves no room for powers of them overflows."""
        largest = float(found[0].diagonal().max())
        if module is None:
            self._given, self._most = self._variances(), float(np.clip(LEAP * largest, *MOST))
            return found
        if largest > (MOST_OF_CLASSES if module == CLASSIFIER else self._most):
            raise OutOfRange(f"The variance {largest:.3g} is too large for a trial.")
        dtype = np.float64 if largest > SINGLE else found[0].dtype
        return [part.astype(dtype, copy=False) for part in found]

    def _reject(self, n, eval_gradient, module):
        """What a trial that overflows gets: an unlikely kernel that grows with all variances.

        An error would end the fit, and so would a likelihood of zero: the line search of L-BFGS-B
        does not get on from infinity. Of all matrices, large ones with little in common between
        rows are least likely, and their gradient leads back to smaller variances.
        """
        self._rejected |= {self._variances()}
        free = self._free()
        scale = BEYOND_CLASSES if module == CLASSIFIER else self._most
        scale *= np.sqrt(np.prod([getattr(self, name) for name in free]))
        K = scale * (0.5 + 0.5 * np.eye(n))
        return (K, np.repeat(0.5 * K[..., np.newaxis], len(free), axis=2)) if eval_gradient else K

    def diag(self, X):
        """Diagonal of the Gram matrix of the rows of ``X``, in linear time.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        array of shape (n,)
        """
        return diagonal(self._program(), _check_rows(X), get=self._get, dtype=self.dtype)

    def is_stationary(self):
        """Whether the kernel depends on differences only: it does not."""
        return False

    def __repr__(self):
        shown = [("depth", self.depth), ("activation", self.activation)]
        if self.architecture is not None:
            shown = [("architecture", self.architecture)]
        if self.n_frozen:
            shown.append(("n_frozen", self.n_frozen))
        if self.dtype != "float64":
            shown.append(("dtype", self.dtype))
        texts = [f"{name}={value!r}" for name, value in shown]
        for name in _TIED:
            value = getattr(self, name)
            texts.append(f"{name}={value:.3g}" if is_variance(value) else f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(texts)})"


def _check_rows(X):
    if np.ma.is_masked(X):
        return read_rows(X)
    try:
        return check_array(X, dtype=np.float64, input_name="X")
    except (TypeError, OverflowError):  # of entries, such as pandas' NA
        if hasattr(X, "toarray"):
            raise
        return read_rows(X)  # says which one


class NTKKernel(_NetworkKernel):
    """Neural tangent kernel of an infinitely wide network.

    Gradient descent on a wide network is kernel regression with this kernel. A dense layer is
    ``y = sqrt(weight_var / n_in) W x + sqrt(bias_var) b`` with standard normal entries, and rows
    of length ``d`` enter with covariance ``x.y / d``.

    Parameters
    ----------
    depth : int, default=3
        Number of hidden layers; 0 is a linear model.
    activation : str or object of `sklearn_ntk.activations`, default="relu"
        Activation of all hidden layers.
    weight_var : float, default=2.0
        Variance of the weights; 2 keeps the variance of a ReLU network at any depth.
    bias_var : float, default=0.1
        Variance of the biases; 0 is allowed, and then it is not optimised.
    n_frozen : int, default=0
        So many of the first layers are not trained.
    architecture : tuple of layers, optional
        Any network, in place of ``depth`` and ``activation``; layers that leave their variances at
        None take those of the kernel.
    weight_var_bounds, bias_var_bounds : pair of floats or "fixed"
        Bounds for the optimisation of hyperparameters by Gaussian-process estimators. Trials
        within them at which the kernel overflows count as very unlikely, and end no fit.
    dtype : {"float64", "float32"}
        Precision of the matrices; single precision takes half of the memory and of the time.
    verbose : int, default=0
        Whether to print how far a Gram matrix is and how long it will take.

    See Also
    --------
    NNGPKernel : Kernel of the same network at random initialisation.

    References
    ----------
    A. Jacot, F. Gabriel and C. Hongler, "Neural tangent kernel: convergence and generalization in
    neural networks", NeurIPS 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import WhiteKernel
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ntk import NTKKernel
    >>> X, y = load_diabetes(return_X_y=True)
    >>> kernel = NTKKernel(depth=2) + WhiteKernel()
    >>> gpr = GaussianProcessRegressor(kernel, normalize_y=True).fit(scale(X), y)
    >>> print(f"{gpr.score(scale(X), y):.2f}")
    0.65
    """

    _get = "ntk"

    def __init__(
        self,
        depth=3,
        activation="relu",
        weight_var=2.0,
        bias_var=0.1,
        *,
        n_frozen=0,
        architecture=None,
        weight_var_bounds=(1e-3, 1e3),
        bias_var_bounds=(1e-5, 1e2),
        dtype="float64",
        verbose=0,
    ):
        self.depth = depth
        self.activation = activation
        self.weight_var = weight_var
        self.bias_var = bias_var
        self.n_frozen = n_frozen
        self.architecture = architecture
        self.weight_var_bounds = weight_var_bounds
        self.bias_var_bounds = bias_var_bounds
        self.dtype = dtype
        self.verbose = verbose


class NNGPKernel(_NetworkKernel):
    """Neural network Gaussian-process kernel: the prior of an infinitely wide random network.

    The covariance of the outputs of a network whose weights are drawn at random. A Gaussian
    process with this kernel is the exact Bayesian posterior of the infinitely wide network.

    Parameters
    ----------
    depth : int, default=3
        Number of hidden layers; 0 is a linear model.
    activation : str or object of `sklearn_ntk.activations`, default="relu"
        Activation of all hidden layers.
    weight_var : float, default=2.0
        Variance of the weights; 2 keeps the variance of a ReLU network at any depth.
    bias_var : float, default=0.1
        Variance of the biases; 0 is allowed, and then it is not optimised.
    architecture : tuple of layers, optional
        Any network, in place of ``depth`` and ``activation``; layers that leave their variances at
        None take those of the kernel.
    weight_var_bounds, bias_var_bounds : pair of floats or "fixed"
        Bounds for the optimisation of hyperparameters by Gaussian-process estimators. Trials
        within them at which the kernel overflows count as very unlikely, and end no fit.
    dtype : {"float64", "float32"}
        Precision of the matrices; single precision takes half of the memory and of the time.
    verbose : int, default=0
        Whether to print how far a Gram matrix is and how long it will take.

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

    def __init__(
        self,
        depth=3,
        activation="relu",
        weight_var=2.0,
        bias_var=0.1,
        *,
        architecture=None,
        weight_var_bounds=(1e-3, 1e3),
        bias_var_bounds=(1e-5, 1e2),
        dtype="float64",
        verbose=0,
    ):
        self.depth = depth
        self.activation = activation
        self.weight_var = weight_var
        self.bias_var = bias_var
        self.architecture = architecture
        self.weight_var_bounds = weight_var_bounds
        self.bias_var_bounds = bias_var_bounds
        self.dtype = dtype
        self.verbose = verbose
