"""Base class of the kernels: parameters, hyperparameters, Gram matrices and their derivatives."""

import numbers

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Hyperparameter

from .._compat import likelihood_module
from .._runtime.check import is_number, read_dtype
from .._runtime.device import device_name, read_device
from .._runtime.errors import OutOfRange
from .._runtime.notices import one_notice
from ..activations import as_activation
from ..architectures import column_mlp, mlp
from ..engines._work import active, check_memory_of, on_device
from ..formulas.special import is_variance
from ..gram import diagonal, gradient_length_scale, gradient_x, gram
from ..layers import lower
from ._hyperparameters import read_bounds, read_length_scale, text_of
from ._rows import check_rows, divided, where_rows_are
from ._trials import TrialKernel

_TIED = ("weight_var", "bias_var")
"""The variances, in the order of the last axis of derivatives of `gram.gram`."""


class NetworkKernel(TrialKernel):
    """Base class of `NTKKernel` and `NNGPKernel`, whose ``_get`` is "ntk" or "nngp"."""

    def __init__(
        self,
        depth=2,
        activation="relu",
        weight_var=2.0,
        bias_var=1.0,
        *,
        n_frozen=0,
        column_layers=0,
        architecture=None,
        length_scale=None,
        weight_var_bounds=(1e-3, 1e3),
        bias_var_bounds=(1e-5, 1e2),
        length_scale_bounds=(1e-5, 1e5),
        dtype="float64",
        device=None,
        verbose=0,
    ):
        self.depth = depth
        self.activation = activation
        self.weight_var = weight_var
        self.bias_var = bias_var
        self.n_frozen = n_frozen
        self.column_layers = column_layers
        self.architecture = architecture
        self.length_scale = length_scale
        self.weight_var_bounds = weight_var_bounds
        self.bias_var_bounds = bias_var_bounds
        self.length_scale_bounds = length_scale_bounds
        self.dtype = dtype
        self.device = device
        self.verbose = verbose

    @property
    def hyperparameter_weight_var(self):
        """Variance of the weights in all layers that have none of their own."""
        return self._hyperparameter("weight_var")

    @property
    def hyperparameter_bias_var(self):
        """Variance of the biases in all layers that have none of their own."""
        return self._hyperparameter("bias_var")

    @property
    def hyperparameter_length_scale(self):
        """Divisor of the columns: one number for all, or one for each; fixed if it is None."""
        self._check_parameters()
        bounds, n = self.length_scale_bounds, np.size(self.length_scale)
        is_fixed = self.length_scale is None
        bounds = "fixed" if is_fixed else read_bounds(bounds, "length_scale", n)
        return Hyperparameter("length_scale", "numeric", bounds, n)

    def _hyperparameter(self, name):
        """`Hyperparameter` of a variance, fixed if no layer depends on it or its value is 0."""
        tied = self._program().ties[_TIED.index(name)]
        bounds = read_bounds(getattr(self, f"{name}_bounds"), name)
        free = tied and getattr(self, name) > 0
        return Hyperparameter(name, "numeric", bounds if free else "fixed")

    def _check_parameters(self):
        for name in _TIED:
            value = getattr(self, name)
            if not is_variance(value) or (name == "weight_var" and value == 0):
                sign = ">" if name == "weight_var" else ">="
                raise ValueError(f"{name} must be a finite number {sign} 0; got {value!r}.")
        for name in ("depth", "n_frozen", "column_layers"):
            value = getattr(self, name)
            if not (isinstance(value, numbers.Integral) and is_number(value)) or value < 0:
                raise ValueError(f"{name} must be an integer >= 0; got {value!r}.")
        if self.length_scale is not None:
            read_length_scale(self.length_scale)
        if self.is_by_column and self.column_layers > self.depth:
            raise ValueError(
                f"column_layers must be at most depth={self.depth}, as they are hidden layers; got "
                f"{self.column_layers}."
            )
        read_dtype(self.dtype)
        read_device(self.device)

    @property
    def is_by_column(self):
        """Whether neurons of the first layer see one column each."""
        return self.architecture is None and self.column_layers > 0

    def _program(self, n_columns=1):
        """Check all parameters, and lower the network on so many columns to a `Program`."""
        self._check_parameters()
        layers = self.architecture
        if layers is None:
            layers = mlp(self.depth, as_activation(self.activation))
        if self.is_by_column:
            network = self.depth, as_activation(self.activation), self.column_layers
            layers = column_mlp(n_columns, *network)
        program = lower(layers, self.weight_var, self.bias_var, self.n_frozen)
        if program.n_outputs > 1:
            raise ValueError(
                f"A kernel needs a network with one output, its end; got {program.n_outputs}: "
                f"remove the Output layers, or use sklearn_ntk.gram.gram."
            )
        if self._get == "ntk" and not program.is_trained:
            raise ValueError(
                "The NTK of a network without a trained layer is zero: leave one unfrozen."
            )
        if program.shape is not None and not self.is_by_column and np.size(self.length_scale) > 1:
            raise ValueError(
                f"length_scale must be one number for a network on Input{program.shape}, whose "
                f"columns are positions; got {np.size(self.length_scale)} numbers."
            )
        return program

    @one_notice()
    @where_rows_are
    def __call__(self, X, Y=None, eval_gradient=False):
        """Gram matrix of the rows of ``X``, or between those of ``X`` and ``Y``.

        Parameters
        ----------
        X : array-like of shape (n, d)
        Y : array-like of shape (m, d), optional
            If left out, or the same object as ``X``, the matrix is symmetric to the bit.
        eval_gradient : bool
            Also return the gradient with respect to the logarithms of the free hyperparameters,
            in the order of `theta`; only without ``Y``.

        Returns
        -------
        K : array of shape (n, m)
        gradient : array of shape (n, n, n_free), if ``eval_gradient``
        """
        if eval_gradient and Y is not None:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        same = Y is None or Y is X
        module = likelihood_module() if same and self._is_trial else None
        try:
            program, left = self._problem(X)
            right = left if same else self._rows(Y, "Y")
            if eval_gradient:
                results = self._with_gradient(program, left)
            else:
                results = [gram(program, left, right, **self._options())]
            results = self._within(results, module) if same else results
        except OutOfRange:
            if module is None:
                raise
            return self._reject(len(X), eval_gradient, module)
        return tuple(results) if eval_gradient else results[0]

    def _options(self):
        """Arguments of `gram.gram`."""
        options = {"get": self._get, "dtype": self.dtype, "verbose": self.verbose}
        return options | {"device": self.device}

    def _rows(self, X, name="X"):
        """Checked rows, divided by the length scales."""
        return divided(check_rows(X, name), self.length_scale, name)

    def _problem(self, X):
        """The `Program` for rows, and these as of `_rows`."""
        program = self._program()  # errors of parameters come before those of rows
        X = self._rows(X)
        return (self._program(X.shape[1]) if self.is_by_column else program), X

    def _with_gradient(self, program, X):
        """K of divided rows, and its derivatives (n, n, n_free) in the order of `theta`."""
        sizes = {h.name: h.n_elements for h in self._free()}
        if "length_scale" in sizes and self.is_by_column:
            raise ValueError(
                "There are no derivatives by length scales with column_layers: set "
                "length_scale_bounds='fixed'."
            )
        places = [_TIED.index(name) for name in sizes if name in _TIED]
        if "length_scale" not in sizes:
            K, rates = gram(program, X, gradient=True, **self._options())
            return K, rates[..., ::-1] if len(places) == 2 else rates[..., places]
        shape, dtype = (len(X), len(X), sum(sizes.values())), read_dtype(self.dtype)
        check_memory_of(
            device_name(X),
            dtype.itemsize * float(np.prod(shape)),
            f"Derivatives of shape {shape}",
            "take fewer rows, or fix hyperparameters",
        )
        gradient = np.empty(shape, dtype, like=X)
        # theta is in alphabetical order: bias_var, length_scale, weight_var
        start = "bias_var" in sizes
        lengths = gradient[..., start : start + sizes["length_scale"]]
        isotropic = np.size(self.length_scale) == 1
        gradient_length_scale(program, X, isotropic=isotropic, out=lengths, **self._options())
        K, rates = gram(program, X, gradient=True, **self._options())
        for name in sizes.keys() & _TIED:
            gradient[..., 0 if name == "bias_var" else -1] = rates[..., _TIED.index(name)]
        return K, gradient

    def on_device(self, *rows):
        """Arrays of rows where the kernel computes: copied to the GPU if ``device`` is one."""
        return on_device(rows, self.device)

    def in_single(self):
        """The same kernel with matrices in single precision."""
        return clone(self).set_params(dtype="float32")

    @property
    def takes_positions(self):
        """Whether the network has an `Input` layer: rows are images or sequences."""
        return self._program().shape is not None and not self.is_by_column

    @where_rows_are
    def diag(self, X):
        """Diagonal of the Gram matrix of the rows of ``X``, in linear time.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        array of shape (n,)
        """
        options = {"get": self._get, "dtype": self.dtype, "device": self.device}
        with active([X], self.device):
            return diagonal(*self._problem(X), **options)

    @where_rows_are
    def gradient_x(self, X, Y=None, coef=None):
        """Gradients of the kernel ``k(x, y)`` with respect to ``x``, or of sums of kernels.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Rows at which gradients are taken.
        Y : array-like of shape (m, d), optional
            The other rows, which are held fixed; ``X`` by default.
        coef : array-like of shape (m,) or (m, k), optional
            Coefficients of functions ``f(x) = sum_j coef[j] k(x, y_j)`` whose gradients are
            returned instead. Without positions, these cost only a few matrix products besides the
            derivatives of the kernel.

        Returns
        -------
        array of shape (n, m, d), or with ``coef`` (n, d) or (n, k, d)
            In units of the kernel, or of the functions, per unit of a column.

        Notes
        -----
        For networks whose activations do not jump. Gradients of images are with respect to pixels,
        in the order of the columns. See `sklearn_ntk.gram.gradient_x` for gradients where the
        kernel has a kink, and for the time that gradients of images take.

        Examples
        --------
        >>> from sklearn_ntk import NNGPKernel
        >>> kernel = NNGPKernel(depth=0, weight_var=2.0, bias_var=0.0)  # 2 x.y / d
        >>> kernel.gradient_x([[1.0, 0.0]], [[3.0, 4.0]])
        array([[[3., 4.]]])
        """
        program, X = self._problem(X)
        Y = None if Y is None else self._rows(Y, "Y")
        found = gradient_x(program, X, Y, coef, **self._options())
        if self.length_scale is not None:
            found /= np.asarray(read_length_scale(self.length_scale), like=found)
        return found

    def __eq__(self, other):
        names = ("length_scale", "length_scale_bounds", *(f"{name}_bounds" for name in _TIED))
        if type(self) is type(other) and any(
            np.shape(getattr(self, name)) != np.shape(getattr(other, name)) for name in names
        ):
            return False  # scikit-learn compares them entry by entry
        return super().__eq__(other)

    def is_stationary(self):
        """Whether the kernel depends on differences ``x - y`` only: False."""
        return False

    def __repr__(self):
        shown = [("depth", self.depth), ("activation", self.activation)]
        if self.column_layers:
            shown.append(("column_layers", self.column_layers))
        if self.architecture is not None:
            shown = [("architecture", self.architecture)]
        if self.n_frozen:
            shown.append(("n_frozen", self.n_frozen))
        if self.dtype != "float64":
            shown.append(("dtype", self.dtype))
        if self.device is not None:
            shown.append(("device", self.device))
        texts = [f"{name}={value!r}" for name, value in shown]
        for name in _TIED:
            value = getattr(self, name)
            texts.append(f"{name}={value:.3g}" if is_variance(value) else f"{name}={value!r}")
        if self.length_scale is not None:
            texts.append(f"length_scale={text_of(self.length_scale)}")
        return f"{type(self).__name__}({', '.join(texts)})"
