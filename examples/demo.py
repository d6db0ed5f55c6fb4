"""Infinitely wide networks beside scikit-learn's own models on real data: ``make demo``.

All models run as they come, in the same pipeline and on the same split. The tables show how good
they are on the test rows, and the seconds of fitting and predicting; the picture goes to
``demo.png``. Where the environment variable SKLEARN_NTK_DATA names a folder with UCI sets as npz
files in ``uci_classification`` and ``uci_regression``, those of seven that are there join in.
"""

import os
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from demo_picture import draw
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor, NTKRegressorCV

PICTURE = "demo.png"
UCI_CLASSIFICATION = {
    "credit-approval": "credit approval",
    "conn-bench-vowel-deterding": "vowels",
    "oocytes_merluccius_states_2f": "oocytes",
    "synthetic-control": "synthetic control",
}
UCI_REGRESSION = {"gal_concrete": "concrete", "gal_energy": "energy", "gal_yacht": "yacht"}


class Split(NamedTuple):
    """A data set, cut into training and test rows."""

    name: str
    X: np.ndarray
    X_test: np.ndarray
    y: np.ndarray
    y_test: np.ndarray


class Result(NamedTuple):
    """What a model reached: a score for the table, an error between 0 and 1, and seconds."""

    score: float
    error: float
    seconds: float


# --- Data -----------------------------------------------------------------------------------------


def classification_splits():
    """Digits and breast cancer, and UCI sets where they are."""
    for name, load in [("digits", load_digits), ("breast cancer", load_breast_cancer)]:
        X, y = load(return_X_y=True)
        yield Split(name, *train_test_split(X, y, stratify=y, random_state=0))
    yield from uci_splits("uci_classification", UCI_CLASSIFICATION, "fold0")


def regression_splits():
    """Diabetes, and UCI sets where they are."""
    X, y = load_diabetes(return_X_y=True)
    yield Split("diabetes", *train_test_split(X, y, random_state=0))
    yield from uci_splits("uci_regression", UCI_REGRESSION, "split0")


def uci_splits(folder, names, fold):
    """Sets in a folder of SKLEARN_NTK_DATA, cut as they are by those who publish on them."""
    root = os.environ.get("SKLEARN_NTK_DATA")
    files = {Path(root, folder, f"{file}.npz"): name for file, name in names.items() if root}
    for file, name in files.items():
        if not file.is_file():
            continue
        with np.load(file) as data:
            X, y = data["X"], data["y"].ravel()
            train, test = data[f"{fold}_train"], data[f"{fold}_test"]
        yield Split(name, X[train], X[test], y[train], y[test])


# --- Models ---------------------------------------------------------------------------------------


def scaled(model):
    """The pipeline that all models share."""
    return make_pipeline(StandardScaler(), model)


def classifiers():
    """Our classifier, alone and with a choice among networks, and its peers."""
    return {
        "NTK": scaled(NTKClassifier()),
        "NTK+search": scaled(NTKClassifierCV()),
        "SVM": scaled(SVC()),
        "RandomForest": scaled(RandomForestClassifier(random_state=0)),
        "MLP": scaled(MLPClassifier(random_state=0)),
        "KernelRidge": scaled(OneVsRestClassifier(KernelRidge(kernel="rbf"))),
    }


def regressors():
    """The same for numbers; all get standardised targets, as SVR, MLP and KernelRidge need them."""
    models = {
        "NTK": scaled(NTKRegressor()),
        "NTK+search": scaled(NTKRegressorCV()),
        "SVM": scaled(SVR()),
        "RandomForest": scaled(RandomForestRegressor(random_state=0)),
        "MLP": scaled(MLPRegressor(random_state=0)),
        "KernelRidge": scaled(KernelRidge(kernel="rbf")),
    }
    return {
        name: TransformedTargetRegressor(model, transformer=StandardScaler())
        for name, model in models.items()
    }


# --- Tables ---------------------------------------------------------------------------------------


def accuracy(y, predicted):
    """Per cent of right labels, and the share of wrong ones."""
    right = np.mean(y == predicted)
    return 100 * right, 1 - right


def rmse(y, predicted):
    """Root mean squared error, plain and in units of the standard deviation of the targets."""
    root = np.sqrt(np.mean((y - predicted) ** 2))
    return root, root / y.std()


def compare(title, heading, splits, make_models, metric, error):
    """Run all models on all data sets, print a table, and return the results."""
    results, names = {}, list(make_models())
    print(f"\n{title}, and seconds of fit and prediction")
    print(f"{'':17}" + "".join(f"{name:>14}" for name in names))
    print(f"{'':17}" + f"{heading:>7} {'s':>6}" * len(names))
    for split in splits:
        models, row = make_models(), {}
        print(f"{split.name:17}", end="", flush=True)
        for name, model in models.items():
            row[name] = run(model, split, metric)
            print(f"{row[name].score:7.2f} {row[name].seconds:6.2f}", end="", flush=True)
        print()
        results[split.name] = row
        best = min(r.error for r in row.values())
        winners = ", ".join(name for name, r in row.items() if np.isclose(r.error, best))
        n, d = split.X.shape
        print(f"  {n} rows of {d} columns; best model: {winners}")
        print(f"  best candidate of the search: {chosen(models['NTK+search'])}")
    means = [np.mean([row[name].error for row in results.values()]) for name in names]
    print(f"{'mean ' + error:17}" + "".join(f"{mean:7.3f}{'':7}" for mean in means).rstrip())
    return results


def run(model, split, metric):
    """Fit on the training rows and predict the test rows."""
    start = time.perf_counter()
    predicted = model.fit(split.X, split.y).predict(split.X_test)
    seconds = time.perf_counter() - start
    return Result(*metric(split.y_test, predicted), seconds)


def chosen(model):
    """What a fitted search found."""
    found = dict(getattr(model, "regressor_", model)[-1].best_params_)
    del found["alpha"]
    return ", ".join(f"{name}={value!r}" for name, value in found.items())


def gaussian_processes(split):
    """Regression with error bars, and hyperparameters by maximum likelihood."""
    ntk = ConstantKernel() * NTKKernel(activation="erf", weight_var=1.0) + WhiteKernel()
    rbf = ConstantKernel() * RBF(np.sqrt(split.X.shape[1])) + WhiteKernel()
    models = {
        "NTKRegressor": NTKRegressor(),
        "GPR(NTKKernel)": GaussianProcessRegressor(ntk, normalize_y=True),
        "GPR(RBF)": GaussianProcessRegressor(rbf, normalize_y=True),
    }
    print(f"\nError bars on {split.name}\n{'':18}{'RMSE':>8}{'in 95 % band':>14}{'seconds':>9}")
    for name, model in models.items():
        start = time.perf_counter()
        mean, std = scaled(model).fit(split.X, split.y).predict(split.X_test, return_std=True)
        seconds = time.perf_counter() - start
        inside = 100 * np.mean(np.abs(split.y_test - mean) < 1.96 * std)
        print(f"{name:18}{rmse(split.y_test, mean)[0]:8.2f}{inside:12.1f} %{seconds:9.2f}")
    for name in ("GPR(NTKKernel)", "GPR(RBF)"):
        print(f"{name} learned {models[name].kernel_}")
        print(f"  log marginal likelihood {models[name].log_marginal_likelihood_value_:.2f}")


def compile_kernels():
    """Fit our models to a few rows, so that no seconds of the tables are those of a compiler."""
    rng = np.random.default_rng(0)
    X, numbers = rng.normal(size=(60, 5)), rng.normal(size=60)
    targets = [(classifiers, np.arange(60) % n) for n in (2, 3)] + [(regressors, numbers)]
    for make_models, y in targets:
        for name in ("NTK", "NTK+search"):
            make_models()[name].fit(X, y).predict(X)
    for depth in (1, 2):  # of many rows networks by columns have loops of their own
        NTKKernel(depth, column_layers=1).diag(rng.normal(size=(2000, 64)))
    NTKKernel(activation="erf")(X, eval_gradient=True)


def main():
    """Print the tables and save the picture."""
    start = time.perf_counter()
    print("Compiling the kernels; later runs load them from a cache ...", end=" ", flush=True)
    compile_kernels()
    print(f"{time.perf_counter() - start:.1f} s")

    labels, numbers = list(classification_splits()), list(regression_splits())
    with warnings.catch_warnings():
        # out of the box, scikit-learn's MLP stops before it has converged
        warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
        results = compare(
            "Test accuracy in %", "acc. %", labels, classifiers, accuracy, "share wrong"
        )
        results |= compare("Test RMSE", "RMSE", numbers, regressors, rmse, "RMSE / std")
    gaussian_processes(numbers[0])
    draw(results, [numbers[0], labels[1]], PICTURE)
    print(f"\nAll in {time.perf_counter() - start:.0f} s; the picture is in {PICTURE}.")


if __name__ == "__main__":
    main()
