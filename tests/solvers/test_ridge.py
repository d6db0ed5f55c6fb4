"""Ridge solves: the stated problem is solved, and leave-one-out is what its name says."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from ridge_problems import bordered, left_out, mean_error, problem, smooth_problem
from scipy.linalg import LinAlgWarning

from sklearn_ntk.gram import ArrayOperator
from sklearn_ntk.solvers import RELATIVE_RIDGES, EarlyStopping, Path, Ridge, _exact
from sklearn_ntk.solvers import _ridge as solvers
from sklearn_ntk.solvers._solution import relative_error

ROUTES = pytest.mark.parametrize("limit", [1000, 0], ids=["spectrum", "cholesky"])


def use_route(monkeypatch, limit):
    """Search along one of the routes; beyond the limit it begins from very few rows."""
    monkeypatch.setattr(_exact, "SPECTRAL_LIMIT", limit)
    monkeypatch.setattr(solvers, "SUBSET_ROWS", 6)


def fit_ridge(K, Y, weights, ridge):
    return Ridge(ridge).fit(ArrayOperator(K, overwrite=True), Y, weights)


def select_ridge(K, Y, weights, ridges, like=None):
    return Ridge(ridges).fit(ArrayOperator(K, overwrite=True), Y, weights, like)


@pytest.mark.parametrize("limit", [1000, 0], ids=["spectrum", "cholesky"])
@pytest.mark.parametrize("ridges", [0.3, [0.01, 0.1, 1.0, 10.0]])
def test_rows_that_taught_a_kernel_are_judged_by_another_one(monkeypatch, limit, ridges):
    """The solution is that of the kernel, and residuals are those of the others."""
    use_route(monkeypatch, limit)
    K, Y, weights = problem(n_outputs=2)
    others, rows = (
        [K**2, np.exp(K)],
        np.array_split(np.random.default_rng(0).permutation(len(K)), 3),
    )
    path = Ridge(ridges, is_smooth=False).fit(
        K.copy(), Y, weights, blind=list(zip(others, rows, strict=False))
    )
    found, plain = path.solution, fit_ridge(K.copy(), Y, weights, path.value).solution
    assert_allclose(found.dual, plain.dual, rtol=1e-9)
    for name in ("residuals", "precision", "training_residuals", "leverages"):
        for other, own in zip([*others, K], rows, strict=True):
            expected = fit_ridge(other.copy(), Y, weights, path.value).solution
            values = getattr(found, name)[own], getattr(expected, name)[own]
            assert_allclose(*values, rtol=1e-7, atol=1e-12)
    if len(path.errors):
        errors = [
            relative_error(
                Ridge(ridge)
                .fit(K, Y, weights, blind=list(zip(others, rows, strict=False)))
                .solution,
                Y,
                weights,
            )
            for ridge in path.values
        ]
        assert_allclose(path.errors, errors, rtol=1e-7)
        assert path.best == np.argmin(errors)


@pytest.mark.parametrize("times", [2.0, [0.1, 2.0, 50.0]])
def test_rows_that_taught_a_kernel_are_judged_by_another_one_in_training(times):
    K, Y, weights = problem(n_outputs=2)
    others, rows = (
        [K**2, np.exp(K)],
        np.array_split(np.random.default_rng(0).permutation(len(K)), 3),
    )
    blind = list(zip(others, rows, strict=False))
    path = EarlyStopping(times).fit(K.copy(), Y, weights, blind)
    for other, own in zip([*others, K], rows, strict=True):
        expected = EarlyStopping(path.value).fit(other.copy(), Y, weights).solution
        for name in ("residuals", "precision", "training_residuals", "leverages"):
            values = getattr(path.solution, name)[own], getattr(expected, name)[own]
            assert_allclose(*values, rtol=1e-7, atol=1e-12)


# --- One ridge -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("ridge", [1e-6, 0.3, 20.0])
def test_solution_is_that_of_the_bordered_system(n_outputs, ridge):
    K, Y, weights = problem(n_outputs=n_outputs)
    found = fit_ridge(K.copy(), Y, weights, ridge)
    dual, intercept = bordered(K, Y, weights, ridge)
    assert found.solution.dual.shape == (9, n_outputs) and found.solution.intercept.shape == (
        n_outputs,
    )
    assert_allclose(found.solution.dual, dual, rtol=1e-8, atol=1e-10)
    assert_allclose(found.solution.intercept, intercept, rtol=1e-8)


def test_solution_minimises_the_objective():
    K, Y, weights = problem()
    found = fit_ridge(K.copy(), Y, weights, 0.5)

    def objective(dual, intercept):
        residuals = Y[:, 0] - K @ dual - intercept
        return weights @ residuals**2 + 0.5 * dual @ K @ dual

    lowest = objective(found.solution.dual[:, 0], found.solution.intercept[0])
    rng = np.random.default_rng(1)
    for _ in range(20):
        step = 1e-3 * rng.normal(size=10)
        assert (
            objective(found.solution.dual[:, 0] + step[:9], found.solution.intercept[0] + step[9])
            > lowest
        )


def test_weights_are_repetitions():
    K, Y, _ = problem(n_outputs=2)
    counts = np.array([1, 2, 1, 3, 1, 1, 2, 1, 1])
    rows = np.repeat(np.arange(9), counts)
    weighted = fit_ridge(K.copy(), Y, counts.astype(float), 0.2)
    repeated = fit_ridge(K[np.ix_(rows, rows)], Y[rows], np.ones(len(rows)), 0.2)
    assert_allclose(
        repeated.solution.dual, (weighted.solution.dual / counts[:, None])[rows], rtol=1e-9
    )
    assert_allclose(repeated.solution.intercept, weighted.solution.intercept, rtol=1e-9)


def test_scaling_weights_and_ridge_changes_nothing():
    K, Y, weights = problem()
    first, second = (fit_ridge(K.copy(), Y, c * weights, c * 0.2) for c in (1.0, 10.0))
    assert_allclose(second.solution.dual, first.solution.dual, rtol=1e-9)
    assert_allclose(second.solution.residuals, first.solution.residuals, rtol=1e-9)
    assert_allclose(second.solution.precision, first.solution.precision, rtol=1e-9)


@pytest.mark.parametrize("n, n_outputs", [(2, 1), (3, 2), (9, 3)])
@pytest.mark.parametrize("ridge", [1e-4, 0.3])
def test_residuals_and_precision_are_those_of_leaving_one_out(n, n_outputs, ridge):
    K, Y, weights = problem(n, n_outputs)
    found = fit_ridge(K.copy(), Y, weights, ridge)
    residuals, variances = left_out(K, Y, weights, ridge)
    assert_allclose(found.solution.residuals, residuals, rtol=1e-8, atol=1e-8)
    assert_allclose(found.solution.precision, 1.0 / variances, rtol=1e-8)


def test_one_candidate_is_reported_without_errors():
    K, Y, weights = problem()
    found = fit_ridge(K, Y, weights, 0.3)
    assert found.value == 0.3 and found.errors.shape == (0,)
    assert_array_equal(found.values, [0.3])


@ROUTES
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 3.0])
def test_selected_ridge_has_the_smallest_error_of_all(monkeypatch, limit, noise):
    use_route(monkeypatch, limit)
    K, Y, weights = smooth_problem(noise=noise)
    ridges = RELATIVE_RIDGES[4:]  # smaller ones are lost in the rounding of this matrix
    found = select_ridge(K.copy(), Y, weights, ridges)
    errors = [mean_error(K, Y, weights, ridge) for ridge in ridges]
    assert found.value == ridges[np.argmin(errors)]
    tried = np.isin(ridges, found.values)
    assert_allclose(found.errors, np.array(errors)[tried], rtol=1e-6)
    assert tried.all() or limit == 0


@ROUTES
def test_selection_returns_the_solution_of_its_ridge(monkeypatch, limit):
    use_route(monkeypatch, limit)
    K, Y, weights = smooth_problem()
    found = select_ridge(K.copy(), Y, weights, RELATIVE_RIDGES)
    again = fit_ridge(K.copy(), Y, weights, found.value)
    assert 1e-3 < found.value < 10.0
    for name in ("dual", "intercept", "residuals", "precision"):
        expected = getattr(again.solution, name)
        assert_allclose(
            getattr(found.solution, name), expected, rtol=1e-8, atol=1e-9 * np.ptp(expected)
        )
    assert found.errors.min() == found.errors[found.values == found.value]


def test_descent_tries_few_candidates(monkeypatch):
    K, Y, weights = smooth_problem()
    whole = select_ridge(K.copy(), Y, weights, RELATIVE_RIDGES)
    monkeypatch.setattr(_exact, "SPECTRAL_LIMIT", 20)
    monkeypatch.setattr(solvers, "SUBSET_ROWS", 20)  # of 25: they point to the neighbourhood
    some = select_ridge(K.copy(), Y, weights, RELATIVE_RIDGES)
    assert len(whole.values) == len(RELATIVE_RIDGES) == 15
    assert 3 <= len(some.values) <= 5
    assert some.value == whole.value
    kept = np.isin(whole.values, some.values)
    assert_allclose(some.errors, whole.errors[kept], rtol=1e-9)
    assert np.all(np.diff(some.values) > 0)


def start_of(path):
    return path.guess, path.shift, path.ratio


def test_path_of_a_similar_problem(monkeypatch):
    """It saves all factorisations of the whole matrix but one."""
    use_route(monkeypatch, 0)
    K, Y, weights = smooth_problem()
    first = select_ridge(K.copy(), Y, weights, RELATIVE_RIDGES)
    assert RELATIVE_RIDGES[first.guess + first.shift] == first.value
    for start in (first.guess, 0, 14):  # where to begin does not matter
        other = first._replace(guess=start)
        again = select_ridge(K.copy(), Y, weights, RELATIVE_RIDGES, like=other)
        assert start_of(again) == start_of(first)
        assert_array_equal(again.values, [first.value])
        assert_array_equal(again.solution.residuals, first.solution.residuals)
    scaled = select_ridge(0.01 * K, Y, weights, RELATIVE_RIDGES, like=first)
    assert start_of(scaled) == start_of(first._replace(guess=first.guess - 4))
    assert scaled.value == pytest.approx(0.01 * first.value)


@pytest.mark.parametrize("shift", [-9, -3, 3, 99])
def test_path_that_is_not_similar(monkeypatch, shift):
    """The error is larger than it promises: then the search goes on, and the next path is right."""
    use_route(monkeypatch, 0)
    K, Y, weights = smooth_problem()
    first = select_ridge(K.copy(), Y, weights, RELATIVE_RIDGES)
    wrong = first._replace(shift=first.shift + shift)
    again = select_ridge(K.copy(), Y, weights, RELATIVE_RIDGES, like=wrong)
    assert again.value == first.value and len(again.values) > 1
    assert start_of(again) == start_of(first)


def test_path_that_begins_at_a_ridge_that_is_too_small(monkeypatch):
    use_route(monkeypatch, 0)
    K, Y = np.diag([1.0, 2.0, -3.0]), np.arange(3.0)[:, None]
    like = Path(None, None, 0, None, guess=2, shift=-14, ratio=1.0)
    found = select_ridge(K.copy(), Y, np.ones(3), RELATIVE_RIDGES, like)
    assert found.value > 3.0 and len(found.values) > 1


def test_one_ridge_needs_no_search(monkeypatch):
    use_route(monkeypatch, 0)
    K, Y, weights = smooth_problem()
    like = Path(None, None, 0, None, guess=5, shift=2, ratio=1.0)
    found = select_ridge(K.copy(), Y, weights, [0.3], like)
    assert_array_equal(found.values, [0.3])
    assert_allclose(found.solution.dual, fit_ridge(K, Y, weights, 0.3).solution.dual)


@pytest.mark.parametrize("n_ridges", [1, 2, 3])
def test_descent_among_few_candidates(monkeypatch, n_ridges):
    K, Y, weights = smooth_problem()
    for start in range(0, 15, 2):
        ridges = RELATIVE_RIDGES[start : start + n_ridges]
        whole = select_ridge(K.copy(), Y, weights, ridges)
        with monkeypatch.context() as patch:
            use_route(patch, 0)
            assert select_ridge(K.copy(), Y, weights, ridges).value == whole.value


@ROUTES
def test_outputs_count_in_units_of_their_variance(monkeypatch, limit):
    use_route(monkeypatch, limit)
    K, Y, weights = smooth_problem()
    scaled = select_ridge(K.copy(), Y * [1e-3, 1e5] + [7.0, -1e4], weights, RELATIVE_RIDGES)
    plain = select_ridge(K.copy(), Y, weights, RELATIVE_RIDGES)
    assert scaled.value == plain.value
    assert_allclose(scaled.errors, plain.errors, rtol=1e-6)


# --- Extremes ------------------------------------------------------------------------------------


@ROUTES
def test_constant_target_is_the_intercept(monkeypatch, limit):
    use_route(monkeypatch, limit)
    K, _, weights = problem()
    for found in (
        select_ridge(K.copy(), np.full((9, 1), 3.0), weights, RELATIVE_RIDGES),
        fit_ridge(K.copy(), np.full((9, 1), 3.0), weights, 0.1),
    ):
        assert_allclose(found.solution.intercept, 3.0, rtol=1e-12)
        assert_allclose(found.solution.dual, 0.0, atol=1e-11)
        assert_allclose(found.solution.residuals, 0.0, atol=1e-11)


@ROUTES
@pytest.mark.parametrize("value", [2.0, 0.1, 1e5 + 0.3])
def test_constant_output_does_not_choose_the_ridge(monkeypatch, limit, value):
    use_route(monkeypatch, limit)
    K, Y, weights = smooth_problem()
    alone = select_ridge(K.copy(), Y, weights, RELATIVE_RIDGES)
    both = select_ridge(
        K.copy(), np.column_stack([Y, np.full(len(Y), value)]), weights, RELATIVE_RIDGES
    )
    assert both.value == alone.value
    assert_allclose(both.errors * 3, alone.errors * 2, rtol=1e-9)


@ROUTES
def test_one_row_is_the_intercept(monkeypatch, limit):
    use_route(monkeypatch, limit)
    for found in (
        select_ridge(np.array([[2.0]]), np.array([[5.0, -1.0]]), np.ones(1), RELATIVE_RIDGES),
        fit_ridge(np.array([[2.0]]), np.array([[5.0, -1.0]]), np.full(1, 3.0), 0.1),
    ):
        assert_allclose(found.solution.intercept, [5.0, -1.0], rtol=1e-14)
        assert_allclose(found.solution.dual, 0.0, atol=1e-13)
        assert_allclose(found.solution.residuals, 0.0, atol=1e-13)
        assert np.all(np.isfinite(found.solution.precision)) and np.all(np.isfinite(found.errors))


@ROUTES
def test_two_rows(monkeypatch, limit):
    use_route(monkeypatch, limit)
    K, Y, _ = problem(2)
    found = select_ridge(K.copy(), Y, np.ones(2), RELATIVE_RIDGES)
    gap = Y[1, 0] - Y[0, 0]
    assert_allclose(
        found.solution.residuals[:, 0], [-gap, gap], rtol=1e-12
    )  # one predicts the other
    dual, intercept = bordered(K, Y, np.ones(2), found.value)
    assert_allclose(found.solution.dual, dual, rtol=1e-8)
    assert_allclose(found.solution.intercept, intercept, rtol=1e-8)


def singular():
    A = np.random.default_rng(0).normal(size=(6, 2))
    return A @ A.T


def test_singular_matrix_without_ridge_warns():
    Y = singular() @ np.arange(6.0)[:, None]  # attainable
    with pytest.warns(LinAlgWarning, match="singular.* was added.* Increase alpha"):
        found = fit_ridge(singular(), Y, np.ones(6), 0.0)
    assert_allclose(singular() @ found.solution.dual + found.solution.intercept, Y, rtol=1e-6)


@ROUTES
def test_singular_matrix_with_ridge_does_not_warn(monkeypatch, limit):
    use_route(monkeypatch, limit)
    Y = np.random.default_rng(1).normal(size=(6, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_ridge(singular(), Y, np.ones(6), 1e-6)
        found = select_ridge(singular(), Y, np.ones(6), RELATIVE_RIDGES)
    assert np.all(np.isfinite(found.errors))


@ROUTES
def test_indefinite_matrix_is_refused_with_its_eigenvalue(monkeypatch, limit):
    use_route(monkeypatch, limit)
    K, Y = np.diag([1.0, 2.0, -3.0]), np.arange(3.0)[:, None]
    message = "must be positive definite; its smallest eigenvalue is -2.5.* or increase alpha"
    with pytest.raises(ValueError, match=message):
        fit_ridge(K.copy(), Y, np.ones(3), 0.5)
    with pytest.raises(ValueError, match=message):
        select_ridge(K.copy(), Y, np.ones(3), [0.1, 0.2, 0.5])
    with pytest.raises(ValueError, match=r"smallest eigenvalue is -5\.5"):  # of the weighted matrix
        fit_ridge(K.copy(), Y, np.full(3, 2.0), 0.5)


@ROUTES
def test_ridge_that_makes_an_indefinite_matrix_definite_is_used(monkeypatch, limit):
    use_route(monkeypatch, limit)
    K, Y = np.diag([1.0, 2.0, -3.0]), np.arange(3.0)[:, None]
    found = select_ridge(K.copy(), Y, np.ones(3), RELATIVE_RIDGES)
    assert found.value > 3.0
    assert_allclose(found.solution.dual, bordered(K, Y, np.ones(3), found.value)[0], rtol=1e-8)
