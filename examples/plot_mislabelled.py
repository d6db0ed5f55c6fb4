"""Wrong labels found by the influence of each image on its own score, and by the score.

A share of the labels of handwritten digits is replaced at random. The influence of an image on the
score of its own label says how far the model follows this label alone, in closed form; the score
less this influence is that of the model without the image. Left, the share of the wrong labels that
are found by looking at the images in the order of these, or of the score itself, whose model has
seen the label. Among as many images as there are wrong labels, the influence finds 93 % of them,
the score without the image 97 %, and the score itself no less: here the model is not misled by the
labels that it has seen. Right, the images of the largest influence, as they are labelled.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits

from sklearn_ntk import NTKClassifier

N_IMAGES, SHARE = 800, 0.3
N_SHOWN = 18


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
    found_by, first = orders(X, labels), {}
    for name, order in found_by.items():
        found = np.cumsum(is_wrong[order]) / is_wrong.sum()
        dashes = "--" if name == "score" else "-"  # over the line of the score without the image
        axes.plot(np.arange(1, len(X) + 1) / len(X), found, dashes, label=name)
        first[name] = f"{100 * found[is_wrong.sum() - 1]:.0f} %"
        print(f"{name}: {first[name]} of the wrong labels among the first {is_wrong.sum()}")
    axes.axvline(is_wrong.mean(), color="0.8", zorder=0)
    axes.set(xlabel="share of the images that are looked at", ylabel="wrong labels found")
    axes.set(xlim=(0, 0.6))
    by_influence, by_score = first["influence on the own score"], first["score"]
    axes.set_title(
        f"{is_wrong.sum()} of {len(X)} labels are wrong; among the first {is_wrong.sum()} images,\n"
        f"influence finds {by_influence}, the score {by_score} of them",
        fontsize="medium",
    )
    axes.legend(loc="lower right")
    order = found_by["influence on the own score"][:N_SHOWN]
    for cell, place in zip(right.subplots(3, 6).ravel(), order, strict=True):
        cell.imshow(X[place].reshape(8, 8), cmap="gray_r")
        colour = "#d55e00" if is_wrong[place] else "#0b3c8c"
        cell.set_title(f"{labels[place]}", color=colour)
        cell.axis("off")
    n_wrong = is_wrong[order].sum()
    found = f"all {N_SHOWN}" if n_wrong == N_SHOWN else f"{n_wrong} of {N_SHOWN}"
    right.suptitle(f"labels given; orange: wrong ({found})")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
