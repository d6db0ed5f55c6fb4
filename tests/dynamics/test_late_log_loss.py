"""Late training on the log loss, where classes cannot be separated: implicit steps."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from sklearn_ntk import NTKKernel
from sklearn_ntk.dynamics import LogLossTraining, _log_loss, _stiff

CONSTANTS = pytest.mark.parametrize("fit_intercept", [True, False])


def rows_of_two_classes(k, n=16):
    """Gram matrix of rows of which some come twice, with shares of classes that do not agree."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    X[n // 2 : n // 2 + 3] = X[:3]
    labels = np.arange(n) % k
    labels[n // 2 : n // 2 + 3] = (labels[:3] + 1) % k
    return NTKKernel(depth=1)(X), np.eye(k)[labels], rng.uniform(0.2, 4.0, n)


@pytest.mark.slow
@pytest.mark.parametrize(
    "k, alpha, fit_intercept",
    [
        *((2, 0.0, True), (2, 1e-3, False), (3, 0.0, False), (3, 1e-3, True)),
        *(
            pytest.param(*case, marks=pytest.mark.thorough)
            for case in ((2, 0.0, False), (2, 1e-3, True), (3, 0.0, True), (3, 1e-3, False))
        ),
    ],
)
def test_late_steps_are_those_of_an_explicit_method(k, alpha, fit_intercept, monkeypatch):
    K, Y, weights = rows_of_two_classes(k)
    Y = Y[:, 1:] if k == 2 else Y
    start = np.random.default_rng(1).normal(size=Y.shape)
    given = {"alpha": alpha, "learning_rate": 3.0, "fit_intercept": fit_intercept}
    times, is_late, late = [300.0, 1500.0], _log_loss.is_late, []

    def noted(solver, *arguments):
        late.append(is_late(solver, *arguments))
        return late[-1]

    monkeypatch.setattr(_log_loss, "is_late", noted)
    found = LogLossTraining(K, weights, **given).predict(K, Y, times, start, start)
    assert sum(late) == 1 and late[-1]
    monkeypatch.setattr(_log_loss, "is_late", lambda *arguments: False)
    training = LogLossTraining(K, weights, tol=1e-12, **given)
    expected = training.predict(K, Y, times, start, start)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("k", [2, 3])
def test_classes_that_overlap_have_an_end(k):
    """Logistic regression without a ridge, as the kernel is linear in few columns."""
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(80, 3)), rng.integers(k, size=80)
    Y = np.eye(k)[labels]
    probabilities = softmax(
        LogLossTraining(NTKKernel(depth=0)(X)).predict(NTKKernel(depth=0)(X), Y, 1e7), axis=1
    )
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=10000).fit(X, labels)
    assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


@pytest.mark.slow
@CONSTANTS
def test_evaluations_do_not_grow_with_the_time(fit_intercept, monkeypatch):
    K, Y, _ = rows_of_two_classes(3)
    counts = [0]
    for module in (_log_loss, _stiff):

        def counted(scores, original=module.probabilities):
            counts[-1] += 1
            return original(scores)

        monkeypatch.setattr(module, "probabilities", counted)
    LogLossTraining(K, fit_intercept=fit_intercept).predict(K, Y, 1e12)
    assert 0 < counts[-1] < 8000
