"""Every activation with several parameters, for tests, and duals by the package's own formulas.

`oracle` has duals that share no code with the package.
"""

import numpy as np
import oracle_duals
import pytest
from scipy import special

from sklearn_ntk.activations import ACTIVATIONS, ABReLU, Elementwise, Numerical, Sign, Step
from sklearn_ntk.formulas import series


def versions(cls):
    """Activations of a class with default, with other and, where possible, negative parameters."""
    defaults = cls._field_defaults
    others = {field: oracle_duals.vary(x) for field, x in defaults.items()}
    turned = {field: -0.6 * x - 0.4 for field, x in defaults.items() if field not in cls.domains}
    return dict.fromkeys((cls(), cls(**others), cls(**{**others, **turned})))


def sine_dual(cov12, var1, var2):
    """Dual of the sine, as a user would write it."""
    return 0.5 * np.exp(-0.5 * (var1 + var2) - cov12) * np.expm1(2.0 * cov12)


def erf(x):
    """Error function."""
    return special.erf(x)


def erf_dual(cov12, var1, var2):
    """Dual of the error function, as the documentation of neural-tangents has it."""
    product = (1.0 + 2.0 * var1) * (1.0 + 2.0 * var2)
    return np.arcsin(2.0 * cov12 / np.sqrt(product)) * 2.0 / np.pi


def erf_slope(cov12, var1, var2):
    """Dual of the derivative of the error function, ``E[f'(u) f'(v)]``."""
    return 4.0 / np.pi / np.sqrt((1.0 + 2.0 * var1) * (1.0 + 2.0 * var2) - 4.0 * cov12**2)


VERSIONS = [act for cls in ACTIVATIONS.values() for act in versions(cls)]
VERSIONS += [Numerical(np.sin), Numerical(np.cos)]
GIVEN = [Elementwise(np.sin, sine_dual), Elementwise(erf, erf_dual, erf_slope)]
VERSIONS += [ABReLU(-0.3, 1.2), ABReLU(0.4, -0.7), *GIVEN]
CLOSED = [act for act in VERSIONS if not act.is_series]
SERIES = [act for act in VERSIONS if act.is_series]
JUMPING = (Sign, Step)
each_version = pytest.mark.parametrize("act", VERSIONS, ids=repr)
each_closed = pytest.mark.parametrize("act", CLOSED, ids=repr)
each_series = pytest.mark.parametrize("act", SERIES, ids=repr)


def features_of(act, *variances):
    """List of the features that `dual_of` reads, one entry for each array of variances."""
    if not act.is_series:
        return [act.features(v) for v in variances]
    v = np.stack(np.broadcast_arrays(*variances))
    return [tuple(x[i] for x in series.expand(act, v)[1]) for i in range(len(v))]


def dual_of(act, q, left, right):
    """Standard deviations of both rows after the activation, gap and slope, from features."""
    if act.is_series:
        return left[0], right[0], *series.dual(act, q, left, right)
    return left[1], right[1], *act.dual(q, left, right)


def duals(act, a, b, c):
    """``E[f(u) f(v)]`` and ``E[f'(u) f'(v)]`` for variances a, b and covariance c."""
    std, other, gap, slope = dual_of(act, 2.0 * (np.sqrt(a * b) - c), *features_of(act, a, b))
    return std * other - 0.5 * gap, slope
