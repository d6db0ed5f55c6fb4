"""Regression with an empirical kernel from the outputs of the network, also an asymmetric one."""

import numpy as np
from scipy import linalg

from .._runtime.check import read_number
from ._kernels import ntk
from ._outputs import SINGLE, functions_for, signs_for
from ._readers import no_solution, read_in_double, targets_and_outputs


def empirical_regression(
    model,
    X,
    y,
    X_new,
    alpha,
    *,
    formula="sgd",
    outputs="mean",
    layers=None,
    memory="512 MB",
    check=True,
):
    """Outputs after fine-tuning a network, if its kernel stayed as it is.

    These are ``f(x) + k(x, X) (K + alpha)^-1 (y - f(X))`` for the outputs f of the network and its
    empirical kernel; the constant is that of the network. For the asymmetric kernel of the signs of
    gradients, training rows are the second argument, ``K = J sign(J)'``, and the equations are
    solved by LU factorisation. Their solution may be no better than chance, because eigenvalues may
    be near ``-alpha``.

    Parameters
    ----------
    model, X, X_new, formula, layers, memory, check
        As for `empirical_ntk`; ``X`` are the training rows.
    y : array of shape (n,) or (n, k)
        Targets; for classes, their indicators or signs.
    alpha : float
        Ridge, at least zero, in units of the mean diagonal of the kernel, also for ``J sign(J)'``.
    outputs : {"mean"} or int
        The kernel used for all outputs: the mean of the kernels of all outputs, or the kernel of
        one.

    Returns
    -------
    array of shape (m, k)

    References
    ----------
    S. Malladi, A. Wettig, D. Yu, D. Chen and S. Arora, "A kernel-based view of language model
    fine-tuning", ICML 2023.

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn_ntk.finite import empirical_regression
    >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]
    >>> line = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, y)
    >>> empirical_regression(line, X, [5.0, 6.0, 7.0], [[4.0]], alpha=1e-8).round(3)
    array([[9.]])
    """
    alpha, signs = read_number(alpha, "alpha"), signs_for(formula)
    reader, rows, new = read_in_double(model, X, X_new, layers, check)
    functions_for(outputs, reader.n_outputs, SINGLE)  # checks them
    Y, start = targets_and_outputs(reader, rows, y)
    K, cross = (ntk(reader, each, rows, outputs, formula, memory) for each in (rows, new))
    K[np.diag_indices_from(K)] += alpha * K.trace() / len(K)
    way = "pos" if alpha > 0.0 and signs[0] == signs[1] else "gen"
    try:
        dual = linalg.solve(K, Y - start, assume_a=way, overwrite_a=True)
    except linalg.LinAlgError:
        raise no_solution(alpha) from None
    return reader.outputs(new) + cross @ dual
