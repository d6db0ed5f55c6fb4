"""Task vectors add up better if the model is linear, and a scale is what they need most.

After Ortiz-Jimenez et al. (NeurIPS 2023): a network that knows a little of three tasks, digits that
are turned, negative or flipped, is fine-tuned for each of them, as it is or as its linear model.
What training changed is a vector; the sum of the three, times a scale, is added to the network.
Lines are accuracies of that one network relative to those of one network for each task, mean over
the tasks, by the scale; "after the fact" is the vector of the network in its linear model. Needs
torch.
"""

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits

SCALES = np.linspace(0.1, 1.0, 10)
TASKS = {
    "turned": lambda X: np.rot90(X, axes=(1, 2)),
    "negative": lambda X: 1.0 - X,
    "flipped": lambda X: X[:, ::-1],
}


def tensors(images, labels):
    import torch

    rows = torch.tensor(images.reshape(len(images), 64).copy(), dtype=torch.float32)
    return 2.0 * rows - 1.0, torch.tensor(labels)


def fit(model, X, y, rate=3e-4, n_epochs=20):
    """Train in place by Adam on the log loss."""
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(n_epochs):
        for rows in torch.randperm(len(X)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(X[rows]), y[rows]).backward()
            optimizer.step()
    return model


def networks(X, y):
    """The network before, and by kind what vectors are applied to and vectors by task."""
    import torch
    from torch import nn

    from sklearn_ntk.finite import Linearized, TaskVector

    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU())
    base.append(nn.Linear(200, 10))
    parts = [X[:700], *(change(X[:100]) for change in TASKS.values())]
    fit(base, *tensors(np.concatenate(parts), np.concatenate([y[:700], *3 * [y[:100]]])), 1e-3)
    found = {"network": {}, "linear model": {}}
    for name, change in TASKS.items():
        rows = tensors(change(X[:700]), y[:700])
        found["network"][name] = TaskVector(fit(deepcopy(base), *rows), base)
        found["linear model"][name] = TaskVector(fit(Linearized(base), *rows))
    linear = Linearized(base)
    yield "network", base, found["network"]
    yield "linear model", linear, found["linear model"]
    yield "linear, after the fact", linear, found["network"]


def draw():
    """A line for each kind of vectors."""
    import torch

    from sklearn_ntk.finite import normalized_accuracy

    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8) / 16.0
    new = {name: tensors(change(X[900:]), y[900:]) for name, change in TASKS.items()}

    def score(model, name):
        rows, labels = new[name]
        with torch.no_grad():
            return float((model(rows).argmax(1) == labels).float().mean())

    figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
    for kind, base, vectors in networks(X, y):
        found = [normalized_accuracy(base, vectors, score, scale) for scale in map(float, SCALES)]
        values = [each.normalized for each in found]
        axes.plot(SCALES, values, ".-", label=kind)
        single = np.mean(list(found[-1].single.values()))
        before = np.mean([score(base, name) for name in TASKS])
        print(
            f"{kind}: before {before:.3f}, single tasks {single:.3f}; normalised at scale 1 "
            f"{values[-1]:.3f}, at best {max(values):.3f} for {SCALES[np.argmax(values)]:.1f}"
        )
    axes.set(xlabel="scale of the sum of the vectors", ylabel="normalised accuracy")
    axes.legend()
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
