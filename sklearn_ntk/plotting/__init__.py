"""Displays in scikit-learn's manner: a picture from an estimator, or from what was computed.

`_spectrum` has spectra with what they hold of the targets, `_learning_curve` learning curves,
predicted and seen, `_phase` the phase diagram, and `_axes` axes to draw on. They need matplotlib,
the extra ``plot``, and import it when they draw.
"""

from ._learning_curve import LearningCurveDisplay
from ._phase import PhaseDisplay
from ._spectrum import SpectrumDisplay

__all__ = ["LearningCurveDisplay", "PhaseDisplay", "SpectrumDisplay"]

for _cls in (LearningCurveDisplay, PhaseDisplay, SpectrumDisplay):
    _cls.__module__ = __name__  # the public module
