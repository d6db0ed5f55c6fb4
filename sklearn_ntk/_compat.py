"""The only imports of private names of scikit-learn; kernels and estimators take them from here."""

import sys
from importlib.metadata import PackageNotFoundError, metadata

from sklearn.base import _fit_context
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight

__all__ = [
    "CLASSIFIER",
    "DocumentationLink",
    "Interval",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "likelihood_module",
]

REGRESSOR, CLASSIFIER = (
    estimator.__module__ for estimator in (GaussianProcessRegressor, GaussianProcessClassifier)
)


class DocumentationLink:
    """Mixin: links the HTML representation to the documentation named in the package metadata."""

    _doc_link_module = "sklearn_ntk"

    @property
    def _doc_link_template(self):
        """URL of the documentation, the same for all classes; empty if the metadata have none."""
        try:
            urls = metadata("sklearn-ntk").get_all("Project-URL", [])
        except PackageNotFoundError:
            return ""
        return dict(url.split(", ", 1) for url in urls).get("Documentation", "")


def likelihood_module():
    """Module of scikit-learn's GPR or GPC if its ``log_marginal_likelihood`` called us, or None."""
    frame = sys._getframe()
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if frame.f_code.co_name == "log_marginal_likelihood" and module in (REGRESSOR, CLASSIFIER):
            return module
        frame = frame.f_back
    return None
