"""Whether a finite network trains as the linear model, and as the infinitely wide one, would."""

import warnings

import numpy as np

from .._runtime.check import read_count, read_number
from ._lazy_start import Start
from ._readers import reader_for, targets_and_outputs

LAZY = 0.1
"""Most change of the Jacobian, and distance to the linear model, of lazy training."""

LEARNING = 0.5
"""Change of the kernel from which on features are learned."""

TRAINED = 0.5
"""Share of the loss at the start below which a network, or its linear model, is trained."""


class LazyTrainingReport:
    """Train a finite network by gradient descent, and tell whether it stays near its linear model.

    Each step uses all rows, and the loss is half the mean squared error over rows, summed over
    outputs. (For ``torch.nn.MSELoss``, which averages over k outputs and has no factor of one half,
    the same steps have the rate ``learning_rate k / 2``.) The report trains a copy of the network;
    the original is left alone.

    Parameters
    ----------
    model : torch.nn.Module or network of `sample_network`
        Modules must be in evaluation mode.
    kernel : callable, optional
        Kernel of the infinitely wide network, such as `NTKKernel`, in the parametrisation of the
        model. ``kernel(X)`` and ``kernel(X_new, X)`` are called with flat rows. Without it, results
        for infinite width are NaN.
    n_steps : int, default=200
    learning_rate : "auto" or float, default="auto"
        "auto" is half of the largest rate that is stable for both kernels.
    n_checkpoints : int, default=8
        Number of checkpoints: the start, the end, and steps between them in geometric progression.
    layers : str or list of str, optional
        Names of the layers or parameters that are trained, all by default.
    memory : str or float, default="512 MB"
        Memory that kernels may use besides their results.
    check : bool, default=True
        As for `empirical_ntk`.

    Attributes
    ----------
    checkpoints_ : list of Checkpoint
        ``pandas.DataFrame(report.checkpoints_)`` is a table.
    model_ : torch.nn.Module or FiniteNetwork
        The trained copy.
    kappa_ : float
        Change of the Jacobian that lazy training would lead to: ``|J(w) - J(w_0)| / |J(w_0)|``,
        where ``w`` are the parameters of the linear model after the same steps. It is known before
        training.
    learning_rate_ : float
    max_learning_rates_ : dict
        Largest stable rates: "linear" for the linear model, and "infinite" for the infinitely wide
        network, if there is a kernel.
    kernel_to_infinite_ : float
        ``|K_0 - K| / |K|`` for the kernel ``K`` of the infinitely wide network.
    regime_ : {"lazy", "in between", "feature learning", "not trained", "unstable"}
        "lazy" if the Jacobian has changed by less than 10 %, and predictions are within 0.1
        standard deviations of the targets from those of the linear model. "feature learning" if the
        kernel has changed by more than 50 %. "not trained" if the kernel has changed less, and the
        losses of the network and of its linear model are both still more than half the initial
        loss: few steps change any network little, so take more. "unstable" if training did not
        reach its end, or if the rate is not stable for one of the kernels; the comparison then
        means nothing.
    verdict_ : str
        The regime in a sentence, with the numbers.

    Warns
    -----
    RuntimeWarning
        Before training, if the rate is not stable for one of the kernels. A network may train where
        its linear model diverges, and vice versa.

    See Also
    --------
    Linearized : The linear model as a torch module, for other losses and optimisers.

    References
    ----------
    L. Chizat, E. Oyallon and F. Bach, "On lazy training in differentiable programming", NeurIPS
    2019; J. Lee et al., "Wide neural networks of any depth evolve as linear models under gradient
    descent", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.architectures import mlp
    >>> from sklearn_ntk.finite import LazyTrainingReport, sample_network
    >>> X = np.random.default_rng(0).normal(size=(20, 2))
    >>> network = sample_network(mlp(1, "erf"), 1000, n_inputs=2, random_state=0)
    >>> kernel = NTKKernel(1, "erf", bias_var=0.1)
    >>> report = LazyTrainingReport(network, kernel, n_steps=50).fit(X, np.sin(X[:, 0]))
    >>> report.regime_
    'lazy'
    >>> [(each.step, round(each.jacobian_change, 2)) for each in report.checkpoints_][::3]
    [(0, 0.0), (4, 0.02), (26, 0.03)]
    """

    def __init__(
        self,
        model,
        kernel=None,
        *,
        n_steps=200,
        learning_rate="auto",
        n_checkpoints=8,
        layers=None,
        memory="512 MB",
        check=True,
    ):
        self.model = model
        self.kernel = kernel
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.n_checkpoints = n_checkpoints
        self.layers = layers
        self.memory = memory
        self.check = check

    def __repr__(self):
        name = f"{type(self).__name__}({type(self.model).__name__})"
        return f"{name}: {self.verdict_}" if hasattr(self, "verdict_") else name

    def fit(self, X, y, X_new=None):
        """Train on rows, and compare.

        Parameters
        ----------
        X : array of shape (n, ...)
            Training rows, in the form that the model takes.
        y : array of shape (n,) or (n, k)
            Targets; for classes, their indicators.
        X_new : array of shape (m, ...), optional
            Rows at which predictions are compared, by default the training rows.

        Returns
        -------
        LazyTrainingReport
            Itself.
        """
        n_steps = read_count(self.n_steps, "n_steps", 1)
        n_checkpoints = read_count(self.n_checkpoints, "n_checkpoints", 2)
        if self.kernel is not None and not callable(self.kernel):
            raise TypeError(
                f"kernel must be a callable such as NTKKernel(), or None; got {self.kernel!r}."
            )
        before = reader_for(self.model, self.layers, self.check)
        if not hasattr(before, "move"):
            raise TypeError(
                f"model must be a torch.nn.Module or a network of sample_network; got "
                f"{type(self.model).__name__}: its kernel is empirical_ntk, and it trains itself."
            )
        rows = before.prepare(X)
        Y, outputs = targets_and_outputs(before, rows, y)
        new = rows if X_new is None else before.prepare(X_new)
        start = Start(before, rows, new, Y, outputs, self.kernel, self.memory)
        self._read_rates(start)
        self.kappa_ = start.kappa(n_steps, self.learning_rate_)
        self.kernel_to_infinite_ = start.to_infinite()
        steps = np.unique(np.geomspace(n_steps, 1, n_checkpoints - 1).round().astype(int))
        steps = np.concatenate([[0], steps])
        self.checkpoints_, moved = self._train(start, steps)
        self.model_ = moved.model
        self._decide()
        return self

    def _read_rates(self, start):
        """Set the learning rate and its bounds; warn where it is beyond one."""
        self.max_learning_rates_ = start.max_learning_rates()
        rate, least = self.learning_rate, min(self.max_learning_rates_.values())
        is_auto = isinstance(rate, str) and rate == "auto"
        rate = 0.5 * least if is_auto else read_number(rate, "learning_rate", is_positive=True)
        self.learning_rate_ = rate
        self._beyond = [name for name, most in self.max_learning_rates_.items() if rate >= most]
        if self._beyond:
            bounds = (f"{name} {self.max_learning_rates_[name]:.4g}" for name in self._beyond)
            warnings.warn(
                f"learning_rate={rate:.4g} is beyond what is stable for the kernels of the network "
                f"({', '.join(bounds)}), whose models diverge: decrease it.",
                RuntimeWarning,
                stacklevel=3,
            )

    def _train(self, start, steps):
        """Checkpoints, and the reader of the trained network."""
        predicted = start.predictions(steps, self.learning_rate_)
        moved, n, found, step = start.reader.copy(), len(start.Y), [], 0

        def weigh(outputs):
            return self.learning_rate_ / n * (start.Y - outputs)

        with np.errstate(over="ignore", invalid="ignore"):
            for place, goal in enumerate(steps):
                for _ in range(goal - step):
                    moved.move(start.rows, weigh)
                step, outputs = goal, moved.outputs(start.rows)
                if not np.all(np.isfinite(outputs)):
                    break
                at_new = outputs if start.new is start.rows else moved.outputs(start.new)
                at = {name: (own[place], new[place]) for name, (own, new) in predicted.items()}
                found.append(start.compare(moved, int(step), outputs, at_new, at))
        return found, moved

    def _decide(self):
        """Set the regime and the verdict."""
        first, last = self.checkpoints_[0], self.checkpoints_[-1]
        is_lazy = last.jacobian_change < LAZY and last.to_linear < LAZY
        is_trained = min(last.loss, last.linear_loss) <= TRAINED * first.loss
        if last.kernel_change > LEARNING:
            self.regime_ = "feature learning"
        elif not is_trained:
            self.regime_ = "not trained"
        else:
            self.regime_ = "lazy" if is_lazy else "in between"
        found = (
            f"after {last.step} steps (loss {first.loss:.2g} -> {last.loss:.2g}, of the linear "
            f"model {last.linear_loss:.2g}) the Jacobian has changed by {last.jacobian_change:.2g} "
            f"of its norm (foreseen: {self.kappa_:.2g}), the kernel by {last.kernel_change:.2g} "
            f"and the weights by {last.weight_change:.2g}; predictions are {last.to_linear:.2g} "
            f"standard deviations of the targets from those of the linear model"
        )
        if np.isfinite(last.to_infinite):
            found += f" and {last.to_infinite:.2g} from those of the infinitely wide network"
        if self._beyond or last.step < self.n_steps:
            bounds = ", ".join(f"{k} {most:.3g}" for k, most in self.max_learning_rates_.items())
            self.regime_ = "unstable"
            found = (
                f"the learning rate is {self.learning_rate_:.3g}, stable below: {bounds}; {found}"
            )
        self.verdict_ = f"{self.regime_}: {found}."
