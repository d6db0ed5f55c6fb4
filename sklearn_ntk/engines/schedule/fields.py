"""Schedules with fields: segments of convolutions that run at once for each difference.

A convolution moves both positions of a pair alike, so that all pairs ``(p, q)`` of one difference
``q - p``, a field on the grid, depend on pairs of one difference alone: the same, or as many times
that as the stride. An engine may carry a field through all steps up to a pooling in fast memory.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...program import grids
from .areas import Area
from .operations import Field
from .writer import Writer

RULES = {
    *("convolve", "affine", "pointwise", "normalize", "drop", "output", "save", "swap", "add"),
}
"""Rules of steps that may stand in a segment with fields."""

MOST_DIFFERENCES = 65535
"""Most differences of a segment: blocks of a launch along its second axis."""


MOST_WORK = 2.0
"""Most pairs that a field computes for each one that is needed."""


class Window(NamedTuple):
    """A convolution along an axis of a grid of two: ``size`` entries of its filter, and a stride.

    ``before`` and ``behind`` are how far the first window begins before the grid, and the last one
    ends behind it.
    """

    axis: int
    size: int
    before: int
    behind: int
    stride: int


def on_two_axes(shape):
    """A shape with one or two axes as one of two."""
    return (1,) * (2 - len(shape)) + tuple(shape)


def window_of(step):
    """`Window` of a convolution; None if it is along several axes, or has other windows."""
    windows = step.windows
    n_axes, is_ring = len(windows.grid), windows.is_ring
    if n_axes not in (1, 2) or not hasattr(windows, "window"):  # the end of a sequence has none
        return None
    parts = windows.grid, windows.after, windows.window, windows.strides
    shape, after, sizes, strides = map(on_two_axes, parts)
    axes = [axis for axis in range(2) if max(sizes[axis], strides[axis]) > 1] or [1]
    axis = axes[0]
    size, stride, before = sizes[axis], strides[axis], windows.before[axis + n_axes - 2]
    if len(axes) > 1 or (is_ring and after[axis] * stride != shape[axis]):
        return None
    at = grids.places(after)
    moved = at[:, axis, None] * stride - before + np.arange(size)
    inside = moved % shape[axis]
    others = at[:, 1 - axis, None]
    table = inside * shape[1] + others if axis == 0 else others * shape[1] + inside
    if not is_ring:
        table = np.where(inside == moved, table, -1)
    if not np.array_equal(table, windows.table):
        return None
    behind = max(0, (after[axis] - 1) * stride - before + size - shape[axis])
    if before + behind >= size:  # of one position, a transposed one may look the same
        return None
    return Window(axis, size, before, behind, stride)


def padding_of(windows):
    """Array (axes, 2): cells that `Window` objects need before a field and behind it."""
    padding = np.zeros((2, 2), int)
    for window in windows:
        axis = window.axis
        padding[axis] = np.maximum(padding[axis], (window.before, window.behind))
    return padding


def strides_of(steps):
    """Strides along both axes since the first step, before each step and behind the last one.

    None if branches that are added have different ones.
    """
    state, stack, strides = (1, 1), [], []
    for step in steps:
        strides.append(state)
        if step.rule == "convolve":
            window = window_of(step)
            state = tuple(
                s * (window.stride if k == window.axis else 1) for k, s in enumerate(state)
            )
        elif step.rule == "save":
            stack.append(state)
        elif step.rule == "swap":
            state, stack[-1] = stack[-1], state
        elif step.rule == "add" and stack.pop() != state:
            return None
    return [*strides, state]


MOST_SAVED = 6
"""Most saved states inside of a segment."""


def count_fields(steps):
    """Number of fields that steps need at a time: two, and the states that are saved."""
    heights = np.cumsum([step.height for step in steps])
    return 2 + int(heights.max(initial=0))


class _Writer(Writer):
    """Writes segments as fields of up to ``n_cells`` cells in all, where it can.

    ``rules`` are those of the steps, of which the outline of a program says less.
    """

    def __init__(self, program, portion, rules, n_cells):
        super().__init__(program, portion, True)
        self._rules, self._n_cells = rules, n_cells

    def _areas(self, start, stop, state, stack, stores):
        field = None if stack else self._field(start, stop, state, stores)
        return super()._areas(start, stop, state, stack, stores) if field is None else [[field]]

    def _field(self, start, stop, state, stores):
        """Write a segment as a `Field` and return its area; None if that is not possible."""
        steps = [step for step in self.steps[start:stop] if step.rule == "convolve"]
        windows, rings = [window_of(step) for step in steps], {step.is_ring for step in steps}
        if len(rings) != 1 or None in windows or not RULES.issuperset(self._rules[start:stop]):
            return None
        if stores and (len(stores) > 1 or len(stores[0].codes) < stores[0].n ** 2):
            return None
        first, shape = (np.array(on_two_axes(self.shapes[k][0])) for k in (start, stop))
        n, strides = self.sizes[stop], strides_of(self.steps[start:stop])
        n_fields = count_fields(self.steps[start:stop])
        size = n_fields * np.prod(first + padding_of(windows).sum(axis=1))
        if strides is None or size > self._n_cells or n_fields > 2 + MOST_SAVED:
            return None
        shifts, codes, counts = _shifts(state, shape, *rings)
        sizes = np.prod(shape - (True not in rings) * np.abs(shifts), axis=1)
        if len(codes) > MOST_DIFFERENCES or sizes.sum() > MOST_WORK * counts.sum():
            return None
        order = np.argsort(-sizes, kind="stable")  # small fields last, which fill gaps
        targets = np.empty(0, int)
        if np.array_equal(counts, sizes) and self._is_sum(stop, n):
            lines = self.memory.take(len(codes)) + np.arange(len(codes))
            area = Area(*_sorted(codes[order], lines), n)
        else:
            area = self._area(state, n)
            targets = _table(area)
        sources = np.empty(0, int) if stores is None else _table(stores[0])
        self.add(Field(stop - 1, area.first, shifts[order], sources, targets, start))
        return area

    def _is_sum(self, stop, n):
        """Whether the step behind a segment adds all pairs to one line, each once."""
        if stop == len(self.steps) or self.steps[stop].takes_all or self.sizes[stop + 1] > 1:
            return False
        left, right = self.steps[stop].seen(np.zeros(1, int), np.zeros(1, int))
        codes = (left * n + right).ravel()
        return min(left.min(), right.min()) >= 0 and len(np.unique(codes)) == len(codes)


def _shifts(codes, shape, is_ring):
    """Differences (n, 2) of pairs on a grid, the first code and the number of pairs of each."""
    at = grids.places(tuple(shape))
    left, right = np.divmod(codes, len(at))
    shifts = at[right] - at[left]
    shifts = shifts % shape if is_ring else shifts
    keys = (shifts[:, 0] + shape[0]) * (2 * shape[1]) + shifts[:, 1] + shape[1]
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    return shifts[first], codes[first], counts


def _sorted(codes, lines):
    """Codes in order, and their lines."""
    order = np.argsort(codes)
    return codes[order], lines[order]


def _table(area):
    """Line of each pair ``p n + q``; -1 for those that the area does not have."""
    table = np.full(area.n**2, -1)
    table[area.codes] = area.lines
    return table


def schedule(program, portion, n_cells):
    """`Schedule` of a program, with fields of up to ``n_cells`` cells; see `writer.schedule`."""
    return _schedule(program.outline, portion, tuple(s.rule for s in program.steps), n_cells)


@lru_cache(8)
def _schedule(program, portion, rules, n_cells):
    return _Writer(program, portion, rules, n_cells).write()
