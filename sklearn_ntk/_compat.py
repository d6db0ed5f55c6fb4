"""The parts of scikit-learn that are not public and that the estimators need, in one place."""

import sys
from importlib.metadata import PackageNotFoundError, metadata

from sklearn.base import _fit_context
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight

__all__ = [
    "DocumentationLink",
    "Interval",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "serves_classifier",
]


class DocumentationLink:
    """Links the HTML representation to the documentation that the package's metadata name."""

    _doc_link_module = "sklearn_ntk"

    @property
    def _doc_link_template(self):
        """One page for all classes, or nothing."""
        try:
            urls = metadata("sklearn-ntk").get_all("Project-URL", [])
        except PackageNotFoundError:
            return ""
        return dict(url.split(", ", 1) for url in urls).get("Documentation", "")


def serves_classifier():
    """Whether scikit-learn's Gaussian-process classifier is among the callers."""
    frame, module = sys._getframe(), GaussianProcessClassifier.__module__
    while frame is not None and frame.f_globals.get("__name__") != module:
        frame = frame.f_back
    return frame is not None
