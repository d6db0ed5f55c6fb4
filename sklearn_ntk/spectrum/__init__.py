"""What the eigenvalues of a kernel say before a fit, and the phase diagram of deep networks.

`_spectrum` has eigenvalues and eigenfunctions of a kernel on rows, `_alignment` how alike kernel
and targets are, `_eigenlearning` learning curves predicted from eigenvalues; `_phase` has where
deep networks take variances and correlations, `_critical` variances of weights to choose, and
`_moments` what both need of an activation.
"""

from .._values import publish
from ._critical import critical_weight_var, recommended_weight_var, weight_var_range
from ._eigenlearning import LearningCurve, learning_curve
from ._phase import Phase, phase
from ._spectrum import Spectrum

__all__ = [
    "LearningCurve",
    "Phase",
    "Spectrum",
    "critical_weight_var",
    "learning_curve",
    "phase",
    "recommended_weight_var",
    "weight_var_range",
]

publish(__name__, globals())
