"""What functions of rows take, and how they refuse the rest: in one sentence."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from odd_values import NO_NUMBERS, K, X, is_one_sentence

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor, architectures
from sklearn_ntk.activations import Polynomial
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import Dense, Residual, lower
from sklearn_ntk.model_selection import precomputed

pd = pytest.importorskip("pandas")

PROGRAM = lower(architectures.mlp(1))
NO_ROWS = NO_NUMBERS | {
    "scalar": 3.0,
    "one axis": [1.0, 2.0],
    "three axes": np.ones((2, 2, 2)),
    "no column": np.ones((2, 0)),
}
ROWS = {
    "list": [[0, 1], [2, 3], [4, 5]],
    "frame": pd.DataFrame(X, columns=["a", "b"]),
    "nullable": pd.DataFrame(X.astype(int)).astype("Int64"),
    "objects": X.astype(object),
    "integers": X.astype(np.uint8),
    "float32": X.astype(np.float32),
    "Fortran": np.asfortranarray(X),
    "read-only": np.frombuffer(X.tobytes()).reshape(3, 2),
    "unmasked": np.ma.masked_array(X),
}


# --- Rows -----------------------------------------------------------------------------------------

OF_ROWS = {
    "gram": lambda X: gram(PROGRAM, X),
    "gram with Y": lambda Y: gram(PROGRAM, X, Y),
    "diagonal": lambda X: diagonal(PROGRAM, X),
    "precomputed": lambda X: precomputed(NTKRegressor(NTKKernel(1)), X)[1],
}
of_rows = pytest.mark.parametrize("function", OF_ROWS.values(), ids=OF_ROWS)


@of_rows
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_rows(function, rows):
    assert_allclose(function(rows), function(X), rtol=1e-12)


@of_rows
@pytest.mark.parametrize("rows", NO_ROWS.values(), ids=NO_ROWS)
def test_no_rows(function, rows):
    rows = "nothing" if rows is None and function == OF_ROWS["gram with Y"] else rows
    with pytest.raises(ValueError, match=r"[XY] must be an array \(n, d\) of finite") as error:
        function(rows)
    assert is_one_sentence(error)


@pytest.mark.parametrize(
    ("X", "seen"),
    [
        (np.array([[1.0, 2.0], [2.0, {}]]), "{}: make it a number"),
        (np.array([[1, 10**400]], dtype=object), "1000.*: make it a number"),
        (np.ma.masked_array([[1.0, 2.0]], mask=[[True, False]]), "masked numbers: fill them in"),
        (pd.DataFrame({"a": [1, pd.NA]}), "<NA>: make it a number"),
    ],
    ids=["dict", "too large", "masked", "NA"],
)
def test_entries_of_kernels_that_are_no_numbers_are_named(X, seen):
    kernel = NTKKernel(1)
    for use in (kernel, kernel.diag, lambda X: kernel(np.eye(2), X)):
        with pytest.raises(ValueError, match=rf"[XY] must be an array \(n, d\) .*; got .*{seen}"):
            use(X)


ODD_CALLS = {
    "coefficients without axis": lambda: NTKKernel(1, Polynomial(np.array(2.0)))(X),
    "shortcut of numbers": lambda: lower((Residual((Dense(),), np.ones(2)), Dense())),
    "duration": lambda: NTKKernel(weight_var=np.timedelta64(1, "D"))(X),
    "count of durations": lambda: architectures.mlp(np.timedelta64(1, "D")),
    "too many": lambda: architectures.resmlp(10**400),
    "deep": lambda: NTKKernel(10**400)(X),
}


@pytest.mark.parametrize("use", ODD_CALLS.values(), ids=ODD_CALLS)
def test_odd_values(use):
    with pytest.raises((ValueError, TypeError), match=r"must be .*; got") as error:
        use()
    assert is_one_sentence(error)


@pytest.mark.parametrize("function", [gram, diagonal])
def test_other_arguments_of_gram_matrices(function):
    for program in (None, architectures.mlp(1), "relu"):
        with pytest.raises(TypeError, match=r"program must be a Program.*; got"):
            function(program, X)
    for get in (None, 5, "kernel", (), ("ntk", "ntk"), [["ntk"]], {"ntk"}, pd.NA, K, [pd.NA], [K]):
        with pytest.raises(ValueError, match="get must be 'ntk', 'nngp' or a tuple of them; got"):
            function(PROGRAM, X, get=get)
    for dtype in ("float16", None, int, "single precision", ["float64"], complex, pd.NA, K):
        with pytest.raises(ValueError, match="dtype must be 'float64' or 'float32'; got"):
            function(PROGRAM, X, dtype=dtype)
    for gradient in (None, "no", pd.NA, K, -1, 2, 1.0):
        with pytest.raises(ValueError, match="gradient must be True or False; got"):
            function(PROGRAM, X, gradient=gradient)
    assert len(function(PROGRAM, X, gradient=np.True_)) == 2
    for dtype in ("f4", np.float32, np.dtype("float32")):
        assert function(PROGRAM, X, dtype=dtype).dtype == np.float32
        assert NTKKernel(1, dtype=dtype)(X).dtype == np.float32
    assert isinstance(function(PROGRAM, X, get=["ntk"]), tuple)


def test_precomputed_leaves_the_estimator_alone():
    model = NTKClassifier("ntk", depth=1)
    twin, _ = precomputed(model, pd.DataFrame(X))
    assert twin.kernel == "precomputed" and model.kernel == "ntk"
