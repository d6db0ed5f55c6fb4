"""Empirical kernels of scikit-learn's networks, and what all models share."""

import numpy as np
import pytest
from memory import peak
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC

from sklearn_ntk import EmpiricalNTKKernel, NTKClassifier, finite
from sklearn_ntk._runtime.memory import read_memory
from sklearn_ntk.finite import (
    empirical_nngp,
    empirical_ntk,
    empirical_ntk_diagonal,
    tangent_features,
)
from sklearn_ntk.finite._outputs import functions_for

X = np.random.default_rng(0).standard_normal((12, 5))
Y = np.random.default_rng(1).standard_normal((12, 3))
CLASSES = np.arange(12) % 3


def fitted(model, targets, **parameters):
    """A network after a few steps, which leave it far from the optimum."""
    model = model(max_iter=3, solver="lbfgs", random_state=0, **parameters)
    with pytest.warns(match="failed to converge"):
        return model.fit(X, targets)


def outputs_of(model, rows):
    """Outputs before the last function, from the weights."""
    model.out_activation_, last = "identity", model.out_activation_
    found = model._forward_pass_fast(rows)
    model.out_activation_ = last
    return found


def gradients(model):
    """Gradients (n, k, P) by central differences."""
    found = []
    for weights in (*model.coefs_, *model.intercepts_):
        for place in np.ndindex(weights.shape):
            value, ends = weights[place], []
            for change in (1e-5, -1e-5):
                weights[place] = value + change
                ends.append(outputs_of(model, X))
            weights[place] = value
            found.append((ends[0] - ends[1]) / 2e-5)
    return np.moveaxis(found, 0, -1)


NETWORKS = {
    "relu": lambda: fitted(MLPRegressor, Y, hidden_layer_sizes=(6, 4)),
    "tanh": lambda: fitted(MLPRegressor, Y[:, 0], hidden_layer_sizes=(6,), activation="tanh"),
    "logistic": lambda: fitted(
        MLPClassifier, CLASSES, hidden_layer_sizes=(7, 3), activation="logistic"
    ),
    "identity": lambda: fitted(
        MLPClassifier, CLASSES > 0, hidden_layer_sizes=(3, 2), activation="identity"
    ),
    "multilabel": lambda: fitted(MLPClassifier, Y > 0, hidden_layer_sizes=(6,)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels(name):
    model = NETWORKS[name]()
    J = gradients(model)
    blocks = np.einsum("ikp,jlp->ijkl", J, J)
    trace = np.einsum("ijkk->ij", blocks)
    near = {"rtol": 0, "atol": 1e-8 * np.abs(blocks).max()}  # of the differences
    assert_allclose(empirical_ntk(model, X, outputs="blocks"), blocks, **near)
    assert_allclose(empirical_ntk(model, X, outputs="sum"), blocks.sum((2, 3)), **near)
    assert_allclose(empirical_ntk(model, X, outputs=-1), blocks[..., -1, -1], **near)
    K = empirical_ntk(model, X)
    assert_allclose(K, trace / J.shape[1], **near)
    assert_array_equal(K, K.T)
    assert_allclose(empirical_ntk_diagonal(model, X), K.diagonal(), rtol=1e-14)
    exact = {"rtol": 0, "atol": 1e-14 * K.max()}
    assert_allclose(empirical_ntk(model, X, X[3:], memory="5 kB"), K[:, 3:], **exact)
    assert_allclose(empirical_ntk(model, X, memory=1), K, **exact)
    n_layers = len(model.coefs_)
    assert_allclose(sum(empirical_ntk(model, X, layers=k) for k in range(n_layers)), K, **exact)
    signs = np.sign(np.where(np.abs(J) < 1e-9, 0.0, J))
    found = empirical_ntk(model, X, outputs="trace", formula="signgd")
    assert_array_equal(found, np.einsum("ikp,jkp->ij", signs, signs))
    found = empirical_ntk(model, X, outputs="blocks", formula="asymmetric_signgd")
    assert_allclose(found, np.einsum("ikp,jlp->ijkl", J, signs), **near)
    diagonal = empirical_ntk_diagonal(model, X, outputs=0, formula="asymmetric_signgd")
    assert_allclose(diagonal, found[..., 0, 0].diagonal(), rtol=1e-12)


def test_linear_model():
    """Of a network without hidden layers the kernel is ``x.x' + 1``, and features are exact."""
    model = fitted(MLPRegressor, Y, hidden_layer_sizes=())
    assert_allclose(empirical_ntk(model, X), X @ X.T + 1, rtol=1e-14)
    assert_allclose(empirical_nngp(model, X, weight_var=2.0, bias_var=1.0), 0.4 * X @ X.T + 1)


def test_features():
    """Unbiased, with the standard error that they tell, which falls as their number grows."""
    model = fitted(MLPRegressor, Y, hidden_layer_sizes=(60, 50))
    K, errors, means = empirical_ntk(model, X), {}, {}
    scale = K.trace() / len(K)
    for size in (8, 32):
        found = [tangent_features(model, X, size, random_state=k) for k in range(20)]
        products = np.array([features @ features.T for features, _ in found])
        errors[size] = np.sqrt(np.mean((products - K) ** 2)) / scale
        means[size] = np.sqrt(np.mean((products.mean(0) - K) ** 2)) / scale
        told = np.sqrt(np.mean([error**2 for _, error in found]))
        assert 0.7 < told / errors[size] < 1.4
        assert means[size] < 2.0 / np.sqrt(20) * errors[size]
    assert errors[32] < 0.7 * errors[8]


def test_budget_is_kept():
    """Memory beside the result, for parts of all sizes."""
    rows = np.random.default_rng(0).standard_normal((400, 5))
    model = fitted(MLPRegressor, Y, hidden_layer_sizes=(100, 100))
    empirical_ntk(model, rows[:2])
    for megabytes in (1, 4, 16):
        taken = peak(lambda size=megabytes: empirical_ntk(model, rows, memory=f"{size} MB"))
        assert taken - 8 * 400**2 < 1.1e6 * megabytes


def test_single_precision_of_the_fit():
    model = MLPRegressor(hidden_layer_sizes=(), max_iter=1)
    with pytest.warns(match="converged yet"):
        model.fit(X.astype(np.float32), Y.astype(np.float32))
    assert model.coefs_[0].dtype == np.float32
    assert empirical_ntk(model, X).dtype == np.float64


# --- The kernel of scikit-learn ------------------------------------------------------------------


def test_kernel_in_estimators():
    """A copy made by scikit-learn has the fitted network itself."""
    digits, classes = load_digits(return_X_y=True)
    digits = digits / 16
    network = MLPClassifier(hidden_layer_sizes=(20,), solver="lbfgs", random_state=0)
    network.fit(digits[:200], classes[:200])
    kernel = EmpiricalNTKKernel(network)
    assert clone(kernel).model is network and clone(kernel) == kernel
    assert (clone(kernel + WhiteKernel())).k1.model is network
    machine = SVC(kernel=kernel).fit(digits[:200], classes[:200])
    assert machine.score(digits[200:500], classes[200:500]) > 0.8
    targets = digits[:50, 20]
    ridge = KernelRidge(kernel="precomputed", alpha=0.1).fit(kernel(digits[:50]), targets)
    expected = ridge.predict(kernel(digits[50:60], digits[:50]))
    process = GaussianProcessRegressor(kernel, alpha=0.1).fit(digits[:50], targets)
    found, std = process.predict(digits[50:60], return_std=True)
    assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    assert np.all(std > 0)
    noise = 100.0 * np.random.default_rng(0).standard_normal(50)
    free = GaussianProcessRegressor(kernel + WhiteKernel()).fit(digits[:50], noise)
    assert free.kernel_.k1.model is network
    ours = NTKClassifier(kernel=kernel).fit(digits[:200], classes[:200])
    assert ours.score(digits[200:500], classes[200:500]) > 0.8


def test_kernel_itself():
    model = fitted(MLPRegressor, Y, hidden_layer_sizes=(6, 4))
    kernel = EmpiricalNTKKernel(model, outputs="trace", formula="signgd", layers="0")
    K, gradient = kernel(X, eval_gradient=True)
    assert gradient.shape == (12, 12, 0) and kernel.theta.shape == (0,)
    assert_array_equal(kernel.diag(X), K.diagonal())
    assert_array_equal(kernel(X, X.copy()), K)
    assert kernel != EmpiricalNTKKernel(model) and kernel != WhiteKernel()
    assert repr(kernel) == "EmpiricalNTKKernel(MLPRegressor, outputs='trace', formula='signgd')"
    assert not kernel.is_stationary()
    assert finite.EmpiricalNTKKernel is EmpiricalNTKKernel
    with pytest.raises(ValueError, match="Gradient can only be evaluated"):
        kernel(X, X, eval_gradient=True)


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"outputs": "all"}, "outputs must be one of mean, .*; got 'all'"),
        ({"outputs": True}, "outputs must be one of .*; got True"),
        ({"outputs": 3}, "outputs must be a number from 0 to 2; got 3"),
        ({"formula": "adam"}, "formula must be one of sgd, .*; got 'adam'"),
        ({"layers": ["0", "7"]}, "got '7': choose from 0, 1, 2"),
        ({"layers": []}, r"got \[\]: choose from 0, 1, 2"),
        ({"layers": ()}, r"got \[\]: choose from 0, 1, 2"),
        ({"memory": "lots"}, "memory must be a number of bytes > 0 or a text .*; got 'lots'"),
        ({"memory": 0}, "memory must be .*; got 0"),
        ({"check": "no"}, "check must be True or False; got 'no'"),
    ],
)
def test_refusals(parameters, message):
    model = fitted(MLPRegressor, Y, hidden_layer_sizes=(6, 4))
    with pytest.raises(ValueError, match=message):
        empirical_ntk(model, X, **parameters)


def test_memory():
    assert read_memory("1.5 GB") == 1.5e9 and read_memory(100) == 100.0
    assert read_memory("512MB") == read_memory(" 512 MB\n") == 512e6
    with pytest.raises(ValueError, match=r"must be .*; got '-5 MB'"):
        read_memory("-5 MB")


def test_refusals_of_models():
    with pytest.raises(ValueError, match="got an unfitted MLPRegressor: call its fit first"):
        empirical_ntk(MLPRegressor(), X)
    for other in (SVC(), MLPRegressor, "mlp"):
        with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, .*; got"):
            empirical_ntk(other, X)
    model = fitted(MLPRegressor, Y, hidden_layer_sizes=(6, 4))
    with pytest.raises(ValueError, match="X must have the 5 columns of the fit; got 3"):
        empirical_ntk(model, Y)
    with pytest.raises(ValueError, match="got 'blocks': take 'mean'"):
        EmpiricalNTKKernel(model, outputs="blocks")(X)
    with pytest.raises(ValueError, match="got 'asymmetric_signgd': take"):
        EmpiricalNTKKernel(model, formula="asymmetric_signgd").diag(X)
    with pytest.raises(ValueError, match="outputs must not be 'blocks'"):
        tangent_features(model, X, outputs="blocks")
    with pytest.raises(ValueError, match="outputs must be one of mean, trace, sum or the number"):
        empirical_ntk_diagonal(model, X, outputs="blocks")
    with pytest.raises(ValueError, match=r"X must have rows; got shape \(0, 5\): pass at least"):
        empirical_ntk(model, X[:0])
    with pytest.raises(ValueError, match="n_components must be at least 2; got 1"):
        tangent_features(model, X, 1)
    for state in (np.random.default_rng(0), -1, 1.5):
        with pytest.raises(ValueError, match="random_state must be"):
            tangent_features(model, X, random_state=state)


def test_many_functions():
    """Of one output there is one function, and of all too many to have at once."""
    seeds = functions_for(5, 10**7).seeds()
    assert seeds.shape == (1, 10**7) and seeds[0, 5] == seeds.sum() == 1.0
    all_functions = functions_for("mean", 10**7)
    assert all_functions.seeds(slice(3, 5))[:, :6].tolist() == [
        [0, 0, 0, 1, 0, 0],
        [0] * 4 + [1, 0],
    ]
    with pytest.raises(MemoryError, match="A function for each of 10000000 outputs needs 1,600"):
        all_functions.seeds()


@pytest.mark.parametrize("n_outputs, formula", [(700, "sgd"), (200, "asymmetric_signgd")])
def test_budget_is_kept_with_many_outputs(n_outputs, formula):
    """Some functions at a time, as all of them would not fit into it for a single row."""
    targets = np.random.default_rng(2).standard_normal((12, n_outputs))
    model = fitted(MLPRegressor, targets, hidden_layer_sizes=(30,))
    options = {"outputs": "trace", "formula": formula}
    whole = empirical_ntk(model, X, **options)
    diagonal = empirical_ntk_diagonal(model, X, **options)
    budget = 16 * n_outputs**2

    def work():
        found = empirical_ntk(model, X, **options, memory=budget)
        return found, empirical_ntk_diagonal(model, X, **options, memory=budget)

    assert peak(work) < 1.1 * budget
    found, own = work()
    assert_allclose(found, whole, rtol=1e-12)
    assert_allclose(own, diagonal, rtol=1e-12)


def test_features_of_many_outputs_keep_the_budget():
    targets = np.random.default_rng(2).standard_normal((12, 700))
    model = fitted(MLPRegressor, targets, hidden_layer_sizes=(30,))
    whole = tangent_features(model, X, 8, random_state=0)
    budget = 16 * 700**2 // 4  # a quarter of what the gradients of a row take
    options = {"random_state": 0, "memory": budget}
    assert peak(lambda: tangent_features(model, X, 8, **options)) < 1.1 * budget
    found = tangent_features(model, X, 8, **options)
    assert_allclose(found.features, whole.features, rtol=1e-12, atol=1e-12)
    assert_allclose(found.standard_error, whole.standard_error)
