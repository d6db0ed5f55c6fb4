"""A solver of one's own: ridge regression by conjugate gradients, by products alone."""

from typing import NamedTuple

import numpy as np

from sklearn_ntk import NTKKernel
from sklearn_ntk.gram import KernelOperator
from sklearn_ntk.solvers import Path, Ridge, Solution


def solve(product, B, tol=1e-10):
    """Solution ``X`` of ``product(X) = B``, for a product with a positive definite matrix."""
    X, R = np.zeros_like(B), B.copy()
    P, squares = R, np.sum(R * R, axis=0)
    limit = tol**2 * squares
    while np.any(squares > limit):
        image = product(P)
        step = squares / np.sum(P * image, axis=0)
        X, R = X + step * P, R - step * image
        before, squares = squares, np.sum(R * R, axis=0)
        P = R + squares / before * P
    return X


class ConjugateGradients(NamedTuple):
    """Kernel ridge regression with a constant, as `Ridge`, on a matrix that need not exist."""

    ridge: float

    def fit(self, operator, Y, weights):
        """Solve for targets (n, k) of rows with these weights."""
        inverse = self.ridge / weights[:, None]
        columns = np.column_stack([Y, np.ones(len(Y))])
        solved = solve(lambda P: operator @ P + inverse * P, columns)
        of_targets, of_ones = solved[:, :-1], solved[:, -1:]
        intercept = of_targets.sum(axis=0) / of_ones.sum()
        solution = Solution(of_targets - of_ones * intercept, intercept)
        return Path(np.array([self.ridge]), np.empty(0), 0, solution)


def main():
    """Compare with the solver of the package."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((60, 4)), rng.standard_normal((60, 2))
    operator, weights = KernelOperator(NTKKernel(), X), rng.uniform(0.5, 2.0, 60)
    found = ConjugateGradients(0.1).fit(operator, Y, weights).solution
    expected = Ridge(0.1).fit(operator, Y, weights).solution
    np.testing.assert_allclose(found.dual, expected.dual, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.intercept, expected.intercept, rtol=1e-6)
    print("Coefficients and intercept are those of Ridge.")


if __name__ == "__main__":
    main()
