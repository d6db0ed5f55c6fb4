"""Finite networks drawn at random from the layers of infinitely wide ones."""

import numpy as np

from .. import program
from .._runtime.check import read_array, read_count
from .._runtime.memory import check_memory
from ..layers import lower
from ._drawing import Draft, Drawing
from ._readers import chosen, needs_torch, with_rows
from ._running import NumPySpace, run
from ._signals import Signal


def sample_network(
    architecture,
    width,
    n_outputs=1,
    weight_var=2.0,
    bias_var=0.1,
    random_state=None,
    *,
    n_inputs=None,
):
    """Draw a finite network in the NTK parametrisation; its kernels tend to those of its layers.

    All entries of its matrices are standard normal; standard deviations of weights and biases are
    factors in the forward pass, ``y = sqrt(weight_var / n_in) W x + sqrt(bias_var) b``.

    Parameters
    ----------
    architecture : tuple of layers
        As for kernels; it must end in a layer with weights.
    width : int
        Number of channels of all hidden layers. Attention with random scores has heads of four
        channels.
    n_outputs : int
    weight_var, bias_var : float
        Variances for layers whose own are None.
    random_state : int, Generator or None
    n_inputs : int, optional
        Number of columns of the rows; needed for networks that do not begin with `Input`, and only
        for these.

    Returns
    -------
    FiniteNetwork

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.architectures import mlp
    >>> from sklearn_ntk.finite import empirical_ntk, sample_network
    >>> network = sample_network(mlp(depth=1), 10_000, bias_var=0.0, random_state=0, n_inputs=2)
    >>> X = [[1.0, 0.0], [0.0, 1.0]]
    >>> empirical_ntk(network, X).round(1)
    array([[2. , 0.3],
           [0.3, 2. ]])
    >>> NTKKernel(depth=1, bias_var=0.0)(X).round(1)
    array([[2. , 0.3],
           [0.3, 2. ]])
    """
    width, n_outputs = read_count(width, "width", 1), read_count(n_outputs, "n_outputs", 1)
    whole = lower(architecture, weight_var, bias_var)  # checks all arguments
    if whole.n_outputs > 1:
        raise ValueError(
            f"A finite network has one end; got {whole.n_outputs} outputs: remove Output layers."
        )
    drawing = Drawing(float(weight_var), float(bias_var), 0)
    steps = list(drawing.walk(architecture, "architecture"))
    drawing.path = ["architecture"]
    if not isinstance(steps[-1], program.Pointwise):
        drawing.fail("a finite network must end in a layer with weights", "Append Dense()")
    n_inputs, n_positions = _read_inputs(whole.shape, n_inputs)
    draft = Draft(drawing, width, n_outputs, n_inputs // n_positions, n_positions)
    draft.draw(steps)
    n_bytes = 8.0 * sum(n * m for n, m in draft.shapes)
    check_memory(n_bytes, f"A network of width {width}", "take a smaller width")
    rng = np.random.default_rng(random_state)
    matrices = [rng.standard_normal(shape) for shape in draft.shapes]
    return FiniteNetwork(draft.operations, matrices, draft.trained, n_inputs, n_positions, rng)


def _read_inputs(shape, n_inputs):
    """Numbers of columns and of positions of the rows."""
    if shape is None:
        if n_inputs is None:
            raise ValueError(
                "n_inputs, the number of columns, must be given for a network without Input."
            )
        return read_count(n_inputs, "n_inputs", 1), 1
    size = int(np.prod(shape))
    if n_inputs not in (None, size):
        raise ValueError(
            f"n_inputs must be the {size} numbers of Input{shape}; got {n_inputs!r}: leave it out."
        )
    return size, size // shape[-1]


class FiniteNetwork:
    """A network drawn by `sample_network`; call it for its outputs (n, n_outputs).

    Attributes
    ----------
    matrices : list of arrays
        Matrices of shape (n_in, n_out), in the order of the layers; the last row is the bias, if
        there is one. Recurrences have one matrix for state and inputs; attention has matrices for
        queries, for keys if they differ, and for values.
    trained : list of bool
        Whether each matrix is trained, that is, belongs to no frozen layer.
    n_inputs, n_outputs : int

    Examples
    --------
    >>> from sklearn_ntk.architectures import mlp
    >>> from sklearn_ntk.finite import sample_network
    >>> network = sample_network(mlp(depth=2), 50, n_outputs=3, n_inputs=4, random_state=0)
    >>> [matrix.shape for matrix in network.matrices]
    [(5, 50), (51, 50), (51, 3)]
    >>> network([[1.0, 2.0, 3.0, 4.0]]).shape
    (1, 3)
    """

    def __init__(self, operations, matrices, trained, n_inputs, n_positions, rng):
        self.operations, self.matrices, self.trained = operations, matrices, trained
        self.n_inputs, self.n_positions, self._rng = n_inputs, n_positions, rng
        self.n_outputs = matrices[operations[-1].place].shape[1]

    def replace(self, matrices):
        """The same network with other matrices."""
        others = (self.trained, self.n_inputs, self.n_positions, self._rng)
        return FiniteNetwork(self.operations, matrices, *others)

    def rows(self, X):
        """Checked rows (n, n_inputs)."""
        what, remedy = f"an array (n, {self.n_inputs}) of finite numbers", "pass flat rows"
        X = read_array(X, "X", what, remedy, [2])
        if X.shape[1] != self.n_inputs:
            raise ValueError(f"X must be {what}; got shape {X.shape}: {remedy}.")
        return X

    def __call__(self, X):
        return self.run(self.rows(X))[0]

    def run(self, X):
        """Outputs (n, k), and ``back(delta, record)`` for their gradients (n, r, k)."""
        x = X.reshape(len(X), self.n_positions, -1)
        y, back = run(self.operations, x, NumPySpace(self.matrices, self._rng))
        return y[:, 0], lambda delta, record: back(delta[:, None], record)

    def gradients(self, X, delta):
        """Gradients of ``sum(delta * outputs)`` by all matrices, for ``delta`` (n, k).

        They are zero for matrices that are not trained.
        """
        return self.outputs_and_gradients(X, lambda outputs: delta)[1]

    def outputs_and_gradients(self, X, weigh):
        """Outputs (n, k), and `gradients` for ``delta = weigh(outputs)``."""
        found = [np.zeros_like(matrix) for matrix in self.matrices]

        def record(place, a, g):
            if self.trained[place]:
                found[place] += np.tensordot(a, g[:, :, 0], 2 * [[0, 1]])

        outputs, back = self.run(X)
        back(weigh(outputs)[:, None], record)
        return outputs, found

    def to_torch(self):
        """The same network as a ``torch.nn.Module`` in float64, with its matrices as parameters.

        Parameters of frozen layers do not require gradients. The module also takes flat rows.
        """
        try:
            from ._torch import Drawn
        except ModuleNotFoundError as error:
            raise needs_torch("to_torch", error) from None
        return Drawn(self)


class Reader:
    """Reader of a drawn network: see `_readers`. A layer is called by the number of its matrix."""

    def __init__(self, model, layers=None, check=True):
        names = [str(k) for k, is_trained in enumerate(model.trained) if is_trained]
        if not names and layers is not False:
            raise ValueError(
                "A kernel needs trained layers; got a network whose layers are frozen."
            )
        self.model, self.layers = model, chosen(names, layers)
        self.n_outputs = model.n_outputs
        self.has_noise = any(hasattr(each, "kept") for each in model.operations)
        self._last = model.operations[-1]
        self.weight_var, self.bias_var = self._last.weight_var, self._last.bias_var

    def prepare(self, X):
        """Checked rows."""
        return with_rows(self.model.rows(X))

    def signals(self, X, seeds):
        """Outputs, and signals of the chosen layers."""
        found = {}

        def record(place, a, g):
            if str(place) in self.layers:
                found.setdefault(place, []).append((a, g))

        outputs, back = self.model.run(X)
        back(np.broadcast_to(seeds, (len(X), *np.shape(seeds))), record)
        return outputs, [
            Signal(
                str(place), *(np.concatenate(parts, axis=1) for parts in zip(*uses, strict=True))
            )
            for place, uses in sorted(found.items())
        ]

    def row_bytes(self, X, seeds):
        """Memory of the signals of a row, with that of the products on the way."""
        return 3.0 * sum(signal.n_bytes for signal in self.signals(X[:1], seeds)[1])

    def copy(self):
        """Another reader; `move` replaces the network of a reader, and changes none."""
        return Reader(self.model, self.layers)

    def in_double(self, X):
        """The reader itself."""
        return self

    def parameters(self):
        """Matrices of the chosen layers."""
        return {name: self.model.matrices[int(name)] for name in self.layers}

    def outputs(self, X):
        """Outputs (n, k)."""
        return self.model.run(X)[0]

    def move(self, X, weigh):
        """Add gradients to the matrices of the chosen layers: see `_readers`."""
        outputs, moves = self.model.outputs_and_gradients(X, weigh)
        pairs = enumerate(zip(self.model.matrices, moves, strict=True))
        self.model = self.model.replace(
            [matrix + move if str(k) in self.layers else matrix for k, (matrix, move) in pairs]
        )
        return outputs

    def hidden(self, X):
        """Inputs of the last layer; the mean of their squares is the variance."""
        found = []
        back = self.model.run(X)[1]
        back(np.zeros((len(X), 1, self.n_outputs)), lambda place, a, g: found.append((place, a)))
        return self._last.features(dict(found)[self._last.place][:, 0])
