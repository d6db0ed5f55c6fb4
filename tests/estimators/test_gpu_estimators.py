"""Estimators on a GPU, or on the stand-in for CuPy: rows of NumPy with a device, rows of CuPy."""

import gc
import pickle
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk._runtime.device import on_host

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 4))
X[5], X[7, 0], X[:, 3] = X[3], 30.0, 1.0  # equal rows, one far away, and a constant column
Y = np.sin(X[:, 0]) + 0.1 * RNG.standard_normal(80)
WEIGHTS = np.where(np.arange(80) == 2, 0.0, RNG.uniform(0.5, 2.0, 80))
NEW = RNG.standard_normal((9, 4))
TARGETS = {
    "one": Y,
    "two": np.stack([Y, Y**2], axis=1),
    "classes": Y > 0.0,
    "labels": np.digitize(Y, [-0.5, 0.5]),
}
RELU = {"kernel": "ntk", "activation": "relu", "features": None}
STEPS = {"optimizer": "nesterov", "learning_rate": 0.05}
MODELS = [
    (NTKRegressor(**RELU), "two"),
    (NTKRegressor(), "one"),
    (NTKRegressor("nngp", activation="relu", features="diagonal"), "one"),
    (NTKRegressor(**RELU, training_time="auto"), "one"),
    (NTKRegressor(**RELU, training_time=30.0, **STEPS), "one"),
    (NTKRegressor(**RELU, uncertainty="ensemble", alpha=0.3), "one"),
    (NTKRegressor(NTKKernel(1)), "one"),
    (NTKClassifier(), "classes"),
    (NTKClassifier("ntk", class_weight="balanced"), "labels"),
    (NTKClassifier("ntk", training_time=20.0), "labels"),
    (NTKClassifier("ntk", loss="hinge"), "classes"),
    (NTKClassifier("ntk", loss="log_loss"), "labels"),
]
models = pytest.mark.parametrize("number", range(len(MODELS)), ids=lambda k: str(MODELS[k])[1:60])


@cache
def on_cpu(number):
    """A model of `MODELS` that was fitted on the CPU, its targets, and its results."""
    model, targets = MODELS[number]
    fitted = clone(model).fit(X, TARGETS[targets], WEIGHTS)
    return fitted, TARGETS[targets], results(fitted, NEW)


def results(model, new):
    """What methods of a fitted model return for new rows, by name."""
    if hasattr(model, "classes_"):
        names = ["predict", "decision_function"]
        names += ["predict_proba"] * hasattr(model, "predict_proba")
        found = {name: getattr(model, name)(new) for name in names}
        stages = model.loss != "hinge" and model.staged_predict(new, [1.0, 10.0])
    else:
        found = {}
        for name in ("return_std", "return_cov"):
            found["predict"], found[name] = model.predict(new, **{name: True})
        if model.optimizer == "flow":
            found["interval"] = model.predict_interval(new)
        stages = model.staged_predict(new, [1.0, 10.0])
    found |= {f"stage {k}": stage for k, stage in enumerate(stages or ())}
    if getattr(model, "loss", "squared_error") == "squared_error":
        found["influence"] = model.influence(new)
    return found | {"gradient": model.predict_gradient(new)}


def assert_same(found, expected, kind):
    """Equal but for rounding, and of a kind of arrays."""
    for name, values in expected.items():
        assert isinstance(found[name], kind), name
        part = on_host(found[name])
        assert part.dtype == values.dtype
        assert_allclose(part, values, rtol=1e-7, atol=1e-9, err_msg=name)


@models
@pytest.mark.parametrize("device", ["cuda", pytest.param("cuda:1", marks=pytest.mark.slow)])
def test_rows_of_numpy(gpu, number, device):
    """All attributes are of NumPy; a pickle predicts the same."""
    if device == "cuda:1" and gpu.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs a second device")
    model, (expected, y, known) = MODELS[number][0], on_cpu(number)
    name = "device" if isinstance(model.kernel, str) else "kernel__device"
    fitted = clone(model).set_params(**{name: device}).fit(X, y, WEIGHTS)
    assert fitted.kernel_.device == device
    found = results(fitted, NEW)
    assert_same(found, known, np.ndarray)
    for each, value in vars(expected).items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            size = np.abs(value).max(initial=0.0)
            assert_allclose(getattr(fitted, each), value, rtol=1e-6, atol=1e-7 * size)
    assert_allclose(fitted.feature_importances_, expected.feature_importances_, rtol=1e-7)
    again = pickle.loads(pickle.dumps(fitted))
    assert_same(results(again, NEW), found, np.ndarray)
    if hasattr(model, "noise") and model.training_time is None and model.uncertainty != "ensemble":
        likelihood = fitted.log_marginal_likelihood()
        assert_allclose(likelihood, expected.log_marginal_likelihood(), rtol=1e-8)


@models
def test_rows_of_cupy(gpu, number):
    """Results are of the kind of the new rows, whatever those of the fit were.

    Rows are on the last device, while the first is the current one.
    """
    expected, y, known = on_cpu(number)
    with gpu.cuda.Device(gpu.cuda.runtime.getDeviceCount() - 1):
        *data, new = map(gpu.asarray, (X, y, WEIGHTS, NEW))
    fitted = clone(MODELS[number][0]).fit(*data)
    assert isinstance(fitted.X_fit_, gpu.ndarray)
    assert abs(fitted.score(*data) - expected.score(X, y, WEIGHTS)) < 1e-8
    for one in (fitted, expected):
        assert_same(results(one, new), known, gpu.ndarray)
        assert_same(results(one, NEW), known, np.ndarray)
    assert_allclose(fitted.feature_importances_, expected.feature_importances_, rtol=1e-7)


def test_transfers(gpu):
    """No matrix comes down, and of rows of CuPy nothing but what says which are equal."""
    log = getattr(gpu, "LOG", None)
    if log is None:
        pytest.skip("counts bytes by the stand-in")
    n, d, m = 600, 30, 50
    rows, new = RNG.standard_normal((n, d)), RNG.standard_normal((m, d))
    y = rows[:, 0]
    for model in (NTKRegressor(**RELU, alpha=1.0), NTKClassifier("ntk", alpha=1.0)):
        y = y > 0.0 if hasattr(model, "loss") else y
        for place in (np.asarray, gpu.asarray):
            placed, target, others = place(rows), place(y), place(new)
            log.clear()
            fitted = clone(model).set_params(device="cuda").fit(placed, target)
            assert log.from_device <= 8 * 10 * n
            log.clear()
            fitted.predict(others)
            assert log.from_device <= 8 * 5 * m
            if hasattr(fitted, "predict_interval"):
                fitted.predict(others, return_std=True)
                log.clear()
                fitted.predict(others, return_std=True)
                assert log.from_device <= 8 * 20 * m
            if place is gpu.asarray:
                assert log.to_device <= 8 * 10 * n
    log.clear()
    learning = NTKRegressor("ntk", features="full", n_feature_steps=1, device="cuda")
    learning.fit(rows, rows[:, 0])
    assert log.from_device <= 8 * 20 * n * 15 + 8 * d * d  # for each ridge, and the features
    log.clear()
    assert learning.predict_gradient(new).shape == (m, d) and log.from_device <= 8 * m * (d + 5)
    log.clear()
    assert learning.feature_importances_[0] > 0.5 and log.from_device <= 8 * (3 * n + d)


def test_memory(gpu):
    """What a fit takes is given back, but for the factor of uncertainties."""
    if not hasattr(gpu, "LOG"):
        pytest.skip("counts bytes by the stand-in")
    gc.collect()  # what errors of other tests refer to
    used = gpu.LOG.used
    fitted = NTKRegressor(**RELU, device="cuda").fit(X, Y)
    fitted.predict(NEW)
    assert gpu.LOG.used == used
    gpu.set_limit(used + 50_000)
    try:
        with pytest.raises(MemoryError, match=r"GB of the GPU's memory and .*, or device='cpu'"):
            NTKRegressor(**RELU, device="cuda", solver="cholesky").fit(X, Y)
    finally:
        gpu.set_limit(float("inf"))


GRID = {"depth": [1, 2], "n_frozen": [0, 1]}


@pytest.mark.parametrize(
    "model",
    [
        NTKRegressorCV(GRID, features=None, training_times="auto"),
        NTKRegressorCV(GRID, cv=3),
        NTKClassifierCV(GRID),
        NTKRegressorCV({"kernel": [NTKKernel(1)]}),
    ],
    ids=lambda model: str(model)[:60],
)
def test_choice(gpu, model):
    y = TARGETS["labels"] if hasattr(model, "predict_proba") else Y
    expected = clone(model).fit(X, y)
    fitted = clone(model).set_params(device="cuda").fit(X, y)
    ones = np.ones(80)
    on_gpu = clone(model).fit(*map(gpu.asarray, (X, y, ones)))
    names = ["predict", "predict_gradient", "predict_proba"]
    for one, new in ((fitted, NEW), (on_gpu, gpu.asarray(NEW)), (on_gpu, NEW)):
        for name in names[: 2 + hasattr(model, "predict_proba")]:
            found = getattr(one, name)(new)
            assert isinstance(found, type(new))
            found = found if type(found) is np.ndarray else found.get()
            assert_allclose(found, getattr(expected, name)(NEW), rtol=1e-7, atol=1e-9)
        assert abs(one.score(*map(gpu.asarray, (X, y))) - expected.score(X, y)) < 1e-8
        scores = "mean_test_score"
        assert_allclose(one.cv_results_[scores], expected.cv_results_[scores], rtol=1e-7)
    if isinstance(model, NTKRegressorCV):
        found = on_gpu.predict(gpu.asarray(NEW), return_std=True)
        for part, other in zip(found, expected.predict(NEW, return_std=True), strict=True):
            assert_allclose(part.get(), other, rtol=1e-7)
        assert on_gpu.sample_y(gpu.asarray(NEW), 3, random_state=0).shape == (9, 3)


@pytest.mark.parametrize("solver", ["cg", "local", "nystroem"])
def test_many_rows(gpu, solver):
    """Solvers of many rows take the kernel of a GPU; new rows may be of CuPy."""
    model = NTKRegressor(**RELU, solver=solver, leaf_size=40, alpha=0.1)
    expected = clone(model).fit(X, Y)
    fitted = clone(model).set_params(device="cuda").fit(X, Y)
    known = expected.predict(NEW, return_std=True)
    for new in (NEW, gpu.asarray(NEW)):
        for part, other in zip(fitted.predict(new, return_std=True), known, strict=True):
            assert isinstance(part, type(new))
            assert_allclose(part if new is NEW else part.get(), other, rtol=1e-3, atol=1e-3)


def test_precomputed(gpu):
    K = NTKKernel()(X)
    expected = NTKRegressor("precomputed").fit(K, Y).predict(K[:5])
    fitted = NTKRegressor("precomputed").fit(gpu.asarray(K), gpu.asarray(Y))
    assert_allclose(fitted.predict(gpu.asarray(K[:5])).get(), expected, rtol=1e-9)


def test_equal_rows(gpu):
    """They are found by numbers, and compared; also if numbers are equal by chance."""
    from sklearn_ntk.estimators._equal_rows import distinct

    rows = RNG.integers(0, 2, (200, 3)) * np.array([1.0, -1.0, 1e300])
    for part, other in zip(distinct(gpu.asarray(rows)), distinct(rows), strict=True):
        assert np.array_equal(part, other)


LOADING = """
import pickle, sys
sys.modules["cupy"] = None
model, rows, expected = pickle.load(sys.stdin.buffer)
try:
    model.predict(rows)
except ImportError as error:
    assert "take device='cpu'" in str(error)
model.kernel_.set_params(device="cpu")
print(abs(model.predict(rows) - expected).max() < 1e-8)
"""


@pytest.mark.slow
def test_pickles_without_cupy(gpu):
    fitted = NTKRegressor(device="cuda").fit(X, Y)
    data = pickle.dumps((fitted, NEW, fitted.predict(NEW)))
    command = [sys.executable, "-c", LOADING]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    assert done.stdout.split() == [b"True"]


# --- Errors ---------------------------------------------------------------------------------------


def message(call, error=ValueError):
    """Message of an error, which must be one sentence."""
    with pytest.raises(error) as found:
        call()
    text = str(found.value)
    assert text[-1] == "." and ". " not in text and "\n" not in text
    return text


def test_bad_devices():
    for device in ("gpu", 0):
        with pytest.raises(ValueError, match="device"):
            NTKRegressor(**RELU, device=device).fit(X, Y)


@pytest.mark.parametrize(
    "model", [NTKRegressor(**RELU), NTKClassifier()], ids=["numbers", "classes"]
)
def test_arrays_of_several_places(gpu, model):
    rows, y = gpu.asarray(X), (Y > 0.0).astype(int)
    on_device = gpu.asarray(y)
    assert "X and y must be" in message(lambda: model.fit(rows, y))
    assert "X and y must be" in message(lambda: model.fit(X, on_device))
    assert "X and sample_weight must" in message(lambda: model.fit(rows, on_device, WEIGHTS))
    weights = gpu.asarray(WEIGHTS)
    assert "X and sample_weight must" in message(lambda: model.fit(X, y, weights))
    other = clone(model).set_params(device="cpu")
    text = message(lambda: other.fit(rows, on_device))
    assert "device='cpu' cannot take arrays of CuPy on device 0" in text
    assert "device='cpu' cannot" in message(lambda: other.fit(X, y).predict(rows))


def test_rows_that_cannot_be(gpu):
    rows, y = gpu.asarray(X), gpu.asarray(Y)
    for solver in ("cg", "local", "nystroem"):
        text = message(lambda s=solver: NTKRegressor(**RELU, solver=s).fit(rows, y))
        assert "takes rows of NumPy" in text
    kernel = RBF() + WhiteKernel()
    assert "kernel of a network" in message(lambda: NTKRegressor(kernel).fit(rows, y))
    fitted = NTKRegressor(kernel).fit(X, Y)
    assert "kernel of a network" in message(lambda: fitted.predict(rows))
    stream = NTKRegressor(**RELU).partial_fit(X, Y)
    assert "cupy.asnumpy" in message(lambda: stream.partial_fit(rows, y))
    bad = X.copy()
    bad[3, 1] = np.nan
    assert "nan" in message(lambda: NTKRegressor(**RELU).fit(gpu.asarray(bad), y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        NTKRegressor(**RELU).fit(rows, y[:5])
    with pytest.raises(ValueError, match="expecting 4 features"):
        NTKRegressor(**RELU).fit(rows, y).predict(rows[:, :3])
    array = RNG.integers(-3, 4, (20, 8)).astype("float16")
    fits = [
        NTKRegressor(**RELU).fit(place(array)[:, ::2], place(array)[:, 0])
        for place in (gpu.asarray, np.asarray)
    ]
    assert_allclose(fits[0].dual_coef_, fits[1].dual_coef_, rtol=1e-9)
