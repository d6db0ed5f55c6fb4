"""Models of `large_n.py`: estimators of ours by solver, and what one would take instead."""

from importlib.util import find_spec

import numpy as np
from defaults import Validated
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel, NTKRandomFeatures, NTKRegressor

TREES = {"max_leaf_nodes": 63, "learning_rate": 0.1}
GAMMAS = (0.3, 1.0, 3.0)
DRAWS = 10
"""Settings of LightGBM that are tried."""


def ours(is_class, solver, X, is_open=False, **parameters):
    """An estimator of ours, with the NTK of two ReLU layers unless it is open."""
    fixed = {} if is_open else {"kernel": "ntk", "activation": "relu", "features": None}
    cls = NTKClassifier if is_class else NTKRegressor
    return cls(solver=solver, **fixed, **parameters)


def fixed_ridge(X):
    return 1e-3 * NTKKernel().diag(X).mean()


def linear(is_class):
    return (RidgeClassifierCV if is_class else RidgeCV)(np.logspace(-6, 1, 8))


def of_features(is_class, features):
    """A linear model of features of the network."""
    return make_pipeline(features.set_params(random_state=0), linear(is_class))


def search(model, grid):
    """The best of a grid by a fifth of the rows, and then all rows."""
    return GridSearchCV(model, grid, cv=ShuffleSplit(1, test_size=0.2, random_state=0))


def peer_nystroem(is_class, X):
    """scikit-learn's functions of 1000 rows, of the best of three widths, and a linear model."""
    n = min(1000, len(X) // 2)
    model = make_pipeline(Nystroem("rbf", n_components=n, random_state=0), linear(is_class))
    return search(model, {"nystroem__gamma": np.array(GAMMAS) / X.shape[1]})


def kernel_ridge(is_class, X):
    grid = {"gamma": np.array(GAMMAS) / X.shape[1], "alpha": [1e-3, 1e-2, 1e-1]}
    return search(KernelRidge(kernel="rbf"), grid)


def boosting(is_class, X):
    cls = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
    return cls(max_iter=100 if is_class else 1000, early_stopping=False, random_state=0, **TREES)


def light(is_class, X):
    import lightgbm

    cls = lightgbm.LGBMClassifier if is_class else lightgbm.LGBMRegressor
    return cls(n_estimators=1000, num_leaves=63, learning_rate=0.1, random_state=0, verbosity=-1)


def light_tuned(is_class, X):
    """The best of some random settings by a fifth of the rows, and then all rows."""
    grid = {
        "n_estimators": [100, 200, 400] if is_class else [300, 1000, 3000],
        "num_leaves": [15, 31, 63, 127, 255],
        "learning_rate": [0.02, 0.05, 0.1, 0.2],
        "min_child_samples": [5, 20, 80],
        "reg_lambda": [0.0, 1.0, 10.0],
        "colsample_bytree": [0.6, 1.0],
        "subsample": [0.7, 1.0],
    }
    split = ShuffleSplit(1, test_size=0.2, random_state=0)
    model = light(is_class, X).set_params(subsample_freq=1)
    return RandomizedSearchCV(model, grid, n_iter=DRAWS, cv=split, random_state=0)


MODELS = {
    "cholesky fixed": lambda c, X: ours(c, "cholesky", X, alpha=fixed_ridge(X)),
    "cg fixed": lambda c, X: ours(c, "cg", X, alpha=fixed_ridge(X)),
    "cg fixed 1e-6": lambda c, X: ours(c, "cg", X, alpha=fixed_ridge(X), tol=1e-6),
    "cholesky": lambda c, X: ours(c, "cholesky", X),
    "cg": lambda c, X: ours(c, "cg", X),
    "local": lambda c, X: ours(c, "local", X),
    "nystroem 1000": lambda c, X: ours(c, "nystroem", X, n_components=min(1000, len(X) // 2)),
    "nystroem 2000": lambda c, X: ours(c, "nystroem", X, n_components=min(2000, len(X) // 2)),
    "1000 random features, NNGP": lambda c, X: of_features(c, NTKRandomFeatures()),
    "1000 random features, NTK": lambda c, X: of_features(c, NTKRandomFeatures(kernel="ntk")),
    "300 centres, NNGP": lambda c, X: of_features(c, Nystroem(NNGPKernel(), n_components=300)),
    "300 centres, NTK": lambda c, X: of_features(c, Nystroem(NTKKernel(), n_components=300)),
    "auto": lambda c, X: ours(c, "auto", X, True),
    "cg auto": lambda c, X: ours(c, "cg", X, True),
    "local auto": lambda c, X: ours(c, "local", X, True),
    "nystroem auto": lambda c, X: ours(c, "nystroem", X, True, n_components=min(2000, len(X) // 2)),
    "HistGradientBoosting": boosting,
    "LightGBM": light,
    "LightGBM, tuned": light_tuned,
    "xRFM": lambda c, X: Validated("classification" if c else "regression"),
    "Nystroem + ridge (scikit-learn)": peer_nystroem,
    "KernelRidge (scikit-learn)": kernel_ridge,
}
EXTRAS = {"LightGBM": "lightgbm", "LightGBM, tuned": "lightgbm", "xRFM": "xrfm"}
EXACT = ("cholesky", "KernelRidge")
COMPARED = (
    "auto",
    "cg",
    "local auto",
    "nystroem auto",
    "LightGBM" if find_spec("lightgbm") else "HistGradientBoosting",
    "LightGBM, tuned",
    "xRFM",
    "Nystroem + ridge (scikit-learn)",
    "KernelRidge (scikit-learn)",
)
CHECKED = (
    "cholesky fixed",
    "cg fixed",
    "cg fixed 1e-6",
    "cholesky",
    "cg",
    "local",
    "nystroem 1000",
)


def wanted(options, n, is_class):
    """Names of the models that take part."""
    for name in options.models or (CHECKED if options.check else COMPARED):
        is_there = name not in EXTRAS or find_spec(EXTRAS[name])
        is_small = not name.startswith(EXACT) or n <= options.most_exact
        if is_there and is_small and not (is_class and "KernelRidge" in name):
            yield name
