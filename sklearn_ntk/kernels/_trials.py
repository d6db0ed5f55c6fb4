"""An optimiser's trials of hyperparameters at which a kernel overflows.

A trial is a value of ``theta`` that an optimiser of the likelihood sets. If the kernel overflows
there, an exception would end the fit; instead the trial gets a very unlikely kernel.
"""

import warnings
from functools import cache

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import Kernel

from .._compat import CLASSIFIER
from .._runtime.errors import OutOfRange

MOST, LEAP = (1e70, 1e290), 1e10
"""A regressor's trial counts as overflowing if the largest variance ``K(x, x)`` exceeds `LEAP`
times that at the first value of theta, clipped to `MOST`: products and powers of kernels must not
overflow. The kernel that it gets instead has this variance."""

MOST_OF_CLASSES, BEYOND_CLASSES = 1e13, 1e5
"""A classifier's trial counts as overflowing beyond the first variance, where factorisations fail.
The kernel that it gets instead has the second one, which is unlikely enough for classifiers."""

LENGTHS = -0.05
"""Power at which that kernel depends on the geometric mean of length scales, in units of their
lower bounds: a factor between 0.3 and 1 within the bounds that they have by default."""

SINGLE = 1e9
"""Variance beyond which trials have double precision, since powers might overflow in single."""


class TrialKernel(Kernel):
    """Base class of kernels that know an optimiser's trials, and can reject them."""

    _is_trial = False
    """Whether an optimiser has set ``theta``."""

    _initial = None
    """Values of the hyperparameters before the trials, by name."""

    _most = MOST[0]
    """Variance of rows at which a regressor's trial counts as overflowing."""

    _rejected = frozenset()
    """Values of ``theta``, as tuples, of the trials that overflowed."""

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

        If the optimiser ended at a rejected trial, the initial hyperparameters are restored; the
        likelihood that scikit-learn keeps is that of the trial. That happens where honest kernels
        are nearly singular, so that the likelihood of targets is less than that of `_reject`.
        """
        if self._is_trial and self._initial and tuple(self.theta) in self._rejected:
            self.set_params(**self._initial)
            warnings.warn(
                f"The optimiser ends where the kernel overflows, which stays {self!r}, as given, "
                f"and log_marginal_likelihood_value_ is not that of this kernel: add noise to the "
                f"model, or narrow the bounds of the hyperparameters.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._is_trial = False
        return super().bounds

    def _free(self):
        """The free hyperparameters, in the order of `theta`."""
        return [h for h in self.hyperparameters if not h.fixed]

    def _within(self, results, module):
        """K and its derivatives; raises `OutOfRange` for a trial beyond the largest variance.

        ``module`` is `likelihood_module` in a trial, and else None: then the variance is recorded.
        """
        diagonal = results[0].diagonal()
        largest = float(diagonal.max()) if len(diagonal) else 0.0
        if module is None:
            self._initial = {name: getattr(self, name) for name in _names(type(self))}
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
        likely, and its gradient leads back to smaller variances and to larger length scales.
        """
        self._rejected |= {tuple(self.theta)}
        powers, units = [], []  # of all hyperparameters
        for h in self._free():
            is_length = h.name == "length_scale"
            powers += [LENGTHS / h.n_elements if is_length else 0.5] * h.n_elements
            units += h.bounds[:, 0].tolist() if is_length else [1.0]
        scale = BEYOND_CLASSES if module == CLASSIFIER else self._most
        scale *= np.exp(powers @ (self.theta - np.log(units)))
        K = scale * (0.5 + 0.5 * np.eye(n))
        return (K, K[..., np.newaxis] * powers) if eval_gradient else K


@cache
def _names(cls):
    """Names of the hyperparameters of a class of kernels."""
    start = "hyperparameter_"
    return [name.removeprefix(start) for name in dir(cls) if name.startswith(start)]
