"""Kernel logistic regression on a square root of the Gram matrix, and its ridge by folds."""

from typing import NamedTuple

import numpy as np
from scipy import linalg
from sklearn.exceptions import ConvergenceWarning

from ..dynamics import _logistic as newton
from ..gram._spectrum import eigenvectors
from ..solvers._scoring import class_folds, ranks_of, scored, shares_of

TOLERANCE, ROUGH = 1e-10, 1e-6
"""Size of the gradient, relative to that at zero, at which Newton's method ends: of the final fit,
and of fits in folds."""


class KernelRoot(NamedTuple):
    """A Gram matrix ``K = root @ root.T`` of rank r, and the classes and weights of its n rows.

    ``root`` (n, r) is ``U sqrt(L)`` for eigenvectors ``U`` and eigenvalues ``L``, the latter are
    ``squares`` (r,). ``shares`` (n, n_classes) are those of the classes in each row.
    """

    root: np.ndarray
    squares: np.ndarray
    shares: np.ndarray
    weights: np.ndarray

    @property
    def targets(self):
        """Shares of the second of two classes (n, 1), or of all of more (n, n_classes)."""
        return scored(self.shares)


def make_root(K, shares, weights):
    """`KernelRoot` of a Gram matrix, without eigenvalues that are rounding."""
    values, vectors = eigenvectors(K)
    kept = values > len(K) * np.finfo(float).eps * values[-1]
    if not np.any(kept):  # all rows are zero
        return KernelRoot(np.zeros((len(K), 1)), np.ones(1), shares, weights)
    root = vectors[:, kept] * np.sqrt(values[kept])
    return KernelRoot(root, values[kept], shares, weights)


def solve(rows, ridge, start=None, tolerance=TOLERANCE):
    """Coefficients (r + 1, k) of the columns of ``root`` and of a constant, not penalised.

    Minimises the weighted sum of the log losses plus ``ridge / 2 |f|^2`` for each function. For two
    classes there is one function, the difference of their scores, else one for each class.
    ``start`` are coefficients to begin with.
    """
    return newton.minimum(_problem(rows, ridge), start, tolerance, ConvergenceWarning)


def dual_of(rows, coefficients, ridge):
    """Dual coefficients (n, k) and intercepts (k,) from the coefficients of `solve`."""
    vectors = rows.root / np.sqrt(rows.squares)
    problem = _problem(rows, ridge)
    return newton.dual_of(problem, coefficients, vectors, rows.squares, ridge), coefficients[-1]


def _problem(rows, ridge):
    """What `solve` minimises."""
    Y = rows.targets
    return newton.kernel_problem(rows.root, ridge, Y, rows.weights, np.zeros(Y.shape))


def losses_of_folds(rows, ridges, ranks, repeats=None):
    """Increasing ridges that were tried, and the mean log loss of each over the folds.

    Ridges are tried from the largest one down, until the loss has risen behind a minimum. The folds
    are `solvers._scoring.class_folds` of the rows, or of the observations of `Repeats`.
    """
    if len(rows.shares) == 1:  # only the constant is fitted
        return ridges[-1:], np.zeros(1)
    folds = _folds(rows, ranks) if repeats is None else _folds_of(repeats, rows, ranks)
    starts, losses = [None] * len(folds), []
    for ridge in ridges[::-1]:
        total = 0.0
        for k, (train, test) in enumerate(folds):
            starts[k] = solve(_part(rows, *train), ridge, starts[k], ROUGH)
            total += _loss(_part(rows, *test), starts[k])
        losses.append(total)
        if len(losses) > 2 and losses[-1] > losses[-2] > min(losses):
            break
    return ridges[-len(losses) :], np.array(losses[::-1]) / rows.weights.sum()


def _folds(rows, ranks):
    """Pairs of arguments of `_part`, of the other folds and of each fold of the rows."""

    def some(index):
        return index, rows.shares[index], rows.weights[index]

    every, tests = np.arange(len(ranks)), class_folds(rows.shares, ranks)
    return [(some(np.delete(every, test)), some(test)) for test in tests]


def _folds_of(repeats, rows, ranks):
    """The same for folds of observations, of which those of a row are merged in each."""
    _, group, targets, weights = repeats.single()
    shares = shares_of(targets)
    order = ranks_of(np.column_stack([weights, shares.argmax(axis=1), ranks[group]]))

    def merged(some):
        kept, place = np.unique(group[some], return_inverse=True)
        w = weights[some]
        sums = [np.bincount(place, w * share) for share in shares[some].T]
        total = np.bincount(place, w)
        return kept, np.stack(sums, axis=1) / total[:, None], total

    every, tests = np.arange(len(group)), class_folds(shares, order)
    return [(merged(np.delete(every, test)), merged(test)) for test in tests]


def _part(rows, kept, shares, weights):
    """`KernelRoot` of some of the rows with shares and weights of their own."""
    return KernelRoot(rows.root[kept], rows.squares, shares, weights)


def _loss(rows, coefficients):
    """Weighted sum of the log losses of the rows."""
    scores = rows.root @ coefficients[:-1] + coefficients[-1]
    return rows.weights @ newton.log_losses(scores, rows.targets)


class NewtonSteps:
    """Changes of scores by one step of Newton's method after a row is left out.

    ``scores`` (n, k) and ``weights`` (n,) are those of the n distinct rows at the optimum, where
    the sum of all gradients vanishes, and ``samples`` are the N rows that may be left out. Without
    the loss of row i, the Hessian is ``H - V_i`` and the gradient its own with the other sign.
    """

    def __init__(self, K, scores, weights, ridge, samples):
        P = newton.probabilities(scores)
        n, k = P.shape
        # a common change of all scores moves nothing, and no ridge holds back that of the constants
        self._basis = linalg.helmert(k).T if k > 1 else np.ones((1, 1))
        W = P[:, :, None] * np.eye(k) - P[:, :, None] * P[:, None]
        W = self._basis.T @ W @ self._basis
        self._curvature, q = weights[:, None, None] * W, self._basis.shape[1]
        M = np.einsum("iab,ij->iajb", self._curvature, K).reshape(n * q, n * q)
        M[np.diag_indices(n * q)] += ridge
        self._factors = linalg.lu_factor(M, overwrite_a=True)
        own, apart = self._inverse(K)
        ones = self._curvature.sum(0) - self._curvature.reshape(n * q, q).T @ (
            np.tile(np.eye(q), (n, 1)) - apart
        )
        self._of_constants = np.linalg.solve(ones, apart.T)  # (q, nq)
        own = (own + apart @ self._of_constants).reshape(n, q, n, q)
        own, d = own[np.arange(n), :, np.arange(n)], samples.group
        away = scored(shares_of(samples.targets)) - P[d]
        pull = samples.weights[:, None] * (away @ self._basis)
        kept = np.eye(q) - samples.weights[:, None, None] * W[d] @ own[d]
        self._steps, self._group = np.linalg.solve(kept, pull[:, :, None])[:, :, 0], d

    def _inverse(self, cross):
        """``x' H^-1 x_j`` (m q, n q) for kernels (m, n), but for the constants; what they add."""
        m, q = len(cross), self._basis.shape[1]
        blocks = np.kron(cross, np.eye(q))
        found = linalg.lu_solve(self._factors, blocks.T, trans=1).T
        ones = np.tile(np.eye(q), (m, 1))
        return found, ones - found @ self._curvature.reshape(-1, q)

    def __call__(self, cross):
        """Scores minus those without each of the N rows, (m, N, k), for kernels (m, n)."""
        found, apart = self._inverse(cross)
        q = self._basis.shape[1]
        found = (found + apart @ self._of_constants).reshape(len(cross), q, -1, q)
        found = np.einsum("maNb,Nb->mNa", found[:, :, self._group], self._steps)
        return found @ self._basis.T
