"""Estimators on a Dask cluster, and lazy Gram matrices of Dask arrays.

`_estimators` has the estimators, `_base` what both share; they are fitted by the solvers for many
rows. Their operator, in `_operator`, computes on the workers, so that no machine has the whole Gram
matrix. `_arrays` has what Dask arrays need. The only package that imports Dask.
"""

try:
    import dask.array  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError(
        'sklearn_ntk.dask needs the extra dask: run pip install ".[dask]" in the checkout.'
    ) from error

from .._values import publish
from ._arrays import gram
from ._estimators import DaskNTKClassifier, DaskNTKRegressor
from ._operator import ClusterOperator

__all__ = ["ClusterOperator", "DaskNTKClassifier", "DaskNTKRegressor", "gram"]

publish(__name__, globals())
