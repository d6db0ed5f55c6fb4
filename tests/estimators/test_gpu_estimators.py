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
from sklearn_ntk._runtime import memory
from sklearn_ntk._runtime.device import on_host
from sklearn_ntk.engines import _work
from sklearn_ntk.estimators import _choice_of_solver
from sklearn_ntk.model_selection import _candidates, _search, precomputed

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
numbers = range(len(MODELS))
named = {"ids": lambda k: str(MODELS[k])[1:60] if isinstance(k, int) else k}


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "number, device",
    [
        *((k, "cuda") for k in numbers),
        *(pytest.param(k, "cuda:1", marks=pytest.mark.slow) for k in (1, 6, 8)),
        *(pytest.param(k, "cuda:1", marks=pytest.mark.thorough) for k in {*numbers} - {1, 6, 8}),
    ],
    **named,
)
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [pytest.param(k, marks=[pytest.mark.thorough] * (k in (0, 2, 9))) for k in numbers],
    **named,
)
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
    assert_same(results(fitted, NEW), known, np.ndarray)
    assert_allclose(fitted.feature_importances_, expected.feature_importances_, rtol=1e-7)
    if hasattr(fitted, "sample_y"):
        assert fitted.sample_y(NEW, 3).shape[-1] == fitted.sample_y(new, 3).shape[-1] == 3


@pytest.mark.slow
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


@pytest.mark.slow
def test_kernels_of_rows_of_cupy_are_computed_there(gpu, monkeypatch):
    """Whatever is copied to the CPU then."""
    monkeypatch.setattr(_work, "ENGINES", {"cuda": "cupy"})
    rows, y, labels, new = map(gpu.asarray, (X, Y, TARGETS["labels"], NEW))
    for time in ({"uncertainty": "ensemble"}, {"training_time": 20.0}):
        model = NTKRegressor(**RELU, alpha=0.3, **time).fit(rows, y)
        for each in (model.predict_interval(new), model.influence(new)):
            assert isinstance(each, gpu.ndarray)
        for name in ("return_std", "return_cov"):
            assert isinstance(model.predict(new, **{name: True})[1], gpu.ndarray)
    for loss in ("hinge", "log_loss"):
        model = NTKClassifier("ntk", loss=loss).fit(rows, labels)
        assert isinstance(model.decision_function(new), gpu.ndarray)
    assert isinstance(model.influence(new), gpu.ndarray)


@pytest.mark.slow
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


def test_memory_of_each_place(gpu, monkeypatch):
    """A matrix is to fit where it is, and where a loss copies it to."""
    if not hasattr(gpu, "LOG"):
        pytest.skip("sets the limit of the stand-in")
    model = NTKRegressor(**RELU, solver="cg", alpha=0.1, device="cuda")
    hinge = NTKClassifier("ntk", activation="relu", loss="hinge", device="cuda")
    gpu.set_limit(gpu.LOG.used + 40_000)  # less than the matrix
    try:
        for one in (model, clone(model).set_params(solver="local")):
            text = message(lambda m=one: m.fit(X, Y), MemoryError)
            assert "GB of the GPU's memory" in text and "NumPy" not in text
    finally:
        gpu.set_limit(float("inf"))
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 40_000.0)
    text = message(lambda: hinge.fit(X, TARGETS["classes"]), MemoryError)
    assert text.startswith("A copy of the Gram matrix of 79 rows") and "squared_error" in text


def test_solvers_of_arrays_of_cupy(gpu, monkeypatch):
    """What is on a GPU is factorised there, or refused, however many rows there are."""
    monkeypatch.setattr(_choice_of_solver, "FEW_ROWS", 10)
    monkeypatch.setattr(_choice_of_solver, "SHARE", 1e-9)
    rows, K, y = map(gpu.asarray, (X, NTKKernel()(X), Y))
    matrix = NTKRegressor("precomputed")
    assert {m.fit(Z, y).solver_ for m, Z in ((NTKRegressor(**RELU), rows), (matrix, K))} == {
        "cholesky"
    }
    for solver in ("cg", "nystroem"):
        text = message(lambda s=solver: clone(matrix).set_params(solver=s).fit(K, y))
        assert "takes matrices of NumPy" in text and "cupy.asnumpy" in text
    if not hasattr(gpu, "LOG"):
        return
    gpu.set_limit(gpu.LOG.used + 50_000)
    try:
        for model, Z in ((NTKRegressor(**RELU), rows), (matrix, K)):
            text = message(lambda m=model, Z=Z: clone(m).fit(Z, y), MemoryError)
            assert "needs" in text and "copy the rows by cupy.asnumpy" in text
    finally:
        gpu.set_limit(float("inf"))


GRID = {"depth": [1, 2], "n_frozen": [0, 1]}


@pytest.mark.slow
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
    on_cuda = {"device": "cuda"}  # a kernel object has its own
    if "kernel" in model.param_grid:
        on_cuda = {"param_grid": {"kernel": [NTKKernel(1, device="cuda")]}}
    fitted = clone(model).set_params(**on_cuda).fit(X, y)
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, "cuda", "cuda:1"])
def test_choice_in_other_processes(gpu, monkeypatch, name):
    """Their current device is the first one, and rows come to that of the fit."""
    number = gpu.cuda.runtime.getDeviceCount() - 1
    name = name if number else None
    expected = NTKRegressorCV(GRID).fit(X, Y).cv_results_["mean_test_score"]
    seen, evaluate, grams = [], _search.evaluate, _candidates.grams

    def elsewhere(*task):
        with gpu.cuda.Device(0):
            return evaluate(*pickle.loads(pickle.dumps(task)))

    def watched(members, problem):
        seen.append(problem.X.device.id)
        return grams(members, problem)

    monkeypatch.setattr(_search, "evaluate", elsewhere)
    monkeypatch.setattr(_candidates, "grams", watched)
    with gpu.cuda.Device(number):
        rows, y = gpu.asarray(X), gpu.asarray(Y)
    model = NTKRegressorCV(GRID, device=name).fit(rows, y)
    assert_allclose(model.cv_results_["mean_test_score"], expected, rtol=1e-7)
    assert set(seen) == {number}


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver, number",
    [
        *(("cg", 0), ("local", 0), ("nystroem", 0), ("local", 1)),
        *(pytest.param(solver, 1, marks=pytest.mark.thorough) for solver in ("cg", "nystroem")),
    ],
)
def test_many_rows(gpu, solver, number):
    """Solvers of many rows take the kernel of a GPU, in threads too; new rows may be of CuPy."""
    if number >= gpu.cuda.runtime.getDeviceCount():
        pytest.skip("needs a second device")
    model = NTKRegressor(**RELU, solver=solver, leaf_size=40)
    expected = clone(model).fit(X, Y)
    fitted = clone(model).set_params(device=f"cuda:{number}").fit(X, Y)
    known = expected.predict(NEW, return_std=True)
    with gpu.cuda.Device(number):
        on_device = gpu.asarray(NEW)
    for new in (NEW, on_device):
        for part, other in zip(fitted.predict(new, return_std=True), known, strict=True):
            assert isinstance(part, type(new))
            assert_allclose(part if new is NEW else part.get(), other, rtol=1e-3, atol=1e-3)


def test_precomputed(gpu):
    K = NTKKernel()(X)
    expected = NTKRegressor("precomputed").fit(K, Y).predict(K[:5])
    fitted = NTKRegressor("precomputed").fit(gpu.asarray(K), gpu.asarray(Y))
    assert_allclose(fitted.predict(gpu.asarray(K[:5])).get(), expected, rtol=1e-9)


def test_precomputed_by_a_device(gpu):
    """The matrix of an estimator that computes on a GPU is where the rows are."""
    model = NTKRegressor("ntk", activation="relu", alpha=0.1, device="cuda")
    for rows in (X, gpu.asarray(X)):
        other, K = precomputed(model, rows)
        assert type(K) is type(rows)
        found = other.fit(K, Y if rows is X else gpu.asarray(Y)).predict(K)
        assert_allclose(found if rows is X else found.get(), model.fit(X, Y).predict(X), rtol=1e-6)


def test_blocks_of_predictions(gpu, monkeypatch):
    """They are larger on a GPU."""
    monkeypatch.setattr("sklearn_ntk._runtime.chunks.CHUNK", 100)
    for device, count in (("cpu", 9), ("cuda", 1)):
        fitted = NTKRegressor(**RELU, alpha=0.1, device=device).fit(X, Y)
        assert len(list(fitted._gram_blocks(NEW))) == count


def test_labels_that_are_texts(gpu):
    """CuPy has none: they are arrays of NumPy."""
    labels = np.where(TARGETS["classes"], "up", "down")
    model = NTKClassifier("ntk", alpha=0.1).fit(X, labels)
    new, known = gpu.asarray(NEW), model.predict(NEW)
    assert np.array_equal(model.predict(new), known)
    (stage,) = model.staged_predict(new, [np.inf])
    assert np.array_equal(stage, known)
    assert model.score(gpu.asarray(X), labels) == model.score(X, labels)


def test_equal_rows(gpu):
    """They are found by numbers, and compared; also if numbers are equal by chance."""
    from sklearn_ntk.estimators._equal_rows import distinct

    rows = RNG.integers(0, 2, (200, 3)) * np.array([1.0, -1.0, 1e300])
    for part, other in zip(distinct(gpu.asarray(rows)), distinct(rows), strict=True):
        assert np.array_equal(part, other)


def test_pickles_of_rows_of_cupy(gpu):
    """They have arrays of NumPy, and predict by them."""
    fitted = NTKRegressor(**RELU, alpha=0.1).fit(gpu.asarray(X), gpu.asarray(Y))
    again = pickle.loads(pickle.dumps(fitted))
    assert isinstance(again.X_fit_, np.ndarray) and isinstance(fitted.X_fit_, gpu.ndarray)
    assert not any(isinstance(each, gpu.ndarray) for each in vars(again).values())
    assert_allclose(again.predict(NEW), fitted.predict(NEW), rtol=1e-9)


LOADING = """
import pickle, sys
import numpy as np
sys.modules["cupy"] = None
for model, rows, calls in pickle.load(sys.stdin.buffer):
    try:
        model.predict(rows)
    except ImportError as error:
        assert "kernel_.set_params(device='cpu')" in str(error)
    for each in getattr(model, "estimators_", [model]):
        each.kernel_.set_params(device="cpu")
    for name, options, expected in calls:
        found = getattr(model, name)(rows, **options)
        for part, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(part, other, rtol=1e-6, atol=1e-6)
print("done")
"""
CALLS = {
    NTKRegressor: [
        *(("predict", {name: True}) for name in ("return_std", "return_cov")),
        *(("predict_interval", {}), ("sample_y", {"random_state": 0})),
    ],
    NTKClassifier: [("predict", {}), ("decision_function", {})],
}
CALLS |= {NTKRegressorCV: CALLS[NTKRegressor][:2], NTKClassifierCV: [("predict_proba", {})]}


@pytest.mark.slow
def test_pickles_without_cupy(gpu):
    """All methods work there once the kernel is told."""
    data = []
    for model, targets in [
        *MODELS[::5],
        MODELS[3],
        (NTKRegressorCV(GRID), "one"),
        (NTKClassifierCV(GRID), "classes"),
    ]:
        name = "kernel__device" if isinstance(vars(model).get("kernel"), NTKKernel) else "device"
        fitted = clone(model).set_params(**{name: "cuda"}).fit(X, TARGETS[targets], WEIGHTS)
        calls = []
        for method, options in CALLS[type(fitted)]:
            if method != "predict_interval" or fitted.optimizer == "flow":
                calls.append((method, options, getattr(fitted, method)(NEW, **options)))
        data.append((fitted, NEW, calls))
    command = [sys.executable, "-c", LOADING]
    done = subprocess.run(command, input=pickle.dumps(data), capture_output=True)
    assert done.stdout.split() == [b"done"], done.stderr.decode()


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
    text = message(lambda: other.fit(X, y).predict(rows))
    assert "device='cpu' cannot" in text and "kernel_.set_params(device=None)" in text
    other.kernel_.set_params(device=None)
    assert_allclose(on_host(other.predict(rows)), other.predict(X), atol=1e-9)


def test_arrays_of_other_libraries():
    class Tensor:
        __cuda_array_interface__, shape = {}, (80, 4)

        def __array__(self, *arguments, **options):
            raise TypeError("can't convert device type tensor to numpy")

    model, ending = NTKRegressor(**RELU), "on a GPU of another library: pass cupy.asarray of it."
    fitted = clone(model).fit(X, Y)
    for name, call in (
        ("X", lambda: model.fit(Tensor(), Y)),
        ("y", lambda: model.fit(X, Tensor())),
        ("sample_weight", lambda: model.fit(X, Y, Tensor())),
        ("X", lambda: fitted.predict(Tensor())),
        ("X", lambda: NTKKernel()(Tensor())),
    ):
        text = message(call)
        assert text.startswith(f"{name} must be") and text.endswith(ending)


def test_devices_that_would_be_ignored(gpu):
    """Kernel objects compute by their own device, and precomputed ones where they are."""
    y, K = TARGETS["classes"], NTKKernel(1)(X)
    for model in (
        NTKRegressor(NTKKernel(1), device="cuda"),
        NTKClassifier(NTKKernel(1, device="cuda:1"), device="cuda"),
        NTKRegressor(RBF(), device="cuda"),
        NTKRegressorCV({"kernel": ["ntk", NTKKernel(1)]}, device="cuda"),
    ):
        assert "set the device of the kernel" in message(lambda m=model: m.fit(X, y))
    NTKRegressor(NTKKernel(1, device="cuda"), device="cuda", alpha=1.0).fit(X, y)
    model = NTKRegressor("precomputed", device="cuda", alpha=1.0)
    assert "pass cupy.asarray of it" in message(lambda: model.fit(K, y))
    assert model.fit(gpu.asarray(K), gpu.asarray(y)).solver_ == "cholesky"


def test_memory_of_a_choice(gpu):
    """It is that of the device of each kernel."""
    if not hasattr(gpu, "LOG"):
        pytest.skip("sets the limit of the stand-in")
    gpu.set_limit(gpu.LOG.used + 50_000)
    try:
        model = NTKRegressorCV({"kernel": ["ntk", NTKKernel(1, device="cuda")]})
        text = message(lambda: model.fit(X, Y), MemoryError)
        assert text.startswith("A fit of 79 distinct rows needs") and "GPU's memory" in text
    finally:
        gpu.set_limit(float("inf"))


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
