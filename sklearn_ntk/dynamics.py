"""Training in continuous time: the public name of `GradientFlow`, which `solvers` defines."""

from .solvers._flow import GradientFlow

__all__ = ["GradientFlow"]
