"""Invalid values in place of numbers, rows or parameters, and the form of error messages."""

import numpy as np
import pytest
from scipy import sparse

pd = pytest.importorskip("pandas")

X = np.arange(6.0).reshape(3, 2)
K = X @ X.T + np.eye(3)

NO_NUMBERS = {
    "nan": [[np.nan, 1.0]],
    "inf": [[1.0, -np.inf]],
    "strings": [["a", "b"]],
    "digits": [["1", "2"]],
    "digits among objects": np.array([["1", 2.0]], dtype=object),
    "bytes": np.array([[b"1"]]),
    "complex": [[1j, 2.0]],
    "sparse": sparse.eye(2).tocsr(),
    "NA": pd.DataFrame({"a": [1, pd.NA], "b": [1, 2]}),
    "NA of integers": pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
    "NaT": pd.DataFrame({"a": [pd.NaT]}),
    "None": [[None, 1.0]],
    "nothing": None,
    "ragged": [[1.0, 2.0], [1.0]],
    "dates": np.array([["2020-01-01"]], dtype="datetime64[D]"),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", "y"])}),
    "too large": [[10**400, 1.0]],
    "too long": np.array([[np.longdouble(10) ** 400, 1.0]]),
    "masked": np.ma.masked_array([[1.0, 2.0]], mask=[[True, False]]),
    "dict": {"a": 1},
    "set": {1.0, 2.0},
    "object": object(),
}


def is_one_sentence(error):
    text = str(error.value)
    return "\n" not in text and text.endswith(".") and "; got " in text and text.count(". ") <= 1
