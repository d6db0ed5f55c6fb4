"""Activation functions as immutable values, each with its dual activation (dual kernel).

An activation ``f`` acts on pairs of Gaussian pre-activations ``(u, v)`` with variances ``a^2`` and
``b^2`` and gap ``q = 2 (a b - cov(u, v))`` (see `formulas.special`). A class needs at least one
field and

``fn(x)``
    the function itself;
``variance(v)``
    ``E[f(u)^2]`` for ``u ~ N(0, v)``;
``features(v)``
    a tuple of up to six arrays over rows of variances ``v``, or numbers that are the same for all
    rows: what `dual` reads of one row. The first two are the standard deviations before and after
    the activation;
``dual(q, left, right)``
    the gap after the activation and the slope ``E[f'(u) f'(v)]``, from the gap before it and the
    features of the two rows.

The last three are formulas in the sense of `formulas.tracing`: arithmetic, comparisons and NumPy
ufuncs, free of branches. They run on arrays as they stand; compiled code and the derivatives for
gradients are made from them.

A class without a closed dual has, instead of the last three,

``expand(v)``
    the Hermite coefficients of rows of variances ``v``, an `Expansion`; and, if some orders are
    left out,
``orders(n)``
    the orders of the first ``n`` coefficients. They begin with 0 and 1, and the distance from
    ``orders[k]`` to the next one may be twice that before it where ``k % 6`` is 1 or 2.

The decorator `activation` registers a class, and the tests run over all that are registered.

Classes with the same kind of dual share a file: `_rectifiers`, `_jumps`, `_arcsine` (erf and GELU),
`_elu` (with the integrals of `_wedges`), `_waves` and `_gaussian` have formulas, `_polynomials`,
`_smooth` (tanh and its relatives, with `_mixtures`, and Mish) and `_numerical` series, whose files
say how many terms they take.

References
----------
Y. Cho and L. Saul, "Kernel methods for deep learning", NeurIPS 2009 (rectifiers).
C. Williams, "Computing with infinite networks", NeurIPS 1996 (erf, Gaussian).
R. Tsuchida, F. Roosta and M. Gallagher, "Invariance of weight distributions in rectified MLPs",
ICML 2018 (leaky rectifiers); R. Tsuchida et al., arXiv:2002.08517 (GELU, ELU).
A. Rahimi and B. Recht, "Random features for large-scale kernel machines", NeurIPS 2007 (RBF).
"""

from .._values import publish
from ._arcsine import GELU, Erf, SigmoidLike
from ._elementwise import Elementwise
from ._elu import ELU, SELU
from ._expand import Expansion
from ._gaussian import Exp, ExpNormalized, Gabor, Gaussian
from ._jumps import RectifiedMonomial, Sign, Step
from ._numerical import Numerical
from ._polynomials import Hermite, Monomial, Polynomial
from ._rectifiers import ABReLU, Abs, Identity, LeakyReLU, ReLU
from ._registry import (
    ACTIVATIONS,
    FINITE,
    FUNCTION,
    NEGATIVE,
    NUMBERS,
    POSITIVE,
    Domain,
    activation,
    as_activation,
    degrees,
    is_activation,
)
from ._smooth import Mish, Sigmoid, SiLU, Softplus, Tanh
from ._waves import RBF, Cos, Sin

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "FINITE",
    "FUNCTION",
    "GELU",
    "NEGATIVE",
    "NUMBERS",
    "POSITIVE",
    "RBF",
    "SELU",
    "ABReLU",
    "Abs",
    "Cos",
    "Domain",
    "Elementwise",
    "Erf",
    "Exp",
    "ExpNormalized",
    "Expansion",
    "Gabor",
    "Gaussian",
    "Hermite",
    "Identity",
    "LeakyReLU",
    "Mish",
    "Monomial",
    "Numerical",
    "Polynomial",
    "ReLU",
    "RectifiedMonomial",
    "SiLU",
    "Sigmoid",
    "SigmoidLike",
    "Sign",
    "Sin",
    "Softplus",
    "Step",
    "Tanh",
    "activation",
    "as_activation",
    "degrees",
    "is_activation",
]

publish(__name__, globals())
