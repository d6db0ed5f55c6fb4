"""Support vector machines of scikit-learn on Gram matrices of any size."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from .._runtime.threads import run_apart

MOST_STEPS = 1_000_000
"""Most iterations; they are about ten times the number of rows."""

LARGEST_C = 1e100
"""Replaces an infinite C, as libsvm needs a number; the kernel is scaled to about one."""


def standardise(K):
    """Centred Gram matrix divided by ``2**exponent``, column means of K, and the exponent.

    A support vector machine with an intercept has the same solution for it, with C multiplied by
    ``2**exponent``. libsvm does not converge on entries that are large and nearly equal. K is
    overwritten.
    """
    shares = np.full(len(K), 1.0 / len(K))
    means = shares @ K
    K -= means
    K -= (K @ shares)[:, None]
    exponent = int(np.frexp(shares @ np.abs(K.diagonal()))[1])
    return np.ldexp(K, -exponent, out=K), means, exponent


def fit_svc(K, y, C, weights):
    """Fitted support vector machine; warns if it has not converged.

    It is fitted in another thread, since libsvm does not react to Ctrl-C.
    """
    C = float(np.clip(C, np.finfo(float).tiny, LARGEST_C))
    model = SVC(kernel="precomputed", C=C, max_iter=MOST_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the one below advises better
        run_apart(lambda: model.fit(K, y, sample_weight=weights))
    if model.fit_status_:
        warnings.warn(
            f"The hinge loss has not converged after {MOST_STEPS} steps: take a smaller C, or "
            f"scale the data.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return model
