"""The kernel of a finite network as a kernel of scikit-learn."""

import numpy as np
from sklearn.gaussian_process.kernels import Kernel

from ..finite import empirical_ntk, empirical_ntk_diagonal


class EmpiricalNTKKernel(Kernel):
    """Neural tangent kernel of a finite network at its current parameters.

    It works with all estimators and Gaussian processes that take a kernel, and has no
    hyperparameters. The network is kept by reference: copies of the kernel made by scikit-learn
    share the network, and see it change when it is trained.

    Parameters
    ----------
    model : torch.nn.Module, MLPRegressor, MLPClassifier or drawn network
        The network, as in `sklearn_ntk.finite.empirical_ntk`. Rows are flat here, so that a network
        on images begins with ``torch.nn.Unflatten(1, shape)``.
    outputs : {"mean", "trace", "sum"} or int, default="mean"
        "mean" and "trace" are the mean and the sum of the kernels of all outputs, "sum" is the
        kernel of the sum of all outputs, and a number is the kernel of that output.
    formula : {"sgd", "signgd"}, default="sgd"
        Kernel of training by gradient descent, or by the signs of gradients.
    layers : str or list of str, optional
        Names of the layers or parameters that are trained.
    memory : str or float, default="512 MB"
        Memory that may be used besides the matrix, in bytes or as a string.
    check : bool, default=True
        As in `sklearn_ntk.finite.empirical_ntk`.

    See Also
    --------
    NTKKernel : Kernel of the infinitely wide network.

    Examples
    --------
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn_ntk import EmpiricalNTKKernel
    >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]
    >>> network = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, y)
    >>> process = GaussianProcessRegressor(EmpiricalNTKKernel(network), alpha=1e-6).fit(X, y)
    >>> process.predict([[4.0]]).round(3)
    array([4.])
    """

    def __init__(
        self, model, outputs="mean", formula="sgd", *, layers=None, memory="512 MB", check=True
    ):
        self.model = model
        self.outputs = outputs
        self.formula = formula
        self.layers = layers
        self.memory = memory
        self.check = check

    def __sklearn_clone__(self):
        return type(self)(**self.get_params())

    def _options(self):
        """Arguments of `empirical_ntk`; raises ValueError for those that give no kernel."""
        if isinstance(self.outputs, str) and self.outputs == "blocks":
            raise ValueError(
                "outputs must give one number for each pair of rows; got 'blocks': take 'mean', or "
                "sklearn_ntk.finite.empirical_ntk."
            )
        if isinstance(self.formula, str) and self.formula == "asymmetric_signgd":
            raise ValueError(
                "formula must be 'sgd' or 'signgd', whose matrices are symmetric; got "
                "'asymmetric_signgd': take sklearn_ntk.finite.empirical_ntk."
            )
        names = ("outputs", "formula", "layers", "memory", "check")
        return {name: getattr(self, name) for name in names}

    def __call__(self, X, Y=None, eval_gradient=False):
        """Gram matrix of the rows of ``X``, or between those of ``X`` and ``Y``.

        Parameters
        ----------
        X : array-like of shape (n, d)
        Y : array-like of shape (m, d), optional
            If left out, or the same object as ``X``, the matrix is symmetric to the bit.
        eval_gradient : bool
            Also return the gradient, of shape (n, n, 0), as there are no hyperparameters.

        Returns
        -------
        K : array of shape (n, m)
        gradient : array of shape (n, n, 0), if ``eval_gradient``
        """
        if eval_gradient and Y is not None:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        K = empirical_ntk(self.model, X, None if Y is X else Y, **self._options())
        return (K, np.empty((*K.shape, 0))) if eval_gradient else K

    def diag(self, X):
        """Diagonal of the Gram matrix of the rows of ``X``, in linear time.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        array of shape (n,)
        """
        return empirical_ntk_diagonal(self.model, X, **self._options())

    def is_stationary(self):
        """Whether the kernel depends on differences ``x - y`` only: False."""
        return False

    def __eq__(self, other):
        if type(self) is not type(other):
            return False
        mine, theirs = self.get_params(), other.get_params()
        return mine.pop("model") is theirs.pop("model") and mine == theirs

    __hash__ = None

    def __repr__(self):
        shown = [type(self.model).__name__]
        if self.outputs != "mean":
            shown.append(f"outputs={self.outputs!r}")
        if self.formula != "sgd":
            shown.append(f"formula={self.formula!r}")
        return f"{type(self).__name__}({', '.join(shown)})"
