"""Training in time: what a wide network has learned after a time, or after a number of steps.

`_methods` has the methods of training as values, `_momentum` what those with momentum share,
`_training` training on the squared error, `_losses` its losses, `_left_out` its leave-one-out
residuals by the integrals of `_contours`, `_row_contours` which of these each row takes, `_added`
residuals with one row more, `_covariance` covariances of networks that start at random, `_times`
the time to a loss, `_log_loss` training on the log loss, `_stiff` its late times and `_logistic`
its limit, `_trained` predictions for both losses, `_arguments` checks.
"""

from .._values import publish
from ._covariance import covariance
from ._log_loss import LogLossTraining
from ._methods import Descent, Flow, HeavyBall, MomentumFlow, Nesterov
from ._training import Training

__all__ = [
    "Descent",
    "Flow",
    "HeavyBall",
    "LogLossTraining",
    "MomentumFlow",
    "Nesterov",
    "Training",
    "covariance",
]

publish(__name__, globals())
