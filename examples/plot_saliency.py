"""Which pixels speak for a three, and which for an eight.

A convolutional kernel machine is trained on threes and eights. The gradient of its score at an
image tells by how much each pixel would move the decision: more ink speaks for an eight where the
gradient is positive, red, and for a three where it is negative, blue. Above, images of both digits
and their gradients; below, the same changed along the gradient until the decision turns.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ntk import NTKClassifier
from sklearn_ntk.architectures import cnn

SHAPE = (8, 8)
STEPS = 40


def fitted():
    """Classifier of threes and eights, and new images of both, in order."""
    images, digits = load_digits(return_X_y=True)
    kept = np.isin(digits, (3, 8))
    X, new, y, truth = train_test_split(
        images[kept] / 16, digits[kept], train_size=200, random_state=0, stratify=digits[kept]
    )
    model = NTKClassifier(architecture=cnn((*SHAPE, 1), 2)).fit(X, y)
    print(f"{100 * (1 - model.score(new, truth)):.1f} % of {len(new)} new images are wrong")
    return model, np.vstack([new[truth == digit][:3] for digit in (3, 8)])


def turned(model, images):
    """Images changed along the gradients of their scores until the decisions turn."""
    changed, sign = images.copy(), np.sign(model.decision_function(images))
    for _ in range(STEPS):
        stays = sign * model.decision_function(changed) > 0
        if not stays.any():
            break
        gradients = model.predict_gradient(changed[stays])
        steps = sign[stays, None] * gradients / np.abs(gradients).max(axis=1, keepdims=True)
        changed[stays] = np.clip(changed[stays] - 0.1 * steps, 0.0, 1.0)
    return changed


def draw():
    """A column for each image."""
    model, images = fitted()
    gradients, changed = model.predict_gradient(images), turned(model, images)
    scores, after = model.decision_function(images), model.decision_function(changed)
    figure, axes = plt.subplots(3, len(images), figsize=(9, 5), layout="constrained")
    most = np.abs(gradients).max()
    for column, image, gradient, other, score, late in zip(
        axes.T, images, gradients, changed, scores, after, strict=True
    ):
        column[0].imshow(image.reshape(SHAPE), cmap="gray_r", vmin=0, vmax=1)
        column[0].set_title(f"score {score:.2f}", fontsize=10)
        column[1].imshow(gradient.reshape(SHAPE), cmap="RdBu_r", vmin=-most, vmax=most)
        column[2].imshow(other.reshape(SHAPE), cmap="gray_r", vmin=0, vmax=1)
        column[2].set_title(f"score {late:.2f}", fontsize=10)
    for row, name in zip(axes, ("image", "gradient", "turned"), strict=True):
        row[0].set_ylabel(name)
        for axis in row:
            axis.set(xticks=[], yticks=[])
    figure.suptitle("three (negative score) or eight (positive score)")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
