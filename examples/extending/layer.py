"""A layer of one's own: the patches with which a vision transformer begins."""

from typing import NamedTuple

import numpy as np

from sklearn_ntk import NTKKernel
from sklearn_ntk._values import value
from sklearn_ntk.layers import Conv, Dense, GlobalAvgPool, Input


@value
class Patches(NamedTuple):
    """One position for each patch of an image (A. Dosovitskiy et al., ICLR 2021)."""

    size: int
    weight_var: float | None = None
    bias_var: float | None = None
    frozen: bool = False

    def lower(self, context):
        """Instructions of this layer: those of a convolution whose filters do not overlap."""
        if not context.grid or any(n % self.size for n in context.grid):
            context.fail(
                f"Patches({self.size}) needs positions that it divides; got {context.grid}",
                "Choose another size, or put Input(...) first",
            )
        conv = Conv(self.size, self.size, "valid", self.weight_var, self.bias_var, self.frozen)
        yield from conv.lower(context)


def main():
    """Compare with a dense network on the patches: the mean of their kernels."""
    X = np.random.default_rng(0).standard_normal((4, 16))
    network = (Input(4, 4, 1), Patches(2), "relu", GlobalAvgPool())
    found = NTKKernel(architecture=network)(X)
    patches = X.reshape(4, 2, 2, 2, 2).swapaxes(2, 3).reshape(16, 4)
    each = NTKKernel(architecture=(Dense(), "relu"))(patches)
    np.testing.assert_allclose(found, each.reshape(4, 4, 4, 4).mean(axis=(1, 3)), rtol=1e-12)
    print("The kernel is the mean of those of the patches.")


if __name__ == "__main__":
    main()
