"""Influences on a torch network, beside those of training it anew without each row.

    python benchmarks/influence.py [--width 128] [--rows 40] [--steps 1500]

Images of two digits; a network with two hidden layers and standard initialisation, trained by full
batches with weight decay. Columns are the correlation over all pairs of a training and a new row,
and the rank correlation for a new row, their mean; seconds are of the processor. "Projected" are
random projections of the gradients in the place of the kernel, as TRAK takes them.
"""

import argparse
import time

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import nn

from sklearn_ntk import NTKKernel, NTKRegressor
from sklearn_ntk.finite import empirical_ntk, influence, tangent_features

N_NEW = 40
DECAYS = (0.01, 0.03)


def images(n):
    """Training rows and targets, and new rows, of two digits that look alike."""
    X, y = load_digits(return_X_y=True)
    chosen = np.flatnonzero((y == 3) | (y == 8))[: n + N_NEW]
    X, y = torch.from_numpy(X[chosen] / 8.0 - 1.0), np.where(y[chosen] == 3, 1.0, -1.0)
    return X[:n], torch.from_numpy(y[:n, None]), X[n:]


def train(X, y, width, decay, n_steps):
    """A network after training, always from the same start."""
    torch.manual_seed(0)
    layers = [nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, 1)).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=decay)
    for _ in range(n_steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(X), y).backward()
        optimizer.step()
    return model


def outputs(model, X):
    """Outputs (m,)."""
    with torch.no_grad():
        return model(X)[:, 0].numpy()


def by_projection(model, X, y, new, alpha, n_components):
    """The same as `influence`, with features in place of the kernel."""
    features = [tangent_features(model, rows, n_components, 0).features for rows in (X, new)]
    K, cross = features[0] @ features[0].T, features[1] @ features[0].T
    R = np.linalg.inv(K + alpha * np.eye(len(K)))
    return cross @ R * (y.numpy()[:, 0] - outputs(model, X)) / (alpha * R.diagonal())


def methods(model, X, y, new, alpha):
    """By name a function that returns influences (m, n)."""
    residuals = y.numpy()[:, 0] - outputs(model, X)
    wide = NTKRegressor(NTKKernel(depth=2, bias_var=0.1))
    return {
        "`finite.influence`": lambda: influence(model, X, y.numpy(), new, alpha)[:, :, 0],
        "projected, 128": lambda: by_projection(model, X, y, new, alpha, 128),
        "projected, 32": lambda: by_projection(model, X, y, new, alpha, 32),
        "projected, 8": lambda: by_projection(model, X, y, new, alpha, 8),
        "kernel times residual": lambda: empirical_ntk(model, new, X) * residuals,
        "`NTKRegressor.influence`": lambda: wide.fit(X.numpy(), y.numpy()[:, 0]).influence(new),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    X, y, new = images(options.rows)
    print("| weight decay | method | correlation | rank correlation | seconds |")
    print("|---|---|---|---|---|")
    for decay in DECAYS:
        start = time.process_time()
        model = train(X, y, options.width, decay, options.steps)
        whole, true = outputs(model, new), []
        for j in range(len(X)):
            others = np.delete(np.arange(len(X)), j)
            without = train(X[others], y[others], options.width, decay, options.steps)
            true.append(whole - outputs(without, new))
        true, spent = np.stack(true, axis=1), time.process_time() - start
        print(f"| {decay} | training without each row | 1 | 1 | {spent:.0f} |")
        for name, find in methods(model, X, y, new, len(X) * decay / 2.0).items():
            start = time.process_time()
            found = find()
            spent = time.process_time() - start
            ranks = np.mean([spearmanr(a, b)[0] for a, b in zip(found, true, strict=True)])
            correlation = np.corrcoef(found.ravel(), true.ravel())[0, 1]
            print(f"| {decay} | {name} | {correlation:.3f} | {ranks:.3f} | {spent:.2f} |")


if __name__ == "__main__":
    main()
