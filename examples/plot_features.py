"""Which columns matter, learned on the kernel: their shares, and the error by steps of learning.

The target (J. Friedman, 1991) depends on five of ten columns, and the features of a wide network on
all of them alike. Learned ones turn and stretch the columns along the gradients of the fit. Left,
the share of each column in the mean square of these gradients, of the fit without learned features
and of the last one; right, the errors, at targets with noise, whose share is the dotted line.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import make_friedman1

from sklearn_ntk import NTKRegressor

N_STEPS, NOISE = 4, 0.5


def fits(X, y):
    """Models with more and more steps of learning, from none on."""
    network = {"kernel": "nngp", "activation": "gelu"}
    yield NTKRegressor(**network).fit(X, y)
    for n in range(1, N_STEPS + 1):
        yield NTKRegressor(**network, features="full", n_feature_steps=n).fit(X, y)


def draw(X, y, new, y_new):
    """Shares of the columns in the first and the last model, and errors by steps."""
    models = list(fits(X, y))
    errors = [np.sqrt(np.mean((model.predict(new) - y_new) ** 2)) / y_new.std() for model in models]
    left_out = [np.sqrt(model.loo_errors_.min()) for model in models]
    print("new rows: " + ", ".join(f"{error:.3f}" for error in errors))
    print("leaving out one row: " + ", ".join(f"{error:.3f}" for error in left_out))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    columns = np.arange(X.shape[1])
    for place, label in ((0, "fixed features"), (-1, f"{N_STEPS} steps")):
        offset = 0.2 if place else -0.2
        left.bar(columns + offset, models[place].feature_importances_, 0.4, label=label)
    left.set(xlabel="column", ylabel="share", xticks=columns)
    left.set_title("share of the mean squared gradient")
    left.legend()
    right.plot(errors, "o-", label="new rows")
    right.plot(left_out, "s--", label="leaving out one row")
    right.axhline(NOISE / y_new.std(), color="0.5", ls=":", label="noise")
    right.set(xlabel="steps of learning, at most", ylabel="RMSE / standard deviation")
    right.set(xticks=range(N_STEPS + 1), ylim=(0.0, None))
    right.set_title("error")
    right.legend()
    return figure


def main():
    """Show the picture of 400 rows, with errors on 2000 others."""
    train, new = (make_friedman1(n, noise=NOISE, random_state=k) for k, n in enumerate((400, 2000)))
    show(lambda: draw(*train, *new), __doc__)


if __name__ == "__main__":
    main()
