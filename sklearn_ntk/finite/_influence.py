"""Influence of training rows on the predictions of a finite network, by its tangent kernel."""

import numpy as np
from scipy import linalg

from .._runtime.check import read_number
from .._runtime.memory import check_memory
from ._kernels import ntk
from ._readers import no_solution, read_in_double, targets_and_outputs


def influence(
    model, X, y, X_new, alpha, *, outputs="blocks", layers=None, memory="512 MB", check=True
):
    """How much each training row moves each prediction of a trained network.

    The network is replaced by the linear model at its trained parameters, for which leaving out a
    row, with training on the squared error, has a closed form. With ``R = (K + alpha)^-1`` for the
    empirical kernel ``K`` of the training rows, and residuals ``r = y - f(X)``, row i moves the
    prediction at x by ``k(x, X) R_i (alpha R_ii)^-1 r_i``. This is exact for a linear model that
    was trained to the end with this ridge on all its parameters. For other models it is an
    estimate: no formula near the trained parameters knows that training would end in another basin,
    or that it stopped early.

    Parameters
    ----------
    model : torch.nn.Module, MLPRegressor or network of `sample_network`
        A trained network; modules in evaluation mode.
    X : array of shape (n, ...)
        Training rows.
    y : array of shape (n,) or (n, k)
        Their targets.
    X_new : array of shape (m, ...)
        Rows at which predictions are made.
    alpha : float
        Positive ridge, for training on the sum of squares ``1/2 |y - f|^2 + alpha / 2 |w|^2``. For
        optimisers of torch with ``weight_decay`` and ``MSELoss`` over n rows and k outputs, it is
        ``n k weight_decay / 2``. For `MLPRegressor` it is about its own ``alpha``, which excludes
        the biases; the smaller it is, the less that matters. Descent stopped after t steps at the
        rate of `LazyTrainingReport` is like a ridge of about ``n / (learning_rate t)``.
    outputs : {"blocks", "mean"}
        "blocks" uses the kernels between all outputs, a matrix (n k, n k); "mean" uses the mean of
        the kernels of the outputs for all of them.
    layers, memory, check
        As for `empirical_ntk`.

    Returns
    -------
    array of shape (m, n, k)
        Entry (i, j) is the outputs at the new row i minus the outputs without training row j.

    References
    ----------
    P. Koh and P. Liang, "Understanding black-box predictions via influence functions", ICML 2017;
    S. Park et al., "TRAK: attributing model behavior at scale", ICML 2023, who take random
    projections of the gradients in place of the kernel, see `tangent_features`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn_ntk.finite import influence
    >>> X, y = np.arange(6.0)[:, None], np.array([0.0, 1.0, 2.0, 9.0, 4.0, 5.0])
    >>> line = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=1e-4).fit(X, y)
    >>> influence(line, X, y, [[2.5]], alpha=1e-4)[0, :, 0].round(1)
    array([-0.2, -0.2, -0.2,  1. , -0.3, -0.5])
    """
    if outputs not in ("blocks", "mean"):
        raise ValueError(f"outputs must be 'blocks' or 'mean'; got {outputs!r}.")
    alpha = read_number(alpha, "alpha", is_positive=True)
    reader, rows, new = read_in_double(model, X, X_new, layers, check)
    Y, start = targets_and_outputs(reader, rows, y)
    n, k = Y.shape
    b = k if outputs == "blocks" else 1
    need = 8.0 * (3 * (n * b) ** 2 + 2 * len(new) * n * max(k, b * b))
    check_memory(need, "Influences", "take fewer rows, or outputs='mean'")
    R = _matrix(ntk(reader, rows, rows, outputs, memory=memory))
    R[np.diag_indices(n * b)] += alpha
    try:
        factor = linalg.cholesky(R, lower=True, overwrite_a=True)
    except linalg.LinAlgError:
        raise no_solution(alpha) from None
    R = linalg.cho_solve((factor, True), np.eye(n * b))
    shares = _matrix(ntk(reader, new, rows, outputs, memory=memory)) @ R
    own = alpha * R.reshape(n, b, n, b)[np.arange(n), :, np.arange(n)]  # (n, b, b)
    residuals = np.linalg.solve(own, (Y - start).reshape(n, b, -1))  # of leaving out each row
    found = np.einsum("mand,ndc->mnac", shares.reshape(len(new), b, n, b), residuals)
    return found.reshape(len(new), n, k)


def _matrix(K):
    """Kernel (m b, n b) of b outputs."""
    if K.ndim == 2:
        return K
    m, n, b, _ = K.shape
    return K.swapaxes(1, 2).reshape(m * b, n * b)
