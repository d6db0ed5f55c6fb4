"""Displays in scikit-learn's manner: a picture from an estimator, or from what was computed.

`_training` has errors in time, `_function` functions of one variable with bands, `_coverage` how
many targets intervals hold, `_leave_one_out` errors over ridge and time, `_spectrum` spectra with
what they hold of the targets, `_learning_curve` learning curves, predicted and seen, `_lazy` the
training of a finite network beside what is predicted of it, `_phase` the phase diagram, and
`_display` what all share. They need matplotlib, the extra ``plot``, and import it when they draw.
"""

from .._values import publish
from ._coverage import CoverageDisplay
from ._function import FunctionDisplay
from ._lazy import LazyTrainingDisplay
from ._learning_curve import LearningCurveDisplay
from ._leave_one_out import LeaveOneOutDisplay
from ._phase import PhaseDisplay
from ._spectrum import SpectrumDisplay
from ._training import TrainingDisplay

__all__ = [
    "CoverageDisplay",
    "FunctionDisplay",
    "LazyTrainingDisplay",
    "LearningCurveDisplay",
    "LeaveOneOutDisplay",
    "PhaseDisplay",
    "SpectrumDisplay",
    "TrainingDisplay",
]

publish(__name__, globals())
