"""From layers to the operations of a finite network: each layer draws itself as it lowers itself.

A layer of one's own needs nothing more than its ``lower``.
"""

from collections import deque
from functools import singledispatchmethod

import numpy as np

from .. import program
from ..activations import Identity, as_activation, is_activation
from ..layers._lowering import Context
from . import _operations as operations
from ._functions import check_activation

HEAD_WIDTH = 4
"""Channels of a head of attention whose scores stay random."""


class Drawing(Context):
    """The context of lowering, which yields an operation for an activation by itself."""

    def _lower_one(self, layer):
        found = list(super()._lower_one(layer))
        if isinstance(layer, str) or is_activation(layer):
            found = [self.drawn(as_activation(layer))]
        yield from found

    def drawn(self, activation):
        """The operation of an activation; fails where it has no derivative."""
        try:
            check_activation(activation)
        except TypeError as error:
            self.fail(f"{activation!r} cannot be drawn, as {error}", "Take another activation")
        return operations.Activate(activation)


class Draft:
    """The network up to an instruction: its operations and the shapes of its matrices.

    ``channels`` and ``positions`` are those of the signal. ``divisor`` is the number by which the
    sum of squares of all channels at a position has to be divided to give the variance. ``left``
    are the instructions that are still to be drawn; the last one is a layer with weights, which
    gives ``n_outputs`` channels.
    """

    def __init__(self, drawing, width, n_outputs, n_channels, n_positions):
        self.drawing, self.width, self.n_outputs = drawing, width, n_outputs
        self.channels = self.divisor = n_channels
        self.positions, self.stack, self.left = n_positions, [], deque()
        self.operations, self.shapes, self.trained = [], [], []

    def matrix(self, n_inputs, n_outputs, trained):
        """The number of a new matrix."""
        self.shapes.append((n_inputs, n_outputs))
        self.trained.append(bool(trained))
        return len(self.shapes) - 1

    def affine(self, weight_var, bias_var, trained, width):
        """A new affine map of the present signal."""
        place = self.matrix(self.channels + (bias_var > 0.0), width, trained)
        return operations.Affine(place, weight_var, bias_var, self.divisor)

    def put(self, operation, channels=None, positions=None, divisor=None):
        """Append an operation, and change what is given of the signal."""
        self.operations.append(operation)
        self.channels = channels or self.channels
        self.divisor = divisor or channels or self.divisor
        self.positions = positions or self.positions

    def draw(self, steps):
        """Draw all instructions."""
        self.left.extend(steps)
        while self.left:
            self._of(self.left.popleft())

    @singledispatchmethod
    def _of(self, step):
        """Draw an instruction, with those that are ``left`` and belong to it."""
        self.drawing.fail(f"{step!r} cannot be drawn", "Take another layer")

    @_of.register
    def _(self, step: operations.Activate):
        self.put(step)

    @_of.register
    def _(self, step: program.Pointwise):
        if step.activation != Identity():
            self.put(self.drawing.drawn(step.activation))
        if step.activation == Identity() or not step.is_bare:
            width = self.width if self.left else self.n_outputs
            affine = self.affine(step.weight_var, step.bias_var, step.trained, width)
            self.put(affine, channels=width)

    @_of.register
    def _(self, step: program.Convolve):
        table, divisor = step.windows.table, self.divisor
        self.put(operations.Gather(table), self.channels * table.shape[1], len(table), divisor)

    @_of.register
    def _(self, step: program.Pool):
        table = step.windows.table
        self.put(operations.Pool(table, step.scale**0.5), positions=len(table))

    @_of.register
    def _(self, step: program.Flatten):
        n, divisor = self.positions, self.divisor * self.positions
        self.put(operations.Flatten(), self.channels * n, 1, divisor)

    @_of.register
    def _(self, step: program.Embed):
        values, vectors = np.linalg.eigh(step.covariances)
        place = self.matrix(self.positions, self.channels, step.trained)
        self.put(operations.Embed(place, vectors * np.sqrt(values.clip(min=0.0))))

    @_of.register
    def _(self, step: program.Normalize):
        self.put(operations.Normalize())

    @_of.register
    def _(self, step: program.Drop):
        self.put(operations.Drop(step.kept))

    @_of.register
    def _(self, step: program.Attend):
        values, is_tied = self.left.popleft(), step.scaling == "linear"
        n_heads = 1 if is_tied else max(1, self.width // HEAD_WIDTH)
        inner = self.width if is_tied else n_heads * HEAD_WIDTH
        queries = self.affine(1.0, 0.0, step.trained, inner)
        keys = None if is_tied else self.affine(1.0, 0.0, step.trained, inner)
        values = self.affine(values.weight_var, values.bias_var, values.trained, inner)
        attention = operations.Attention(
            queries,
            keys,
            values,
            n_heads=n_heads,
            mechanism=step.mechanism,
            score_scale=step.score_scale,
        )
        self.put(attention, channels=inner)

    @_of.register
    def _(self, step: program.Recur):
        activation = self.drawing.drawn(self.left.popleft().activation).activation
        n_inputs = self.width + self.channels + (step.bias_var > 0.0)
        place = self.matrix(n_inputs, self.width, step.trained)
        entry = operations.Affine(place, step.weight_var, step.bias_var, self.divisor)
        recurrence = operations.Recurrence(activation, step.recurrent_var, self.width, entry)
        self.put(recurrence, channels=self.width)

    @_of.register
    def _(self, step: program.Save):
        self.stack.append((self.channels, self.positions, self.divisor))
        self.put(operations.Save())

    @_of.register
    def _(self, step: program.Swap):
        here = (self.channels, self.positions, self.divisor)
        (self.channels, self.positions, self.divisor), self.stack[-1] = self.stack[-1], here
        self.put(operations.Swap())

    @_of.register
    def _(self, step: program.Add):
        channels, _, divisor = self.stack.pop()
        if (channels, divisor) != (self.channels, self.divisor):
            self.drawing.path = ["architecture"]
            self.drawing.fail(
                f"the paths of a Residual end with {self.channels} and {channels} channels",
                "Put Dense() or Conv() before it",
            )
        self.put(operations.Add())
