"""Base class of the kernels: parameters, Gram matrices, and an optimiser's trials that overflow.

A trial is a value of ``theta`` that an optimiser of the likelihood sets. If the kernel overflows
there, an exception would end the fit; instead the trial gets a very unlikely kernel.
"""

import numbers
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
from sklearn.utils import check_array

from .._compat import CLASSIFIER, likelihood_module
from .._runtime.check import is_number, read_dtype, read_rows
from .._runtime.errors import OutOfRange
from ..activations import as_activation
from ..architectures import mlp
from ..formulas.special import is_variance
from ..gram import diagonal, gradient_x, gram
from ..layers import lower

_TIED = ("weight_var", "bias_var")
"""The hyperparameters, in the order of the last axis of derivatives of `gram.gram`."""

MOST, LEAP = (1e70, 1e290), 1e10
"""A regressor's trial counts as overflowing if the largest variance ``K(x, x)`` exceeds `LEAP`
times that at the first value of theta, clipped to `MOST`: products and powers of kernels must not
overflow. The kernel that it gets instead has this variance."""

MOST_OF_CLASSES, BEYOND_CLASSES = 1e13, 1e5
"""A classifier's trial counts as overflowing beyond the first variance, where factorisations fail.
The kernel that it gets instead has the second one, which is unlikely enough for classifiers."""

SINGLE = 1e9
"""Variance beyond which trials have double precision, since powers might overflow in single."""


class NetworkKernel(Kernel):
    """Base class of `NTKKernel` and `NNGPKernel`, whose ``_get`` is "ntk" or "nngp"."""

    _is_trial = False
    """Whether an optimiser has set ``theta``."""

    _initial_variances = None
    """Hyperparameters (weight_var, bias_var) before the trials."""

    _most = MOST[0]
    """Variance of rows at which a regressor's trial counts as overflowing."""

    _rejected = frozenset()
    """Hyperparameters of the trials that overflowed."""

    def __init__(
        self,
        depth=2,
        activation="relu",
        weight_var=2.0,
        bias_var=1.0,
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

    @property
    def theta(self):
        """Logarithms of the free hyperparameters; setting a different value begins a trial."""
        return super().theta

    @theta.setter
    def theta(self, theta):
        self._is_trial = self._is_trial or not np.array_equal(theta, self.theta)
        Kernel.theta.fset(self, theta)

    @property
    def bounds(self):
        """Bounds of `theta`, which scikit-learn reads before and after its trials.

        If the optimiser ended at a rejected trial, the initial hyperparameters are restored.
        """
        is_rejected = self._is_trial and self._variances() in self._rejected
        if is_rejected and self._initial_variances:
            self.weight_var, self.bias_var = self._initial_variances
            warnings.warn(
                f"The optimiser ends where the kernel overflows, which stays {self!r}, as given: "
                f"add noise to the model, or narrow the bounds of the variances.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._is_trial = False
        return super().bounds

    def _variances(self):
        """The pair of hyperparameters."""
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
        """scikit-learn's `Hyperparameter`, fixed if no layer depends on it or its value is 0."""
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
        """Check all parameters, and lower the network to a `Program`."""
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
        options = {"get": self._get, "dtype": self.dtype, "verbose": self.verbose}
        module = likelihood_module() if same and self._is_trial else None
        try:
            results = gram(program, X, Y, gradient=eval_gradient, **options)
            results = results if eval_gradient else (results,)
            results = self._within(results, module) if same else results
        except OutOfRange:
            if module is None:
                raise
            return self._reject(len(X), eval_gradient, module)
        if not eval_gradient:
            return results[0]
        # theta is in alphabetical order, bias_var before weight_var; gram has weight_var first
        K, gradient = results
        free = [_TIED.index(name) for name in self._free()]
        return K, gradient[..., ::-1] if len(free) == 2 else gradient[..., free]

    @property
    def takes_positions(self):
        """Whether the network has an `Input` layer: rows are images or sequences."""
        return self._program().shape is not None

    def _free(self):
        """Names of the free hyperparameters, in the order of `theta`."""
        return [h.name for h in self.hyperparameters if not h.fixed]

    def _within(self, results, module):
        """K and its derivatives; raises `OutOfRange` for a trial beyond the largest variance.

        ``module`` is `likelihood_module` in a trial, and else None: then the variance is recorded.
        """
        largest = float(results[0].diagonal().max())
        if module is None:
            self._initial_variances = self._variances()
            self._most = float(np.clip(LEAP * largest, *MOST))
            return results
        if largest > (MOST_OF_CLASSES if module == CLASSIFIER else self._most):
            raise OutOfRange(f"The variance {largest:.3g} is too large for a trial.")
        dtype = np.float64 if largest > SINGLE else results[0].dtype
        return [result.astype(dtype, copy=False) for result in results]

    def _reject(self, n, eval_gradient, module):
        """Kernel for a trial that overflows: an unlikely one that grows with the hyperparameters.

        An error would end the fit, and so would a likelihood of zero: the line search of L-BFGS-B
        does not recover from infinity. A large matrix with weak correlations between rows is least
        likely, and its gradient leads back to smaller variances.
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

    def gradient_x(self, X, Y=None, coef=None):
        """Gradients of the kernel ``k(x, y)`` with respect to ``x``, or of sums of kernels.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Where the gradients are wanted.
        Y : array-like of shape (m, d), optional
            The other rows, which stay where they are; defaults to ``X``.
        coef : array-like of shape (m,) or (m, k), optional
            Coefficients of functions ``f(x) = sum_j coef[j] k(x, y_j)``, whose gradients are
            wanted; without positions these cost a few products of matrices beside the kernel's
            derivatives.

        Returns
        -------
        array of shape (n, m, d), or with ``coef`` (n, d) or (n, k, d)
            In units of the kernel, or of the functions, per unit of a column.

        Notes
        -----
        For networks whose activations do not jump; those of images are by pixels, in the order of
        the columns. What counts as the gradient where the kernel has a kink, and how long the
        gradients of images take, is said in `sklearn_ntk.gram.gradient_x`.

        Examples
        --------
        >>> from sklearn_ntk import NNGPKernel
        >>> kernel = NNGPKernel(depth=0, weight_var=2.0, bias_var=0.0)  # 2 x.y / d
        >>> kernel.gradient_x([[1.0, 0.0]], [[3.0, 4.0]])
        array([[[3., 4.]]])
        """
        program = self._program()
        X, Y = _check_rows(X), None if Y is None else _check_rows(Y)
        return gradient_x(program, X, Y, coef, self._get, self.dtype, self.verbose)

    def is_stationary(self):
        """Whether the kernel depends on differences ``x - y`` only: False."""
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
    """Rows in float64; raises errors of scikit-learn, or of `read_rows` where these say more."""
    if np.ma.is_masked(X):
        return read_rows(X)
    try:
        return check_array(X, dtype=np.float64, input_name="X")
    except (TypeError, OverflowError):  # raised for entries such as pandas' NA
        if hasattr(X, "toarray"):
            raise
        return read_rows(X)  # names the entry
