"""Late training on the log loss, where explicit methods take steps in proportion to the time."""

import numpy as np
from scipy.integrate import Radau

from ._logistic import best_constant, probabilities

FACTORISATIONS = 100
"""About how many pairs of them an implicit method takes to late times."""

OVERHEAD = 1e6
"""What an evaluation costs beside its product with the kernel, in operations of this."""

LEAST_TOL = 1e-9
"""Smaller tolerances take too many steps of an implicit method of order five."""

ROUNDING = 1e-16
"""Share of the largest possible speed of training that is rounding."""

SLOW = 0.03
"""Share of the time that a step must exceed, as steps of equations that are not stiff do."""


class Late:
    """Equation of the coefficients ``B`` (r, k) of scores along the eigenvectors of the kernel.

    With ``root`` (n, r), so that ``K = root root'``, scores are those at a first state ``A`` plus
    ``root B``, and ``dB/dt = rate root' (W (Y - P) - alpha A)``. There are as many numbers as the
    rank of the kernel has, and the derivative of the right-hand side by ``B`` is cheap for few.
    """

    def __init__(self, training, Y, first, A):
        values, self._vectors = training._values, training._vectors
        self._root, self._scales = self._vectors * np.sqrt(values), 1.0 / np.sqrt(values)
        self._Y, self._weights, self._alpha = Y, training._weights, training.alpha
        self._rate = training.learning_rate / self._weights.sum()
        self._has_constant, self._A, self._decay = training.fit_intercept, A, self._root.T @ A
        self._scores = first + training._K @ A
        self._constant = training._guess(self._scores)

    def dual(self, state):
        """Dual coefficients (n, k) of a state."""
        B = state.reshape(-1, self._Y.shape[1])
        return self._A + self._vectors @ (self._scales[:, None] * B)

    def slope(self, _, state):
        """Derivative of the state by the time."""
        B = state.reshape(-1, self._Y.shape[1])
        misfit = self._weights[:, None] * (self._Y - self._probabilities(B))
        return self._rate * (self._root.T @ misfit - self._alpha * (self._decay + B)).ravel()

    def jacobian(self, _, state):
        """Derivative (r k, r k) of `slope` by the state."""
        root, k = self._root, self._Y.shape[1]
        P = self._probabilities(state.reshape(-1, k))
        r = root.shape[1]
        found, moved, total = np.empty((r, k, r, k)), np.empty((k, r, k)), np.empty((k, k))
        for c in range(k):
            for d in range(k):
                curvature = self._weights * P[:, c] * ((c == d) - P[:, d])
                found[:, c, :, d] = root.T @ (curvature[:, None] * root)
                moved[c, :, d], total[c, d] = root.T @ curvature, curvature.sum()
        found = found.reshape(r * k, r * k)
        if self._has_constant:  # which follows the scores
            moved = moved.reshape(k, r * k)
            found -= moved.T @ np.linalg.pinv(total, hermitian=True) @ moved
        found[np.diag_indices_from(found)] += self._alpha
        found *= -self._rate
        return found

    def is_settled(self, solver, tol):
        """Whether nothing changes any more until the end.

        The speed of a gradient flow on a convex function only falls.
        """
        way = np.linalg.norm(solver.f) * (solver.t_bound - solver.t)
        return way <= max(tol, solver.rtol) * np.linalg.norm(self._decay.ravel() + solver.y)

    def solver(self, time, end, tol, scale):
        """Implicit solver from a time on, for a kernel of the size ``scale``.

        Rounding of the speed, over the time, limits what it can tell.
        """
        first = np.zeros(self._decay.size)
        largest = self._rate * np.linalg.norm(self._weights @ np.abs(self._root))
        tol = max(tol, ROUNDING * largest * end)
        options = {"rtol": tol, "atol": tol / np.sqrt(scale), "jac": self.jacobian}
        return Radau(self.slope, time, first, end, **options)

    def _probabilities(self, B):
        scores = self._scores + self._root @ B
        if self._has_constant:
            self._constant = best_constant(self._Y, scores, self._weights, self._constant)
        return probabilities(scores + self._constant)


def is_late(solver, n, k, rank, tol):
    """Whether an explicit solver has become slow, and an implicit one would be faster.

    A step of the first takes 12 products with the kernel; the other one takes pairs of a real and a
    complex factorisation, about as much as five real ones.
    """
    if solver.step_size > SLOW * solver.t or tol < LEAST_TOL:
        return False
    n_steps = (solver.t_bound - solver.t) / solver.step_size
    explicit = 12.0 * n_steps * (2.0 * n * n * k + OVERHEAD)
    return explicit > FACTORISATIONS * 5.0 * 2.0 / 3.0 * (rank * k) ** 3
