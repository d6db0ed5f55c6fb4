"""Fine-tuning of a small network beside regression with its empirical kernels.

After Malladi et al. (ICML 2023): a network is trained on six digits, then told the other four
apart from few examples. Points are accuracies on new images, means and standard deviations over
draws of the examples: of fine-tuning by descent, and by the signs of gradients, and of regression
from the outputs before, with the kernels of descent, of signs on both sides, and of signs on the
side of the training rows, which is not symmetric and solved by LU factorisation. Needs torch.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits

from sklearn_ntk.finite import empirical_regression

SHOTS = (2, 8, 32)
N_DRAWS, RIDGE = 4, 0.01
KERNELS = {
    "kernel of descent": "sgd",
    "kernel of signs": "signgd",
    "asymmetric kernel": "asymmetric_signgd",
}


def data():
    """Images as tensors and labels: six digits to train on, the other four to be learned."""
    import torch

    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 8.0 - 1.0, dtype=torch.float32)
    return (X[y < 6], y[y < 6]), (X[y >= 6], y[y >= 6] - 6)


def fit(model, X, targets, rate, n_steps, signs=False):
    """The model after steps with all rows on the squared error, by gradients or their signs."""
    import torch

    for _ in range(n_steps):
        loss = torch.nn.functional.mse_loss(model(X), targets)
        parameters = list(model.parameters())
        moves = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for each, move in zip(parameters, moves, strict=True):
                each -= rate * (move.sign() if signs else move)
    return model


def pretrained(X, y):
    """A perceptron that tells six digits apart, with a new last layer for four classes."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(128, 6))
    fit(model, X, torch.eye(6)[torch.tensor(y)], 0.5, 400)
    return nn.Sequential(*layers, nn.Linear(128, 4))


def accuracies(model, X, y, X_new, y_new):
    """By name accuracies on new images."""
    from copy import deepcopy

    import torch

    targets = torch.eye(4)[torch.tensor(y)]
    ways = {"descent": (0.5, 300, False), "signs of gradients": (0.001, 60, True)}
    for name, (rate, n_steps, signs) in ways.items():
        outputs = fit(deepcopy(model), X, targets, rate, n_steps, signs)(X_new)
        yield name, np.mean(outputs.argmax(1).numpy() == y_new)
    for name, formula in KERNELS.items():
        outputs = empirical_regression(model, X, targets.numpy(), X_new, RIDGE, formula=formula)
        yield name, np.mean(outputs.argmax(1) == y_new)


def draw():
    """A group of points with bars of error for each number of examples of a class."""
    (X, y), (X_few, y_few) = data()
    model, found = pretrained(X, y), {}
    for n in SHOTS:
        for seed in range(N_DRAWS):
            order = np.random.default_rng(seed).permutation(len(y_few))
            few = np.concatenate([order[y_few[order] == k][:n] for k in range(4)])
            new = order[-300:]
            for name, accuracy in accuracies(model, X_few[few], y_few[few], X_few[new], y_few[new]):
                found.setdefault(name, {}).setdefault(n, []).append(accuracy)
    figure, axes = plt.subplots(figsize=(8, 4.4), layout="constrained")
    for place, (name, by_shots) in enumerate(found.items()):
        means, spreads = ([f(by_shots[n]) for n in SHOTS] for f in (np.mean, np.std))
        where = np.arange(len(SHOTS)) + 0.12 * (place - 2)
        axes.errorbar(where, means, spreads, fmt="o", label=name, color=f"C{place}")
        print(f"{name}: " + ", ".join(f"{n}: {m:.3f}" for n, m in zip(SHOTS, means, strict=True)))
    axes.set_xticks(range(len(SHOTS)), SHOTS)
    axes.set(xlabel="examples of each class", ylabel="accuracy on new images", ylim=(0.7, 1.0))
    axes.legend(ncols=2, loc="lower right")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
