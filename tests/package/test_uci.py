"""The benchmark on UCI sets: its kernels, its figures on tiny examples, and a short run."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def uci():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("uci")


# --- The published protocol -----------------------------------------------------------------------


def transcribed(X, Y, depth, frozen):
    """The formulas of Arora et al. in terms of angles."""
    S, T = X @ Y.T, 0.0
    a, b = (X**2).sum(axis=1), (Y**2).sum(axis=1)
    for layer in range(depth + 1):
        if layer > 0:
            norms = np.sqrt(np.outer(a, b))
            angle = np.arccos(np.clip(S / norms, -1.0, 1.0))
            S = norms * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2.0 * np.pi)
            T = T * (np.pi - angle) / (2.0 * np.pi)
            a, b = a / 2.0, b / 2.0
        if layer >= frozen:
            T = T + S
    return T


@pytest.mark.parametrize("frozen", range(5))
def test_kernels_are_those_published(uci, frozen):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(12, 3)), rng.normal(size=(9, 3))
    depths = range(frozen, 5)
    found = uci.published_kernels(X, Y, frozen, depths)
    assert len(found) == len(depths)
    for depth, K in zip(depths, found, strict=True):
        unit = (depth - frozen + 1) / 2.0**depth
        scale = unit * np.sqrt(np.outer((X**2).sum(axis=1), (Y**2).sum(axis=1)))
        assert np.all(np.abs(K - transcribed(X, Y, depth, frozen)) < 1e-10 * scale)
        assert np.allclose(K, uci.published_kernels(X, Y, frozen, [depth])[0], rtol=1e-14)
        own = uci.published_kernels(X, X, frozen, [depth])[0]
        assert np.allclose(own.diagonal(), unit * (X**2).sum(axis=1), rtol=1e-14)


def test_choice_takes_the_first_of_the_best(uci):
    X = np.array([[-2.0, 0.1], [-1.0, 0.2], [1.0, 0.1], [2.0, -0.3], [-3.0, 0.5], [3.0, 0.5]])
    y = np.array([0, 0, 1, 1, 0, 1])
    split = (np.arange(4), np.arange(4, 6))
    assert uci.choose(X, y, [split]) == (0, 0, 0.01)
    scores = uci.grid_scores(X, y, *split)
    assert scores.shape == (5, 5, 7)
    assert np.all((scores == -1.0) == (np.arange(5) > np.arange(5)[:, None])[..., None])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nested_machine_sees_only_its_rows(uci, monkeypatch):
    monkeypatch.setattr(uci, "DEPTH", 2)
    monkeypatch.setattr(uci, "COSTS", uci.COSTS[:4])
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    model = uci.NTKSVC().fit(X[:30], y[:30])
    assert model.point_ == uci.choose(
        X[:30], y[:30], list(uci.folds(y[:30], 4).split(X[:30], y[:30]))
    )
    assert np.mean(model.predict(X[30:]) == y[30:]) > 0.5


# --- Figures --------------------------------------------------------------------------------------


def test_log_loss_of_known_and_unknown_classes(uci):
    probabilities = np.array([[0.8, 0.2], [0.5, 0.5]])
    classes = np.array([3, 7])
    expected = -(np.log(0.8) + np.log(0.5)) / 2.0
    assert uci.log_loss(probabilities, classes, np.array([3, 7])) == pytest.approx(expected)
    lost = uci.log_loss(probabilities[:1], classes, np.array([5]))
    assert lost == pytest.approx(-np.log(np.finfo(float).eps))


def test_calibration_error_by_bins(uci):
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.62, 0.38], [1.0, 0.0]])
    y = np.array([0, 0, 0, 0])
    # bins of width 1/15: {0.9, 0.9} has accuracy 1/2, {0.62} has 1, {1.0} has 1
    expected = 0.5 * 0.4 + 0.25 * 0.38
    assert uci.calibration_error(probabilities, np.array([0, 1]), y) == pytest.approx(expected)


def test_log_likelihood_is_that_of_the_normal_density(uci):
    y, mean, std = np.array([1.0, 4.0]), np.array([1.0, 2.0]), np.array([1.0, 2.0])
    expected = -np.log(2.0 * np.pi) / 2.0 + (0.0 - 0.5 - np.log(2.0)) / 2.0
    assert uci.log_likelihood(y, mean, std) == pytest.approx(expected)


def test_friedman_rank_with_ties_and_gaps(uci):
    published = np.array([90.0, 80.0, 80.0, 70.0, np.nan])
    assert uci.friedman_rank(95.0, published) == 1.0
    assert uci.friedman_rank(80.04, published) == 3.0
    assert uci.friedman_rank(60.0, published) == 5.0


def test_shares_near_the_best(uci):
    accuracies, best = np.array([90.0, 95.0, 50.0, 100.0]), np.full(4, 100.0)
    assert uci.share_near(accuracies, best, 0.9) == 75.0
    assert uci.share_near(accuracies, best, 0.95) == 50.0
    pool = [np.array([100.0, 10.0]), np.array([100.0, 95.0]), np.array([100.0]), np.array([1.0])]
    figures = uci.against_pool(accuracies, best, pool)
    assert figures == ["75.00", "50.00", "83.75", "1.9"]


def test_summary_compares_with_published_accuracies(uci):
    def scores(*accuracies):
        return [{"accuracy": a, "fit": 1.0, "predict": 0.5} for a in accuracies]

    results = {
        "one": {"NTKClassifierCV()": scores(80.0, 90.0), "other": scores(70.0, 80.0)},
        "two": {"NTKClassifierCV()": scores(60.0, 60.0), "other": scores(66.0, 66.0)},
        "own test": {"NTKClassifierCV()": scores(20.0, 20.0)},
    }
    published = {"one": np.array([100.0, np.nan]), "two": np.array([50.0, 40.0])}
    rows = {row[0]: row[1:] for row in uci.summary(results, published, ["rf_caret", "svm_C"])}
    ours = rows["NTKClassifierCV()"]
    assert ours[:2] == [3, f"55.00 +- {np.std([85, 60, 20], ddof=1):.2f}"]
    assert ours[2:6] == ["50.00", "0.00", f"{50 * (0.85 + 60 / 66):.2f}", "1.5"]
    assert ours[6:] == ["", "", "2.0", "1.0", ""]
    assert rows["other"][0] == 2
    assert rows["other"][-1] == "2.00 +- 8.00"
    assert rows["rf_caret, published"][:2] == [2, f"75.00 +- {np.std([100, 50], ddof=1):.2f}"]


def test_rows_are_cut_at_random_but_the_same(uci):
    rows = np.arange(100, 200)
    found = uci.cut(rows, 10, 3)
    assert len(found) == 10
    assert set(found) < set(rows)
    assert np.array_equal(found, uci.cut(rows, 10, 3))
    assert uci.cut(rows, None, 3) is rows


# --- The program ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_quick_run(uci, tmp_path, monkeypatch, capsys):
    """Of all models, whose forests and grids are small."""
    monkeypatch.setattr(uci, "N_TREES", 50)
    monkeypatch.setattr(uci, "DEPTH", 1)
    target = tmp_path / "scores.json"
    monkeypatch.setattr(sys, "argv", ["uci.py", "--quick", "--json", str(target)])
    uci.main()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "| iris | 150 | 4 | 3 |" in printed.out
    names = [*uci.MODELS["classification"], *uci.MODELS["regression"]]
    assert {"NTKClassifierCV()", "SVC, tuned", "NTKRegressorCV()"} < set(names)
    for name in ("NTK-SVM as published", *names):
        assert f"| {name} |" in printed.out
    assert '"log likelihood"' in target.read_text()
