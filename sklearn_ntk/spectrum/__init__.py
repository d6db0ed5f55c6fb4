"""What the eigenvalues of a kernel say before a fit, and the phase diagram of deep networks.

`_spectrum` has eigenvalues and eigenfunctions of a kernel on rows, `_eigenlearning` learning curves
predicted from them.
"""

from ._eigenlearning import LearningCurve, learning_curve
from ._spectrum import Spectrum

__all__ = ["LearningCurve", "Spectrum", "learning_curve"]

for _cls in (LearningCurve, Spectrum, learning_curve):
    _cls.__module__ = __name__  # the public module, which pickles name
