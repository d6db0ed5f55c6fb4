"""Networks drawn from layers as torch modules."""

import torch
from torch import nn

from .._functions import Standing
from .._running import run


class Drawn(nn.Module):
    """A drawn network: matrices are `torch.nn.Linear` modules without biases.

    Dropout is on in training mode only.
    """

    def __init__(self, network):
        super().__init__()
        self.matrices = nn.ModuleList()
        for matrix, is_trained in zip(network.matrices, network.trained, strict=True):
            linear = nn.Linear(*matrix.shape, bias=False, dtype=torch.float64)
            linear.weight = nn.Parameter(torch.from_numpy(matrix.T.copy()), is_trained)
            self.matrices.append(linear)
        self.operations, self.n_positions = network.operations, network.n_positions
        self.dropout = nn.ModuleList(
            nn.Dropout(1.0 - each.kept) for each in network.operations if hasattr(each, "kept")
        )

    def forward(self, x):
        """Outputs (n, k) of rows (n, ...)."""
        x = x.reshape(len(x), self.n_positions, -1)
        return run(self.operations, x, _TorchSpace(self.matrices, self.training))[0][:, 0]


class _TorchSpace:
    """What operations need of torch: see `sklearn_ntk.finite._running`."""

    concat = staticmethod(torch.cat)

    def __init__(self, matrices, is_training):
        self._matrices, self._is_training = matrices, is_training

    def multiply(self, place, inputs):
        return self._matrices[place](inputs)

    def ones(self, like, shape):
        return like.new_ones(shape)

    def constant(self, array, like):
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    def positions(self, table):
        return torch.from_numpy(table.copy())

    def noise(self, like, kept):
        return torch.full_like(like, kept).bernoulli() if self._is_training else kept

    def apply(self, activation, x):
        return activation.fn(_OnTensor(x)).tensor

    def softmax(self, x):
        return torch.softmax(x, -1)


_OTHER_NAMES = {
    "power": "pow",
    "ndtr": torch.special.ndtr,
    "expit": torch.sigmoid,
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "invert": "logical_not",
}
"""Functions of torch that are called otherwise than the ufuncs."""


class _OnTensor(Standing):
    """A tensor in the place of an array."""

    def __init__(self, tensor):
        self.tensor = tensor

    def called(self, ufunc, *inputs):
        """The result of torch's function for a ufunc; truth values are numbers."""
        function = _OTHER_NAMES.get(ufunc.__name__, ufunc.__name__)
        function = getattr(torch, function) if isinstance(function, str) else function
        tensors, like = self._tensors(inputs)
        return _OnTensor(function(*tensors).to(like))

    def either(self, condition, *inputs):
        """The result of `numpy.where`."""
        (condition, *inputs), _ = self._tensors([condition, *inputs])
        return _OnTensor(torch.where(condition != 0.0, *inputs))

    def _tensors(self, inputs):
        """Inputs as tensors of the type of the first that stands for one, and that one."""
        like = next(each.tensor for each in inputs if isinstance(each, _OnTensor))
        options = {"dtype": like.dtype, "device": like.device}
        tensors = (each.tensor if isinstance(each, _OnTensor) else each for each in inputs)
        return [torch.as_tensor(each, **options) for each in tensors], like
