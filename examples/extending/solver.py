"""A solver of one's own: ridge regression by conjugate gradients."""

import numpy as np

from sklearn_ntk.architectures import mlp
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import lower
from sklearn_ntk.solvers.ridge import fit_ridge


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


def fit(K, Y, ridge):
    """Dual coefficients and intercept, as of `fit_ridge` with weights of one."""
    columns = np.column_stack([Y, np.ones(len(Y))])
    solved = solve(lambda P: K @ P + ridge * P, columns)
    of_targets, of_ones = solved[:, :-1], solved[:, -1:]
    intercept = of_targets.sum(axis=0) / of_ones.sum()
    return of_targets - of_ones * intercept, intercept


def main():
    """Compare with the solver of the package."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((60, 4)), rng.standard_normal((60, 2))
    K = gram(lower(mlp(2)), X)
    dual, intercept = fit(K, Y, 0.1)
    expected = fit_ridge(K, Y, np.ones(60), 0.1)
    np.testing.assert_allclose(dual, expected.dual, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(intercept, expected.intercept, rtol=1e-6)
    print("Coefficients and intercept are those of fit_ridge.")


if __name__ == "__main__":
    main()
