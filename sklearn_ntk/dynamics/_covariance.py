"""Covariances of the outputs of wide networks that start at random and are trained."""

import numpy as np

from .._runtime.check import read_array, read_cross, read_number
from ._arguments import read_shaped


def covariance(training, cross, new, times, start=None, noise=0.0):
    """Covariances, or variances, of trained networks over their initial parameters.

    Initial outputs are a Gaussian process with mean zero and the kernel of the start. After
    training on the same targets, networks have the mean ``training.predict(cross, Y, times)`` and
    this covariance at new rows:

    - networks with all layers trained: the training has the NTK, the start the NNGP;
    - networks with only the last layer trained: both have the NNGP. After infinite time, this is
      the posterior of the Gaussian process of the NNGP;
    - NTKGP, the posterior of the Gaussian process of the NTK: both have the NTK. It belongs to
      networks with random functions added at the start (He et al., 2020).

    Parameters
    ----------
    training : Training
        Training with the kernel by which networks are trained.
    cross : array of shape (m, n)
        This kernel between new rows and training rows.
    new : array of shape (m, m) or (m,)
        Kernel of the start between new rows, or its diagonal for variances alone.
    times : float or array of shape (n_times,)
        Times, or numbers of steps; at least zero, possibly infinite.
    start : tuple of arrays of shape (n, n) and (m, n), optional
        Kernel of the start between training rows, and between new rows and training rows; by
        default the kernel of the training.
    noise : float, default=0.0
        Variance of the targets, divided by the weights of the rows, if each network is trained on
        targets with different noise. With ``training.alpha`` and a single kernel, the limit is the
        posterior of a Gaussian process with this noise.

    Returns
    -------
    array of the shape of ``new``, or with an axis (n_times,) before that
        In units of the kernel, the same for all outputs, without the noise of new observations.

    Raises
    ------
    ValueError
        If an array has a wrong shape or entries that are not finite, or if a time or the noise is
        not a number in its range.

    Notes
    -----
    Outputs at the time t are ``f_0(x) + S (y - f_0(X))`` with the matrix ``S`` of the predictions
    as functions of the targets. With the kernel ``k`` of the start, covariances are ``k(x, x') - S
    k(X, x') - k(x, X) S' + S (k(X, X) + noise W^-1) S'``. With one kernel ``k`` this is diagonal in
    the eigenvectors of its Gram matrix, and variances at many times are one product of matrices;
    with two, each time takes products of ``n^2 m`` operations.

    References
    ----------
    J. Lee et al., "Wide neural networks of any depth evolve as linear models under gradient
    descent", NeurIPS 2019.

    B. He, B. Lakshminarayanan and Y. W. Teh, "Bayesian deep ensembles via the neural tangent
    kernel", NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NNGPKernel, NTKKernel
    >>> from sklearn_ntk.dynamics import Training, covariance
    >>> x, new = np.linspace(-1.0, 1.0, 5)[:, None], np.array([[0.25], [2.0]])
    >>> ntk, nngp = NTKKernel(depth=1, bias_var=0.1), NNGPKernel(depth=1, bias_var=0.1)
    >>> training, start = Training(ntk(x)), (nngp(x), nngp(new, x))
    >>> times = [0.0, 10.0, np.inf]
    >>> np.sqrt(covariance(training, ntk(new, x), nngp.diag(new), times, start)).round(2)
    array([[0.46, 2.43],
           [0.1 , 0.35],
           [0.06, 0.22]])
    """
    if not hasattr(training, "_gains"):
        raise ValueError(
            f"training must be a Training on the squared error, which keeps outputs Gaussian; got "
            f"{type(training).__name__}."
        )
    noise = read_number(noise, "noise")
    cross = read_cross(cross, training._n)
    remedy = "pass the kernel of the start between new rows, or its diagonal"
    new = read_array(new, "new", "an array (m, m) or (m,) of finite numbers", remedy, [1, 2])
    new = read_shaped(new, cross.shape[:1] * new.ndim, "new", remedy)
    if start is None:
        return _of_one_kernel(training, cross, new, times, noise)
    K, start_cross = _read_start(start, cross.shape)
    found = []
    for S in influences(training, cross, times):
        moved = S @ K + noise * S / training._root**2
        if new.ndim == 1:
            found.append(new + np.sum((moved - 2.0 * start_cross) * S, axis=1))
        else:
            crossed = S @ start_cross.T
            found.append(new + moved @ S.T - crossed - crossed.T)
    return _finish(found, new, times)


def influences(training, cross, times):
    """Yield, for each time, the weights (m, n) of the targets in the outputs at m new rows."""
    projected, _ = training._project_cross(cross)
    for gains in np.atleast_2d(training._gains(times)):
        yield (
            gains[:, None] * projected
        ).T @ training._vectors.T * training._root + training._shares


def _of_one_kernel(training, cross, new, times, noise):
    """Result of `covariance` for the kernel that trains."""
    projected, means = training._project_cross(cross)
    reductions = np.atleast_2d(training._reduction(times, noise))
    shift = training._centring(noise) - means
    if new.ndim == 1:
        exponent = int(np.frexp(np.abs(projected).max(initial=0.0))[1])  # squares may overflow
        squares = np.ldexp(projected, -exponent) ** 2
        found = new + 2.0 * shift - np.ldexp(reductions, 2 * exponent) @ squares
    else:
        centred = new + shift[:, None] + shift
        found = [centred - (projected.T * each) @ projected for each in reductions]
    return _finish(found, new, times)


def _finish(found, new, times):
    """Results (n_times, ...) in the shape of the times, without negative variances."""
    found = np.reshape(found, np.shape(times) + new.shape)
    return np.maximum(found, 0.0) if new.ndim == 1 else found


def _read_start(start, shape):
    """Kernel of the start: arrays (n, n) and (m, n), for (m, n)."""
    if not isinstance(start, (tuple, list)) or len(start) != 2:
        raise ValueError(
            f"start must be a tuple of two arrays; got {type(start).__name__}: pass the kernel of "
            f"the start between training rows, and between new rows and training rows."
        )
    remedy = "pass the kernel of the same rows"
    shapes = (shape[1], shape[1]), shape
    names = "start[0]", "start[1]"
    return [read_shaped(*each, remedy) for each in zip(start, shapes, names, strict=True)]
