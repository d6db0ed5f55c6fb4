"""Empirical kernels: of the gradients of a finite network, and of its last hidden layer."""

import numpy as np

from .._runtime.check import read_number
from .._runtime.memory import check_memory, read_memory
from ._outputs import SINGLE, functions_for, signs_for
from ._readers import reader_for, restarted
from ._signals import as_numpy, diagonal, product


def empirical_ntk(
    model, X, Y=None, *, outputs="mean", formula="sgd", layers=None, memory="512 MB", check=True
):
    """Neural tangent kernel of a finite network at its current parameters.

    ``K(x, x') = <J(x), J(x')>``, where ``J`` are the gradients of the outputs with respect to all
    trained parameters. It is computed from the inputs of the layers and the gradients with respect
    to their outputs, without a gradient for each row, for layers that have such a rule (R. Novak et
    al., "Fast finite width neural tangent kernel", ICML 2022). Other parameters take the general
    route, a gradient for each row and output.

    Parameters
    ----------
    model : torch.nn.Module, MLPRegressor, MLPClassifier or network of `sample_network`
        Modules must be in evaluation mode. Networks of scikit-learn must be fitted; their outputs
        are the values before the output function, for classes the logits.
    X : array of shape (n, ...)
        Rows in the form that the model takes, along the first axis; tensors are allowed. For
        modules, arrays are cast to the precision of the first parameter, tensors only if no
        parameter has their precision.
    Y : array of shape (m, ...), optional
        ``X`` by default; the result is then exactly symmetric.
    outputs : {"mean", "trace", "sum", "blocks"} or int
        "mean" and "trace" are the mean and the sum of the kernels of all outputs; for wide networks
        the mean tends to `NTKKernel`. "sum" is the kernel of the sum of all outputs, "blocks" are
        all kernels between two outputs, and a number is the kernel of that output.
    formula : {"sgd", "signgd", "asymmetric_signgd"}
        Kernel of training by gradient descent ("sgd"), or by the signs of gradients, taken for both
        rows ("signgd") or only for the rows ``Y``, the training rows ("asymmetric_signgd"; S.
        Malladi et al., "A kernel-based view of language model fine-tuning", ICML 2023).
    layers : str or list of str, optional
        Names of the layers or parameters that are trained, all by default; the name of a block
        stands for everything in it. Layers of networks of scikit-learn are called "0", "1", ...
    memory : str or float
        Memory that may be used besides the result, such as "512 MB", or in bytes; larger problems
        are computed in parts.
    check : bool
        Whether to compare the gradients of all parameters with autograd, on all rows, in one more
        pass; multilayer perceptrons need no check. Parameters that differ take the general route.
        Models whose outputs depend on other rows or on chance are refused.

    Returns
    -------
    array of shape (n, m), or (n, m, k, k) for "blocks"
        In float64; signals are computed in the precision of the model.

    Raises
    ------
    ValueError
        If the rows depend on each other or on chance, as with batch normalisation or dropout in
        training mode, or if no parameter is trained.

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn_ntk.finite import empirical_ntk
    >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 4.0]
    >>> line = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, y)
    >>> empirical_ntk(line, X)  # of a linear model: x x' + 1
    array([[1., 1., 1.],
           [1., 2., 3.],
           [1., 3., 5.]])
    """
    reader = reader_for(model, layers, check)
    X = reader.prepare(X)
    Y = X if Y is None else reader.prepare(Y)
    return ntk(reader, X, Y, outputs, formula, memory)


def empirical_ntk_diagonal(
    model, X, *, outputs="mean", formula="sgd", layers=None, memory="512 MB", check=True
):
    """Diagonal (n,) of `empirical_ntk`, in linear time.

    Parameters are as for `empirical_ntk`; ``outputs`` may not be "blocks".

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn_ntk.finite import empirical_ntk_diagonal
    >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 4.0]
    >>> empirical_ntk_diagonal(MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, y), X)
    array([1., 2., 5.])
    """
    reader = reader_for(model, layers, check)
    return ntk_diagonal(reader, reader.prepare(X), outputs, formula, memory)


@restarted
def ntk(reader, X, Y, outputs="mean", formula="sgd", memory="512 MB"):
    """Kernel (n, m) or (n, m, k, k) of prepared rows; ``Y`` is ``X`` for a symmetric one."""
    functions = functions_for(outputs, reader.n_outputs)
    signs, budget = signs_for(formula), read_memory(memory)
    is_blocks = isinstance(outputs, str) and outputs == "blocks"
    r = functions.number if is_blocks else 1
    shape = (len(X), r, len(Y), r)
    check_memory(8.0 * np.prod(shape), f"A kernel of shape {shape}", "take fewer rows")
    K = np.zeros(shape)
    is_symmetric = Y is X and signs[0] == signs[1]
    tiles = _tiles(reader, X, Y, functions, budget, is_blocks=is_blocks, is_symmetric=is_symmetric)
    for rows, columns, left, right in tiles:
        if not is_blocks:
            is_own, left = right is left, [signal.merged() for signal in left]
            right = left if is_own else [signal.merged() for signal in right]
        for pair in zip(left, right, strict=True):
            K[rows, :, columns] += product(*pair, signs, budget / 8.0)
    if is_symmetric:
        _mirror(K.reshape(len(X) * r, len(Y) * r))
    if functions.divisor != 1:
        K /= functions.divisor
    return K.swapaxes(1, 2) if is_blocks else K[:, 0, :, 0]


@restarted
def ntk_diagonal(reader, X, outputs="mean", formula="sgd", memory="512 MB", other=None):
    """Diagonal (n,) of `ntk`, for `SINGLE` outputs.

    With the reader ``other`` of the same network with other parameters, that of the kernel between
    the gradients of both.
    """
    functions = functions_for(outputs, reader.n_outputs, SINGLE)
    signs, budget, found = signs_for(formula), read_memory(memory), np.zeros(len(X))
    n_sides = 1 if other is None else 2
    number, n_rows = at_a_time(reader, X, functions, budget, n_sides)
    step = max(1, n_rows // n_sides)
    for seeds in functions.parts(number):
        for start in range(0, len(X), step):
            rows = slice(start, start + step)
            left = [each.merged() for each in reader.signals(X[rows], seeds)[1]]
            right = left
            if other is not None:
                right = [each.merged() for each in other.signals(X[rows], seeds)[1]]
            for signal, same in zip(left, right, strict=True):
                found[rows] += diagonal(signal, signs, budget / 8.0, same)[:, 0]
    return found / functions.divisor


def _tiles(reader, X, Y, functions, budget, *, is_blocks, is_symmetric):
    """Yield slices of rows and of columns, and the signals of both, that fit into the budget.

    Of a symmetric matrix these are the tiles on and above the diagonal. Unless ``is_blocks``, they
    may come several times, each time with some of the functions.
    """
    is_same = Y is X
    n, m, fitting = len(X), 0 if is_same else len(Y), _fitting(reader, X, functions, budget)

    def step_of(number):
        """Rows of a tile for so many functions at a time, none if it does not fit."""
        return max(n, len(Y)) if n + m <= fitting(number) else fitting(number) // 2

    def cost(number):
        """Rows that run forwards, and backwards for each function, which takes twice as long."""
        step, n_functions = step_of(number), functions.number
        if step == 0:
            return np.inf
        n_tiles = -(-n // step)
        n_rows = n + m if n_tiles == 1 else n + len(Y) * n_tiles * (0.5 if is_symmetric else 1.0)
        return n_rows * (-(-n_functions // number) + 2 * n_functions)

    number = functions.number if is_blocks else min(reversed(functions.numbers()), key=cost)
    is_whole = n + m <= fitting(number) and number == functions.number
    if not is_whole and getattr(reader, "has_noise", False):
        raise ValueError(
            "memory must be enough for all rows at once, as Dropout of a drawn network makes other "
            "noise at each run: increase it, or take fewer rows."
        )
    step = max(1, step_of(number))
    for seeds in functions.parts(number):
        for start in range(0, n, step):
            rows = slice(start, start + step)
            left = reader.signals(X[rows], seeds)[1]
            for first in range(start if is_symmetric else 0, len(Y), step):
                columns = slice(first, first + step)
                is_own = is_same and first == start
                right = left if is_own else reader.signals(Y[columns], seeds)[1]
                yield rows, columns, left, right


def at_a_time(reader, X, functions, budget, n_rows):
    """How many functions to take, as many as fit for ``n_rows``, and of how many rows, if any."""
    fitting = _fitting(reader, X, functions, budget)
    number = next(r for r in functions.numbers() if r == 1 or fitting(r) >= n_rows)
    return number, fitting(number)


def _fitting(reader, X, functions, budget):
    """Function of a number of functions: how many rows fit into the budget with their signals."""
    one, two = (reader.row_bytes(X, functions.seeds(slice(r))) for r in (1, 2))
    return lambda number: int(0.75 * budget / (one + (number - 1) * (two - one)))


def _mirror(K, step=64):
    """Overwrite what is below the diagonal of a square matrix with what is above it."""
    for start in range(0, len(K), step):
        rows = slice(start, start + step)
        K[start + step :, rows] = K[rows, start + step :].T
        square = K[rows, rows]
        square[:] = np.triu(square) + np.triu(square, 1).T


def empirical_nngp(model, X, Y=None, *, weight_var=None, bias_var=None):
    """Kernel of the last hidden layer: the covariance of outputs over draws of the last layer.

    It is ``weight_var / p h.h' + bias_var`` for the p inputs h of the last layer with weights. For
    wide random networks it tends to `NNGPKernel`.

    Parameters
    ----------
    model, X, Y
        As for `empirical_ntk`; no parameter needs to be trained. Modules must return the output of
        a ``Linear`` module in them.
    weight_var, bias_var : float, optional
        Variances of the last layer in the NTK parametrisation; by default those of the network if
        it comes from `sample_network`, else 1 and 0.

    Returns
    -------
    array of shape (n, m)

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn_ntk.finite import empirical_nngp
    >>> X, y = [[0.0, 1.0], [1.0, 3.0]], [0.0, 1.0]
    >>> empirical_nngp(MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, y), X)  # x.x' / d
    array([[0.5, 1.5],
           [1.5, 5. ]])
    """
    reader = reader_for(model, layers=False)
    variances = {"weight_var": (weight_var, 1.0), "bias_var": (bias_var, 0.0)}
    weight_var, bias_var = (
        getattr(reader, name, default) if given is None else read_number(given, name)
        for name, (given, default) in variances.items()
    )
    left = _hidden(reader, X)
    right = left if Y is None else _hidden(reader, Y)
    return weight_var / left.shape[1] * (left @ right.T) + bias_var


def _hidden(reader, X):
    """Inputs (n, p) of the last layer, in float64."""
    return as_numpy(reader.hidden(reader.prepare(X))).astype(np.float64)
