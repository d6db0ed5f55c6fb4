"""Local models: trees, blending, and leave-one-out residuals of the whole."""

import re

import numpy as np
import pytest
from large_problems import rows_of, values_of
from numpy.testing import assert_allclose, assert_array_equal
from scipy import linalg
from sklearn.gaussian_process.kernels import RBF

from sklearn_ntk import NTKKernel
from sklearn_ntk.engines import _tasks
from sklearn_ntk.gram import KernelOperator
from sklearn_ntk.solvers import Local, Ridge, _local
from sklearn_ntk.solvers._solution import relative_error
from sklearn_ntk.solvers._tree import Split, directions_of, grow, shares

# --- Trees ----------------------------------------------------------------------------------------


def axes(rows):
    """Directions along the columns, in their order."""
    return np.eye(3)


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("n", [5, 6, 60])
def test_leaves_hold_all_rows_and_shares_sum_to_one(overlap, n):
    X = np.random.default_rng(0).normal(size=(n, 3))
    tree, leaves = grow(X, 4, overlap, axes)
    assert max(map(len, leaves)) <= 4 and set(np.concatenate(leaves)) == set(range(n))
    if not overlap:
        assert sum(map(len, leaves)) == n
    for rows in (X, np.random.default_rng(1).normal(size=(50, 3))):
        total = np.zeros(len(rows))
        for number, index, share in shares(tree, rows):
            assert np.all((share > 0.0) & (share <= 1.0))
            total[index] += share
            if rows is X:
                assert set(index) <= set(leaves[number])
        assert_allclose(total, 1.0, rtol=1e-12)


def test_quantiles_of_a_split():
    X = np.arange(100.0)[:, None]
    tree, leaves = grow(X, 60, 0.1, lambda rows: np.eye(1))
    assert isinstance(tree, Split) and (tree.low, tree.high) == (40.0, 59.0)
    assert_array_equal(leaves[0], np.arange(60))
    assert_array_equal(leaves[1], np.arange(40, 100))
    assert_allclose(
        tree.share(np.array([[0.0], [40.0], [49.5], [59.0], [80.0]])), [0, 0, 0.5, 1, 1]
    )


def test_columns_that_tie_are_passed_over_and_ranks_decide_where_all_do():
    X = np.zeros((40, 3))
    X[:, 0], X[:, 1] = np.arange(40) % 2, np.random.default_rng(0).normal(size=40)
    tree, _ = grow(X, 25, 0.1, axes)
    assert_array_equal(tree.direction, [0.0, 1.0, 0.0])
    for overlap in (0.0, 0.1):
        tree, leaves = grow(np.ones((40, 3)), 25, overlap, axes)
        assert len(leaves) == 2 and set(np.concatenate(leaves)) == set(range(40))
        assert_array_equal(tree.share(np.ones((1, 3))), 0.5)


# --- Models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ridge", [None, 0.1])
def test_one_leaf_is_the_exact_solution(ridge):
    operator, Y, weights = rows_of(n=200)
    path = Local(ridge).fit(operator, Y, weights)
    exact = Ridge(ridge).fit(operator, Y, weights)
    assert path.value == exact.value and len(path.solution.details.leaves) == 1
    assert_allclose(path.solution.residuals, exact.solution.residuals, rtol=1e-8)
    assert_allclose(path.solution.precision, exact.solution.precision, rtol=1e-8)
    X = operator.X + 0.1
    assert_allclose(values_of(path, operator, X), values_of(exact, operator, X), rtol=1e-8)


@pytest.mark.parametrize("overlap", [0.0, 0.1])
def test_leave_one_out_residuals_are_those_of_refits_with_this_tree(overlap):
    operator, Y, weights = rows_of(n=120, d=2)
    solution = Local(0.1, leaf_size=40, overlap=overlap).fit(operator, Y, weights).solution
    tree, leaves = solution.details
    assert len(leaves) >= 4
    for i in (0, 17, 60, 119):
        value = np.zeros(2)
        for number, _, share in shares(tree, operator.X[[i]]):
            rows = np.setdiff1d(leaves[number].rows, [i])
            part = operator.take(rows)
            local = Ridge(0.1).fit(part, Y[rows], weights[rows]).solution
            cross = operator.kernel(operator.X[[i]], part.X)
            value += share * (cross @ local.dual + local.intercept)[0]
        assert_allclose(solution.residuals[i], Y[i] - value, rtol=1e-7)


def test_predictions_are_continuous_and_close_to_those_of_one_model():
    operator, Y, _ = rows_of(n=500, d=2, k=1)
    path = Local(leaf_size=125).fit(operator, Y)
    line = np.linspace([-2.0, -1.5], [2.0, 1.7], 2001)
    values = values_of(path, operator, line)
    assert np.abs(np.diff(values, axis=0)).max() < 0.02
    exact = values_of(Ridge(path.value).fit(operator, Y), operator, line)
    assert np.sqrt(np.mean((values - exact) ** 2)) < 0.1


def test_splits_follow_the_gradient():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4)) * [1.0, 100.0, 1.0, 1.0]
    y = np.sin(2.0 * X[:, 2])
    kernel = NTKKernel()
    for transform in (1.0, [1.0, 1.0, 1000.0, 1.0]):  # in units of the standard deviations
        rows = X * transform / [1.0, 100.0, 1.0, 1.0]
        tree = Local(0.1, leaf_size=400).fit(KernelOperator(kernel, rows), y).solution.details.tree
        scaled = np.abs(tree.direction * rows.std(axis=0))
        assert scaled[2] > 0.9 * np.linalg.norm(scaled)


@pytest.mark.parametrize("kernel", [RBF(2.0), NTKKernel(activation="sign")], ids=["rbf", "sign"])
def test_kernels_without_gradients_are_split_along_the_principal_component(kernel):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) * [1.0, 3.0, 1.0]
    operator = KernelOperator(kernel, X)
    path = Local(0.1, leaf_size=200).fit(operator, X[:, 0])
    direction = np.abs(path.solution.details.tree.direction)
    assert direction[1] > 0.9 * np.linalg.norm(direction)


@pytest.mark.parametrize("kernel", [RBF(20.0), NTKKernel()], ids=["rbf", "ntk"])
@pytest.mark.parametrize("n", [50, 260])
def test_few_directions_of_many_columns_are_found(kernel, n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 250))
    X[:, 7] *= 10.0
    y, weights = X[:, [7]], np.ones(n)
    found = directions_of(KernelOperator(kernel, X), y, weights, 0.1)
    assert found.shape == (250, 49 if n < 200 and isinstance(kernel, RBF) else 8)
    first = np.abs(found[:, 0] * (1.0 if isinstance(kernel, RBF) else X.std(axis=0)))
    assert first[7] > 0.9 * np.linalg.norm(first)
    same = directions_of(KernelOperator(RBF(1.0), np.ones((n, 250))), y, weights, 0.1)
    assert np.all(np.isfinite(same)) and np.any(same)


def test_ridge_is_the_best_one_of_the_blended_errors():
    operator, Y, weights = rows_of(n=450, d=2, noise=0.5)
    operator = KernelOperator(RBF(2.0), operator.X)  # without gradients trees are the same
    solver = Local(leaf_size=200)
    path = solver.fit(operator, Y, weights)
    assert path.errors[path.best] == path.errors.min() and 0 < path.best < len(path.values) - 1
    for ridge, error in zip(path.values, path.errors, strict=True):
        again = solver._replace(ridges=ridge).fit(operator, Y, weights).solution
        assert len(again.details.leaves) == 4
        assert_allclose(error, solver.error(again, Y, weights), rtol=1e-8)


@pytest.mark.parametrize("noise", [0.0, 0.5, 5.0])
def test_errors_of_a_search_are_those_of_their_ridges(noise):
    operator, Y, weights = rows_of(n=520, noise=noise)
    path = Local().fit(operator, Y, weights)
    fits = [Ridge(ridge).fit(operator, Y, weights).solution for ridge in path.values]
    assert len(fits) > 1
    assert_allclose(path.errors, [relative_error(fit, Y, weights) for fit in fits], rtol=1e-8)
    assert_allclose(path.solution.residuals, fits[path.best].residuals, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("has_judges", [False, True])
def test_some_leaves_choose_the_ridge_of_many_rows(monkeypatch, has_judges):
    monkeypatch.setattr(_local, "CHOOSING_ROWS", 400)
    operator, Y, weights = rows_of(n=1600, noise=0.5)
    operator = KernelOperator(RBF(2.0), operator.X)  # without gradients trees are the same
    judges = np.arange(0, 1600, 2) if has_judges else None
    some, samples = _local._BlendedTrials._some, []

    def keep(self, rng):
        samples.append(some(self, rng))
        return samples[-1]

    monkeypatch.setattr(_local._BlendedTrials, "_some", keep)
    solver = Local(leaf_size=50)
    path = solver.fit(operator, Y, weights, judges)
    (sample,) = samples
    assert len(path.solution.details.leaves) == 128 and 8 <= len(sample.leaves) <= 64
    enough = _local.LEAST_CHOOSING if has_judges else 400  # a fourth of them
    assert len(sample._judges) >= enough
    assert set(sample._judges) <= set(range(1600) if judges is None else judges)
    total = np.zeros(1600)
    for leaf, share in zip(sample.leaves, sample._shares, strict=True):
        total[leaf] += share
    assert_allclose(total[sample._judges], 1.0)
    whole = solver._replace(ridges=path.value).fit(operator, Y, weights).solution
    assert_allclose(
        path.solution.residuals, whole.residuals, rtol=1e-8, atol=1e-12
    )  # some are tiny
    error_of_all = relative_error(whole.among(judges), Y, weights)
    assert_allclose(path.errors[path.best], error_of_all, rtol=1e-8)
    assert path.errors[path.best] == path.errors.min()
    monkeypatch.setattr(_local, "CHOOSING_ROWS", 1600)
    exact = solver.fit(operator, Y, weights, judges)
    assert error_of_all < 1.05 * exact.errors.min()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_leaves_that_do_not_speak_for_all_choose_no_ridge(monkeypatch, seed):
    monkeypatch.setattr(_local, "CHOOSING_ROWS", 80)
    monkeypatch.setattr(_local, "CHOOSING_LEAVES", 3)
    X = np.random.default_rng(0).uniform(-1.0, 1.0, (500, 2))  # targets vary in a corner
    y = np.where(X[:, 0] > 0.8, np.sin(40.0 * X[:, 0]) * np.cos(5.0 * X[:, 1]), 0.0)
    operator = KernelOperator(RBF(0.2), X)
    solver = Local(leaf_size=40, seed=seed)
    path = solver.fit(operator, y)
    monkeypatch.setattr(_local, "CHOOSING_ROWS", 500)
    exact = solver.fit(operator, y)
    assert path.errors[path.best] < 1.05 * exact.errors.min()


@pytest.mark.slow
def test_a_leaf_without_solution_has_a_say_though_it_was_not_drawn(monkeypatch):
    monkeypatch.setattr(_local, "CHOOSING_ROWS", 200)
    monkeypatch.setattr(_local, "CHOOSING_LEAVES", 2)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-30.0, 30.0, 1900), rng.uniform(-0.01, 0.01, 100)])
    y = np.sin(x) + rng.normal(size=len(x))
    ridges = [1e-17, 1e-15, 1e-12, 1e-6, 1e-3, 1e-1]
    for seed in range(2):
        solver = Local(ridges, leaf_size=100, seed=seed)
        path = solver.fit(KernelOperator(RBF(1.0), x[:, None]), y)
        assert path.value > 1e-12 and path.errors[path.best] < 1.0


def test_leaves_without_any_solution_get_a_jitter(monkeypatch):
    monkeypatch.setattr(_local, "CHOOSING_ROWS", 50)
    monkeypatch.setattr(_local, "CHOOSING_LEAVES", 2)
    x = np.linspace(-1.0, 1.0, 400)[:, None]
    operator = KernelOperator(RBF(100.0), x)
    with pytest.warns(linalg.LinAlgWarning, match="singular to working precision"):
        path = Local([0.0, 1e-300], leaf_size=40).fit(operator, x[:, 0])
    assert np.all(np.isfinite(path.solution.residuals))


@pytest.mark.slow
def test_few_leaves_choose_all_of_them_and_one_ridge_needs_no_search(monkeypatch):
    operator, Y, weights = rows_of(n=400, noise=0.5)
    for overlap, judges in ((0.1, None), (0.2, np.arange(0, 400, 5))):
        path = Local(leaf_size=100, overlap=overlap).fit(operator, Y, weights, judges)
        error = relative_error(path.solution.among(judges), Y, weights)
        assert_allclose(path.errors[path.best], error, rtol=1e-12)
    monkeypatch.setattr(_local, "guess_ridge", None)
    path = Local([0.1], leaf_size=40).fit(operator, Y, weights)
    assert path.value == 0.1 and len(path.errors) == 1


def test_leaves_of_one_class_have_constant_models():
    x = np.linspace(-1.0, 1.0, 200)[:, None]
    path = Local(leaf_size=60).fit(KernelOperator(NTKKernel(), x), np.sign(x))
    assert_allclose(values_of(path, KernelOperator(NTKKernel(), x), x[[0, -1]]), [[-1], [1]])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"leaf_size": 1}, "leaf_size must be at least 2; got 1"),
        ({"overlap": 0.5}, "overlap must be at most 0.4; got 0.5"),
        ({"overlap": -0.1}, "overlap must be a finite number >= 0"),
    ],
)
def test_bad_parameters(arguments, message):
    operator, Y, _ = rows_of(n=50)
    with pytest.raises(ValueError, match=message):
        Local(**arguments).fit(operator, Y)


def test_overlaps_that_make_too_many_leaves_are_refused_before_they_grow(monkeypatch):
    operator, Y, _ = rows_of(n=300)
    monkeypatch.setattr(_local, "grow", None)
    message = r"at most 20 of 300 rows .* by 0.3 have .* rows in all: take overlap=(0.\d+)"
    with pytest.raises(ValueError, match=message) as caught:
        Local(0.1, leaf_size=20, overlap=0.3).fit(operator, Y)
    overlap = float(re.search(message, str(caught.value))[1])
    leaves = grow(operator.X, 20, overlap, lambda rows: np.eye(4))[1]
    assert 10 * 300 < sum(map(len, leaves)) <= 20 * 300


def test_matrices_without_rows_are_refused():
    with pytest.raises(ValueError, match=r"Local models split rows.*pass a KernelOperator"):
        Local().fit(np.eye(3), np.arange(3.0))


@pytest.mark.parametrize("n_bytes, n_tasks", [(None, 3), (1.0, 1), (6e6, 2)])
def test_leaves_at_a_time_are_as_many_as_fit(monkeypatch, n_bytes, n_tasks):
    operator, Y, weights = rows_of(n=800)
    monkeypatch.setattr(_tasks, "host_threads", lambda: 3)
    monkeypatch.setattr(_tasks, "_on_threads", lambda n, function, *args: function(*args))
    asked, run = [], _tasks.map_apart
    monkeypatch.setattr(_tasks, "map_apart", lambda *args: asked.append(args[2]) or run(*args))
    many = Local(1.0, leaf_size=300, max_memory=n_bytes).fit(operator, Y, weights).solution
    assert asked == [n_tasks]
    one = Local(1.0, leaf_size=300, max_memory=1.0).fit(operator, Y, weights).solution
    assert_allclose(many.residuals, one.residuals, rtol=1e-7, atol=1e-12)
    for leaf_size, expected in ((100, 1), (500, 2), (800, 1)):  # small ones, two, and one
        Local(1.0, leaf_size).fit(operator, Y, weights)
        assert asked[-1] == expected
