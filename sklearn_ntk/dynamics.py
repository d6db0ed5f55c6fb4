"""Training in time."""

from .solvers._flow import GradientFlow

__all__ = ["GradientFlow"]
