"""An activation of one's own: the square, ``gain * x**2``."""

from typing import NamedTuple

import numpy as np

from sklearn_ntk import NTKKernel
from sklearn_ntk.activations import Monomial, activation


@activation("own_square")
class OwnSquare(NamedTuple):
    """Square, ``gain * x**2``; ``E[u^2 v^2] = a^2 b^2 + 2 cov^2`` (Isserlis, 1918)."""

    gain: float = 1.0

    def fn(self, x):
        return self.gain * x**2

    def variance(self, v):
        return 3.0 * (self.gain * v) ** 2

    def features(self, v):
        return np.sqrt(v), np.sqrt(self.variance(v))

    def dual(self, q, left, right):
        a, b = left[0], right[0]
        gap = self.gain**2 * q * (4.0 * a * b - q)  # 4 (a b - cov) (a b + cov): no digits are lost
        slope = 2.0 * self.gain**2 * (2.0 * a * b - q)
        return gap, slope


def main():
    """Compare with the activation of the package that computes the same."""
    X = np.random.default_rng(0).standard_normal((5, 3))
    found, expected = (
        NTKKernel(depth=2, activation=act)(X, eval_gradient=True)
        for act in ("own_square", Monomial(2))
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    print("The kernel and its gradient are those of Monomial(2).")


if __name__ == "__main__":
    main()
