"""Eigenvalues and eigenfunctions of a kernel on rows, and what they say of targets."""

import numpy as np

from .._runtime.check import read_array, read_count, read_cross, read_flag, read_gram, read_targets
from ..gram._spectrum import eigenvectors, non_negative
from ._alignment import alignment
from ._eigenlearning import learning_curve, read_sizes

NEGLIGIBLE = 1e-8
"""Share of the norm of the targets that may lie along eigenvectors of eigenvalue zero."""


class Spectrum:
    """Eigenvalues and eigenfunctions of a kernel on n rows.

    `from_kernel` makes one from a kernel and rows; its eigenfunctions are defined everywhere.

    Parameters
    ----------
    K : array of shape (n, n)
        Gram matrix of the rows, positive semi-definite.

    Attributes
    ----------
    eigenvalues : array of shape (n,)
        Eigenvalues of ``K``, in decreasing order; those below rounding are zero. Divided by n, they
        estimate the eigenvalues of the kernel as an operator over the distribution of the rows.
    eigenvectors : array of shape (n, n)
        Columns of unit length, in the order of the eigenvalues. The largest entry of each is
        positive.
    rank : int
        Number of eigenvalues that are not zero.
    mean_diagonal : float
        ``tr(K) / n``, the mean variance of the rows.

    Raises
    ------
    ValueError
        If ``K`` is not symmetric, or has negative eigenvalues beyond rounding.

    Notes
    -----
    The eigenfunction of ``K u = L u`` is ``phi(x) = sqrt(n) k(x, X) u / L`` (Nystroem's extension).
    On the rows it is ``sqrt(n) u``, with mean square one. Ridge regression multiplies the component
    of the targets along it by ``L / (L + alpha)``, gradient flow by ``1 - exp(-L t / n)``:
    components with large eigenvalues are learned first.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.spectrum import Spectrum
    >>> angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    >>> X = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    >>> spectrum = Spectrum.from_kernel(NTKKernel(depth=1, bias_var=0.0), X)
    >>> spectrum.eigenvalues[:6].round(2)
    array([14.62, 12.  , 12.  ,  3.81,  3.81,  0.44])
    >>> spectrum.cumulative_alignment(np.cos(2.0 * angles))[[2, 4]].round(2)
    array([0., 1.])
    >>> round(spectrum.effective_dimension(0.1), 1)
    10.4
    """

    def __init__(self, K):
        self._K = read_gram(K)
        values, vectors = eigenvectors(self._K.T)
        values = non_negative(values, 0.0, np.abs(self._K.diagonal()).mean())
        self.eigenvalues, vectors = values[::-1], vectors[:, ::-1]
        largest = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(len(values))]
        self.eigenvectors = vectors * np.sign(largest)
        self.rank = int(np.count_nonzero(values))
        self.mean_diagonal = float(self._K.diagonal().mean())
        self._kernel, self._rows = None, None

    @classmethod
    def from_kernel(cls, kernel, X):
        """Spectrum of a kernel on the rows of ``X``.

        Parameters
        ----------
        kernel : callable
            ``kernel(X)`` and ``kernel(new, X)`` return Gram matrices, as kernels of this package
            and of scikit-learn's Gaussian processes do.
        X : array of shape (n, d)

        Returns
        -------
        Spectrum
        """
        if isinstance(kernel, type) or not callable(kernel):
            raise ValueError(
                f"kernel must be a function of rows such as NTKKernel(); got {kernel!r}: for a "
                f"Gram matrix K, call Spectrum(K)."
            )
        spectrum = cls(kernel(X))
        spectrum._kernel, spectrum._rows = kernel, X
        return spectrum

    def eigenfunctions(self, X, n_functions=None):
        """Values of eigenfunctions at new rows.

        Parameters
        ----------
        X : array of shape (m, d) or (m, n)
            New rows; for a spectrum made from a matrix, the kernel between new rows and its rows.
        n_functions : int, optional
            Number of eigenfunctions, from the largest eigenvalue on; by default all with non-zero
            eigenvalues. Values of later ones, and their errors, are divided by smaller eigenvalues.

        Returns
        -------
        array of shape (m, n_functions)
        """
        n = self.rank if n_functions is None else read_count(n_functions, "n_functions", 1)
        if n > self.rank:
            raise ValueError(
                f"n_functions must be at most the rank of the Gram matrix, {self.rank}; got {n}: "
                f"take fewer."
            )
        cross = X if self._kernel is None else self._kernel(X, self._rows)
        cross = read_cross(cross, len(self.eigenvalues), "X")
        root = np.sqrt(len(self.eigenvalues))
        return cross @ self.eigenvectors[:, :n] * (root / self.eigenvalues[:n])

    def local_energy(self, X, n_functions=10):
        """Mean square of the first eigenfunctions at each of the new rows.

        Over the rows of the spectrum, the mean is one. To see whether a kernel is specialised to a
        task (Ortiz-Jimenez et al., NeurIPS 2023), make the spectrum of rows of the task, and
        compare other rows of the task with control rows. Use few functions, and report their
        number.

        Parameters
        ----------
        X : array of shape (m, d) or (m, n)
            New rows, as for `eigenfunctions`.
        n_functions : int, default=10

        Returns
        -------
        array of shape (m,)
        """
        return np.mean(self.eigenfunctions(X, n_functions) ** 2, axis=1)

    def condition_number(self, alpha=0.0):
        """Ratio of the largest and the smallest eigenvalue of ``K + alpha``, infinite for rank < n.

        Parameters
        ----------
        alpha : float or array of shape (n_alphas,), default=0.0

        Returns
        -------
        float or array of shape (n_alphas,)
        """
        alpha = _read_ridges(alpha)
        if self.eigenvalues[0] == 0.0:  # of a matrix of zeros
            return _plain(np.where(alpha > 0.0, 1.0, np.inf))
        with np.errstate(divide="ignore"):
            return _plain((self.eigenvalues[0] + alpha) / (self.eigenvalues[-1] + alpha))

    def effective_dimension(self, alpha=0.0):
        """Degrees of freedom of ridge regression, ``sum L / (L + alpha)``.

        Parameters
        ----------
        alpha : float or array of shape (n_alphas,), default=0.0

        Returns
        -------
        float or array of shape (n_alphas,)
        """
        values = self.eigenvalues[: self.rank]
        return _plain(np.sum(values / (values + _read_ridges(alpha)[..., None]), axis=-1))

    def alignment(self, y, centred=False):
        """Cosine between the kernel and the kernel of the targets, ``<K, yy'> / (|K| |yy'|)``.

        Parameters
        ----------
        y : array of shape (n,) or (n, k)
            Targets.
        centred : bool, default=False
            Whether to centre kernel and targets first (Cortes, Mohri and Rostamizadeh, JMLR 2012),
            as for models with a constant. Otherwise the constant may dominate.

        Returns
        -------
        float
        """
        (Y, _), K = self._targets(y), self._K / (self.eigenvalues[0] or 1.0)
        return alignment(K, Y, read_flag(centred, "centred"))

    def cumulative_alignment(self, y):
        """Share of the squared targets along the first eigenvectors, by their number, up to 1.

        Parameters
        ----------
        y : array of shape (n,) or (n, k)
            Targets, often centred first.

        Returns
        -------
        array of shape (n,)
        """
        powers, _ = self._powers(y)
        return np.cumsum(powers) / (powers.sum() or 1.0)

    def norm(self, y):
        """Norm of the function through the targets, ``sqrt(y' K^-1 y / n)``, summed over outputs.

        It falls as the kernel is scaled up. Infinite if targets differ where the kernel does not.

        Parameters
        ----------
        y : array of shape (n,) or (n, k)

        Returns
        -------
        float
        """
        powers, unit = self._powers(y)
        if powers[self.rank :].sum() > NEGLIGIBLE**2 * powers.sum():
            return np.inf
        return unit * float(np.sqrt(np.sum(powers[: self.rank] / self.eigenvalues[: self.rank])))

    def generalization_bound(self, y):
        """``sqrt(y' K^-1 y tr(K)) / n``, which does not depend on the scale of the kernel.

        This is the Rademacher complexity of the functions whose `norm` is that of the function
        through the targets (Bartlett and Mendelson, JMLR 2002). Use it to compare kernels; as a
        bound it is loose.

        Parameters
        ----------
        y : array of shape (n,) or (n, k)

        Returns
        -------
        float
        """
        return self.norm(y) * float(np.sqrt(self.mean_diagonal))

    def learning_curve(self, y, sizes, alpha=0.0, noise=0.0):
        """Predicted errors of ridge regression on random subsets of the rows, without a constant.

        Errors are for ``K + alpha`` of the subset. The rows stand for the whole distribution; test
        errors are those at the rows outside the subset. The prediction holds up to about a quarter
        of the rows; for more rows than there are, the spectrum predicts nothing.

        Parameters
        ----------
        y : array of shape (n,) or (n, k)
            Targets, with their noise. Centre them first.
        sizes : array of shape (n_sizes,)
            Numbers of training rows, each less than n.
        alpha : float, default=0.0
            Ridge.
        noise : float, default=0.0
            Variance of further noise.

        Returns
        -------
        LearningCurve
            Errors are summed over outputs. See `spectrum.learning_curve` for formulas.
        """
        n, (powers, unit) = len(self.eigenvalues), self._powers(y)
        sizes = read_sizes(sizes, n)
        with np.errstate(over="ignore"):  # then they are refused
            powers = unit * (unit * powers)
        curve = learning_curve(self.eigenvalues / n, powers, sizes, alpha, noise)
        # fits correlate with the noise they have seen, as much as they have learned
        seen = sizes * curve.train + 2.0 * noise * curve.learned.sum(axis=1)
        return curve._replace(test=(n * curve.test - seen) / (n - sizes))

    def _targets(self, y):
        """Targets (n, k) divided by the largest one, and that."""
        Y, _ = read_targets(y, len(self.eigenvalues))
        unit = float(np.abs(Y).max(initial=0.0)) or 1.0
        return Y / unit, unit

    def _powers(self, y):
        """Mean squares (n,) of the components of `_targets`, ``(u' y)^2 / n``, and their unit."""
        Y, unit = self._targets(y)
        return np.sum((self.eigenvectors.T @ Y) ** 2, axis=1) / len(Y), unit


def _read_ridges(alpha):
    """Ridges, of shape () or (n_alphas,)."""
    what = "a number >= 0, or an array (n_alphas,) of them"
    alpha = read_array(alpha, "alpha", what, "pass a list of ridges", [0, 1])
    if np.any(alpha < 0.0):
        raise ValueError(f"alpha must be {what}; got {alpha.min():.3g}: increase it.")
    return alpha


def _plain(values):
    """A float for shape (), else the array."""
    return float(values) if np.ndim(values) == 0 else values
