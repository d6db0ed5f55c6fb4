"""Wrong labels found by the influence of each image on its own score.

A share of the labels of handwritten digits is replaced at random. The influence of an image on the
score of its own label says how far the model follows this label alone, in closed form; the score
less this influence is that of the model without the image. Left, the share of the wrong labels that
are found by looking at the images in the order of these, or of the score itself, whose model has
seen the label. Right, the images of the largest influence, as they are labelled.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits

from sklearn_ntk import NTKClassifier

N_IMAGES, SHARE = 800, 0.3


def noisy_digits():
    """Images, labels of which some are wrong, and which ones."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    X, y = X[:N_IMAGES] / 16.0, y[:N_IMAGES]
    is_wrong = rng.random(N_IMAGES) < SHARE
    return X, np.where(is_wrong, (y + rng.integers(1, 10, N_IMAGES)) % 10, y), is_wrong


def orders(X, labels):
    """By name an order of the images."""
    rows = np.arange(len(X))
    model = NTKClassifier().fit(X, labels)
    own = model.influence(X)[rows, rows, labels]
    score = model.decision_function(X)[rows, labels]
    return {
        "influence on the own score": np.argsort(-own),
        "score without the image": np.argsort(score - own),
        "score": np.argsort(score),
        "at random": np.random.default_rng(1).permutation(len(X)),
    }


def draw():
    """Both panels."""
    X, labels, is_wrong = noisy_digits()
    figure = plt.figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    axes = left.subplots()
    found_by = orders(X, labels)
    for name, order in found_by.items():
        found = np.cumsum(is_wrong[order]) / is_wrong.sum()
        axes.plot(np.arange(1, len(X) + 1) / len(X), found, label=name)
        first = found[is_wrong.sum() - 1]
        print(f"{name}: {100 * first:.0f} % of the wrong labels among the first {is_wrong.sum()}")
    axes.axvline(is_wrong.mean(), color="0.8", zorder=0)
    axes.set(xlabel="share of the images that are looked at", ylabel="wrong labels found")
    axes.set(xlim=(0, 0.6), title=f"{is_wrong.sum()} of {len(X)} labels are wrong")
    axes.legend(loc="lower right")
    order = found_by["influence on the own score"]
    for cell, place in zip(right.subplots(3, 6).ravel(), order, strict=False):
        cell.imshow(X[place].reshape(8, 8), cmap="gray_r")
        colour = "#d55e00" if is_wrong[place] else "#0b3c8c"
        cell.set_title(f"{labels[place]}", color=colour)
        cell.axis("off")
    right.suptitle("the first ones with their labels; blue ones are right")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
