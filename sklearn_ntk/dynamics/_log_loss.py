"""Training of a wide network on the log loss of classes: an equation for the dual coefficients."""

import numpy as np
from scipy.integrate import DOP853

from .._runtime.check import read_flag, read_gram, read_number, read_weights
from ..gram._spectrum import eigenvectors, non_negative
from ._arguments import read_classes, read_method, read_outputs, read_times
from ._logistic import best_constant, dual_of, kernel_problem, minimum, probabilities
from ._methods import FLOW
from ._stiff import Late, is_late
from ._trained import Trained


class LogLossTraining(Trained):
    """Training of a wide network on the log loss of classes, by integration in time.

    Scores are ``f + c``. ``f`` starts at given scores, zero by default, and follows the negative
    gradient, times ``learning_rate``, of ``(sum_i w_i loss(y_i, f(x_i) + c) + alpha |f - f_0|^2 /
    2) / n``. Here ``n`` is the sum of the weights, and ``|f - f_0|`` is the distance of the
    parameters of the network from their initial values. ``c`` are the constants with the smallest
    loss at each time, or zero.

    Parameters
    ----------
    K : array of shape (n, n)
        Gram matrix: the NTK for a network with all layers trained.
    weights : array of shape (n,), optional
        Positive weights of the rows, ones by default.
    alpha : float, default=0.0
        Weight decay toward the initial parameters, that is, a ridge.
    learning_rate : float, default=1.0
        Factor of the time.
    method : value, default=Flow()
        `Flow` or `MomentumFlow`: there is no closed form for steps.
    fit_intercept : bool, default=True
        Whether to fit the constants ``c``. Without them, scores are those of the network alone.
    tol : float, default=1e-8
        Relative tolerance of the integrator.

    Raises
    ------
    ValueError
        If the matrix has negative eigenvalues or is not symmetric, or if a parameter, here or of a
        function, is not a number in its range.

    Notes
    -----
    Targets ``Y`` are the shares (n, k) of the classes in each row, such as ``np.eye(k)[labels]``,
    with the probabilities ``softmax(f + c)``; or, for two classes, the share (n,) or (n, 1) of the
    second class, with the probability ``1 / (1 + exp(-f - c))``. The difference of two scores
    trains twice as fast as the single score, and has half of its ridge: with `Flow` and ``alpha``,
    it is at the time t what the single score is at the time 2t with ``alpha / 2``.

    The state ``A`` of the flow has the shape of the targets: ``dA/dt = learning_rate / n (W (Y -
    P(f_0 + K A + c)) - alpha A)``. Without a ridge, scores grow like the logarithm of the time, and
    there is no limit where classes can be separated. With one, the limit is kernel logistic
    regression, found by Newton's method.

    An explicit method of order eight (Dormand and Prince) takes few steps, because probabilities
    near 0 and 1 switch the loss off: some 3000 products with ``K`` for 500 rows, ten classes and a
    time of a million. Where classes cannot be separated, or with a ridge, its steps remain short.
    Then, for tolerances of at least 1e-9, an implicit method (Radau) for the coefficients along the
    eigenvectors takes over once it is faster. Dual coefficients of equal rows may then differ from
    those of the flow, in directions that the kernel does not see. With a ridge, scores settle.

    References
    ----------
    J. Lee et al., "Wide neural networks of any depth evolve as linear models under gradient
    descent", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.special import softmax
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.dynamics import LogLossTraining
    >>> x = np.linspace(-1.0, 1.0, 6)[:, None]
    >>> K, Y = NTKKernel(depth=1, bias_var=0.1)(x), np.eye(3)[[0, 0, 1, 1, 2, 2]]
    >>> scores = LogLossTraining(K).predict(K[:1], Y, [0.0, 10.0, 1000.0])
    >>> softmax(scores, axis=-1)[:, 0].round(2)
    array([[0.33, 0.33, 0.33],
           [0.93, 0.06, 0.01],
           [1.  , 0.  , 0.  ]])
    """

    def __init__(
        self,
        K,
        weights=None,
        alpha=0.0,
        learning_rate=1.0,
        method=FLOW,
        fit_intercept=True,
        tol=1e-8,
    ):
        self._K = read_gram(K)
        self._n = len(self._K)
        self._weights = np.ones(self._n) if weights is None else read_weights(weights, self._n)
        self.alpha = read_number(alpha, "alpha")
        self.learning_rate = read_number(learning_rate, "learning_rate", is_positive=True)
        self.method = read_method(method)
        if not method.is_flow:
            raise ValueError(
                f"method must be Flow() or MomentumFlow() for the log loss, which is integrated in "
                f"time; got {method!r}."
            )
        self.fit_intercept = read_flag(fit_intercept, "fit_intercept")
        self.tol = read_number(tol, "tol")
        if not 1e-13 <= self.tol <= 0.01:
            raise ValueError(f"tol must be a number from 1e-13 to 0.01; got {self.tol:g}.")
        values, vectors = eigenvectors(self._K)
        values = non_negative(values, self.alpha, np.abs(self._K.diagonal()).mean())
        self._values, self._vectors = values[values > 0.0], vectors[:, values > 0.0]

    def coefficients(self, Y, times, start=None):
        """Dual coefficients and intercepts at one time or several.

        Parameters
        ----------
        Y : array of shape (n,) or (n, k)
            Shares of the classes.
        times : float or array of shape (n_times,)
            At least zero; infinite only with a ridge.
        start : array of the shape of ``Y``, optional
            Initial scores, zero by default; the result is the change from them.

        Returns
        -------
        dual : array of the shape of ``Y``, or of shape (n_times, n) or (n_times, n, k)
            Scores are ``k(x, X) @ dual + intercept``, plus the initial ones.
        intercept : array of shape () or (k,), or of shape (n_times,) or (n_times, k)
        """
        Y, is_flat = read_classes(Y, self._n, self.fit_intercept)
        times, first = read_times(times), np.zeros(Y.shape)
        if start is not None:
            first = read_outputs(start, Y.shape[:1] if is_flat else Y.shape, "start")
        distinct, places = np.unique(times, return_inverse=True)
        if self.alpha == 0.0 and np.isinf(distinct[-1:]).any():
            raise ValueError(
                "time must be finite without a ridge, as scores of classes that can be separated "
                "grow forever; got inf: increase alpha."
            )
        found = self._solve(Y, distinct, first.reshape(Y.shape))
        dual, intercept = (part[places.reshape(times.shape)] for part in found)
        return (dual[..., 0], intercept[..., 0]) if is_flat else (dual, intercept)

    def _solve(self, Y, times, first):
        """Dual coefficients (n_times, n, k) and intercepts (n_times, k) at increasing times."""
        end = self._end(Y, first) if self.alpha > 0.0 else None
        dual = np.empty((len(times), *Y.shape))
        intercept = np.zeros((len(times), Y.shape[1]))
        states = self._integrate(Y, times[times < self._settled()], first, end)
        guess = self._guess(first)
        for k, state in enumerate(states):
            dual[k] = state
            guess = intercept[k] = self._constant(Y, first + self._K @ state, guess)
        if len(states) < len(times):
            dual[len(states) :], intercept[len(states) :] = end
        return dual, intercept

    def _settled(self):
        """Time after which what is left of a training with a ridge is below the tolerance.

        The loss with the ridge is convex, at least by ``alpha / n`` in the norm of the kernel.
        """
        rate = self.method.rate(self.learning_rate * self.alpha / self._weights.sum())
        return -np.log(self.tol) / rate if rate > 0.0 else np.inf

    def _integrate(self, Y, times, first, end):
        """Dual coefficients (n, k) at each of the times until they have reached the end, if any."""
        slope, state = self._equation(Y, first)
        scale = np.abs(self._K.diagonal()).max() or 1.0
        tolerances = {"rtol": self.tol, "atol": 0.01 * self.tol / scale}
        solver = DOP853(slope, 0.0, state, np.max(times, initial=0.0), **tolerances)
        found, late = [np.zeros(Y.shape) for time in times if time == 0.0], None

        def dual(state):
            return state[: Y.size].reshape(Y.shape) if late is None else late.dual(state)

        while len(found) < len(times):
            solver.step()
            if solver.status == "failed":
                raise ValueError(
                    f"training must be slow enough for its integrator; got steps below rounding at "
                    f"the time {solver.t:.3g}: decrease learning_rate."
                )
            if times[len(found)] <= solver.t:
                curve = solver.dense_output()
                found += [dual(curve(time)) for time in times[len(found) :] if time <= solver.t]
            if end is not None and self._is_near(dual(solver.y), end[0]):
                break
            if late is not None and late.is_settled(solver, self.tol):
                found += [dual(solver.y)] * (len(times) - len(found))
            can_be_late = late is None and state.size == Y.size  # without momentum
            if can_be_late and is_late(solver, *Y.shape, len(self._values), self.tol):
                late = Late(self, Y, first, dual(solver.y))
                solver = late.solver(solver.t, solver.t_bound, self.tol, scale)
        return found

    def _equation(self, Y, first):
        """Derivative of the state as a function of time and state, and the first state.

        The state are the dual coefficients, flattened, with momentum followed by their velocity.
        """
        rate, size = self.learning_rate / self._weights.sum(), Y.size
        momentum = getattr(self.method, "momentum", None)
        constant = self._guess(first)

        def force(A):
            nonlocal constant
            scores = first + self._K @ A
            constant = self._constant(Y, scores, constant)  # begins with the last one
            misfit = self._weights[:, None] * (Y - probabilities(scores + constant))
            return rate * (misfit - self.alpha * A).ravel()

        def flow(_, state):
            return force(state.reshape(Y.shape))

        def flow_with_momentum(_, state):
            A, velocity = state[:size].reshape(Y.shape), state[size:]
            return np.concatenate([velocity, force(A) - (1.0 - momentum) * velocity])

        if momentum is None:
            return flow, np.zeros(size)
        return flow_with_momentum, np.zeros(2 * size)

    def _is_near(self, A, end):
        """Whether scores differ from those at the end by about the error of the integrator."""
        errors, size = np.abs(self._K @ (A - end)), np.abs(self._K @ end)
        return errors.max() <= 10.0 * self.tol * size.max()

    def _guess(self, first):
        """Constants (k,) that make the means of the initial scores zero; zero without intercept."""
        return -np.average(first, axis=0, weights=self._weights) * self.fit_intercept

    def _constant(self, Y, scores, guess):
        """Constants (k,) of the least loss, zero without an intercept."""
        return best_constant(Y, scores, self._weights, guess) if self.fit_intercept else guess

    def _end(self, Y, first):
        """Dual coefficients and intercepts after infinite time."""
        root = self._vectors * np.sqrt(self._values)
        guess = self._constant(Y, first, self._guess(first))
        rows = Y, self._weights, first + guess
        problem = kernel_problem(root, self.alpha, *rows, self.fit_intercept)
        found = minimum(problem)
        constant = guess + found[len(self._values) :].sum(axis=0)
        return dual_of(problem, found, self._vectors, self._values, self.alpha), constant
