"""Any smooth function as an activation: Hermite coefficients by quadrature, refined as needed."""

from typing import Any, NamedTuple

import numpy as np

from .._runtime.errors import OutOfRange
from ._expand import MOST_NODES, REACH, expand_rows, sums_on_grid
from ._registry import FUNCTION, activation

FEWEST_NODES = 64
"""Nodes on either side of zero to begin with."""

CONVERGED = 1e-11
"""Change of the coefficients, relative to their norm, at which the refinement ends."""


@activation("numerical", fn=FUNCTION)
class Numerical(NamedTuple):
    """Any smooth function of real numbers, by a Hermite series as for `Tanh`.

    The coefficients are integrated with a step that is halved until they no longer change. For
    functions with a kink or a jump this never happens, so they are refused; the package has such
    functions in closed form.

    Parameters
    ----------
    fn : callable
        Function of a one-dimensional array, elementwise. Values are equal if their functions are
        the same object; to be pickled, the function must have a name in a module.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import Numerical
    >>> NNGPKernel(depth=1, activation=Numerical(np.arctan)).diag([[0.6, -0.8]]).round(6)
    array([2.281784])
    """

    fn: Any

    def expand(self, variance):
        level = float(_values(self, np.zeros(1))[0])

        def sums_of(std):
            half, sums = FEWEST_NODES, _sums(self, level, std, FEWEST_NODES)
            while True:
                before, half = sums, 2 * half
                sums = _sums(self, level, std, half)
                moved = np.abs(sums.coefficients - before.coefficients * _ratio(before, sums))
                error = moved.max(axis=0) / np.sqrt(sums.energy + (sums.energy == 0.0))
                if error.max() <= CONVERGED:
                    return sums
                if half == MOST_NODES:
                    raise OutOfRange(
                        f"{self!r} has a kink or a jump, or is too steep for pre-activations with "
                        f"standard deviations of {std[error.argmax()]:.3g}, so that its Hermite "
                        f"coefficients have relative errors of {error.max():.0e}: take an "
                        f"activation with a closed form, such as ReLU, smooth the function, or "
                        f"scale the data."
                    )

        return expand_rows(repr(self), sums_of, level, variance)


def _ratio(before, sums):
    """Amplitude of ``before`` divided by that of ``sums``, to convert coefficients."""
    return before.amplitude / sums.amplitude


def _values(act, x):
    """``act.fn(x)`` for an array of any shape; raises ValueError if its result cannot be used."""
    with np.errstate(all="ignore"):
        values = np.asarray(act.fn(x.flatten()))  # a copy, which functions may change
    if values.shape != (x.size,) or values.dtype.kind not in "fiub":
        raise ValueError(
            f"The function of {act!r} must return as many real numbers as it gets; for {x.size} "
            f"it returned an array of shape {values.shape} and type {values.dtype}."
        )
    finite = np.isfinite(values)
    if not finite.all():
        where = np.argmin(finite)
        raise OutOfRange(
            f"The function of {act!r} must be finite; at {x.ravel()[where]:.3g} it is "
            f"{values[where]}: scale the data or change the function."
        )
    return values.astype(float).reshape(x.shape)


def _sums(act, level, std, half):
    """`sums_on_grid` of the function; raises `OutOfRange` if integrands reach beyond the grid."""
    sums, edge = sums_on_grid(lambda x: _values(act, x) - level, level, std, half)
    if edge > CONVERGED:
        raise OutOfRange(
            f"{act!r} grows too fast for pre-activations with standard deviations of "
            f"{std.max():.3g}, at which values beyond {REACH:g} of them matter: scale the data or "
            f"take a smaller weight_var."
        )
    return sums
