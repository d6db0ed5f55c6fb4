"""Training in time."""

from .solvers.flow import GradientFlow

__all__ = ["GradientFlow"]
