"""Writes the schedule of a network on positions: operations on lines, the states of pairs.

Only the pairs of positions on which the result depends have a line: before a `Flatten` at the end
the pairs ``(p, p)``, before a pooling all pairs. They are worked out backwards from the result.

A step mixes positions if its outputs depend on pairs of other differences ``q - p``, as pooling and
attention do; a convolution does not. A segment of a program ends with a mixing step. In a segment,
pairs are computed in portions of a few differences, each of which stays in cache; the result of
each portion is added to a store, lines that last until the next segment has read them.
"""

from functools import lru_cache

import numpy as np

from ...program import grids
from .areas import Area, Memory
from .needs import backwards, n_positions, shapes
from .operations import ZERO, Begin, Blend, Clear, Extend, Gather, Map, Mix, Scatter, Schedule

PORTION = 512
"""Number of lines of a portion, about: 128 kB for 16 pairs of rows in double precision."""


class Writer:
    """Writes the operations of a program; for the parameters see `schedule`.

    ``needs`` are results of `needs.backwards`: before each step, the codes of the state, and a
    tuple of the codes of the stack. ``stores`` and areas on the ``stack`` are `Area`.
    """

    def __init__(self, program, portion, diagonal):
        self.steps, self.shapes = program.steps, shapes(program)
        self.sizes = [n_positions(grid) for grid, *_ in self.shapes]
        self.portion, self.diagonal = portion, diagonal
        self.memory, self.operations = Memory(1), [Clear(-1, ZERO, 1)]

    def add(self, operation):
        """Append an operation, with tables of 32-bit integers: there may be millions of lines."""
        tables = {
            field: part.astype(np.int32)
            for field, part in zip(operation._fields, operation, strict=True)
            if isinstance(part, np.ndarray)
        }
        self.operations.append(operation._replace(**tables))

    def write(self):
        """The `Schedule`, written segment by segment."""
        final = np.array([0])
        needs = backwards(self.steps, self.sizes, final, (), self.diagonal)
        segment_ends = [k + 1 for k, step in enumerate(self.steps) if step.mixes]
        stores, start = None, 0
        for end in [*segment_ends, len(self.steps)]:
            stores = self._segment(start, end, stores, needs)
            start = end
        return Schedule(self.operations, int(stores[0].lines[0]), self.memory.end)

    def _segment(self, start, end, stores, needs):
        """Write the steps ``start <= k < end``; return the stores of the state and the stack.

        ``stores`` are those of the segment before, or None. A pooling is linear: its store has the
        lines of its outputs. Otherwise the store has the lines of all pairs that attention reads,
        or of the result.
        """
        mixer = self.steps[end - 1] if self.steps[end - 1].mixes else None
        stop = end - (mixer is not None)
        state, stack = needs[stop]
        is_linear = mixer is not None and not mixer.takes_all
        target = self._store(
            needs[end][0] if is_linear else state, self.sizes[end if is_linear else stop], stop
        )
        sums = self._sums(mixer, target, stop) if is_linear else (state, target.find(state))
        sizes = map(n_positions, self.shapes[stop][1:])
        saved = [self._store(codes, n, stop) for codes, n in zip(stack, sizes, strict=True)]
        for areas in self._areas(start, stop, state, stack, stores):
            self._add_to(areas[0], *sums, stop)
            for area, store in zip(areas[1:], saved, strict=True):
                self._add_to(area, store.codes, store.lines, stop)
            for area in areas:
                self.memory.give(area.lines)
        for store in stores or ():
            self.memory.give(store.lines)
        if mixer is not None and not is_linear:
            out = self._area(state, target.n)
            self.add(Mix(stop, out.first, target.first, *out.positions()))
            self.memory.give(target.lines)
            target = out
        elif mixer is not None:
            self._map(stop, target)
        return [target, *saved]

    def _areas(self, start, stop, state, stack, stores):
        """Yield the areas before step ``stop``, the state first, of each portion."""
        for codes, stack_codes in self._portions(start, stop, state, stack):
            yield self._portion(start, stop, codes, stack_codes, stores)

    def _area(self, codes, n):
        """`Area` of the pairs ``codes`` of ``n`` positions on newly allocated lines."""
        first = self.memory.take(len(codes))
        return Area(codes, first + np.arange(len(codes)), n)

    def _store(self, codes, n, step):
        """`Area` of lines that are zero, to which portions are added."""
        area = self._area(codes, n)
        self.add(Clear(step - 1, area.first, len(codes)))
        return area

    def _sums(self, mixer, target, stop):
        """Sorted codes of the terms of a linear mixing step, and the line of ``target`` of each."""
        n = self.sizes[stop]
        left, right = mixer.seen(*np.divmod(target.codes, target.n))
        inside = (left >= 0) & (right >= 0)
        lines = np.broadcast_to(target.lines[:, None], left.shape)[inside]
        codes = (left * n + right)[inside]
        order = np.argsort(codes, kind="stable")
        return codes[order], lines[order]

    def _add_to(self, area, codes, lines, stop):
        """Add the line of each pair of ``area`` to all ``lines[i]`` with its code ``codes[i]``."""
        first, last = (np.searchsorted(codes, area.codes, side) for side in ("left", "right"))
        counts = last - first
        sources = np.repeat(area.lines, counts)
        places = np.arange(len(sources)) - np.repeat(np.cumsum(counts) - counts, counts)
        targets = lines[np.repeat(first, counts) + places]
        order = np.argsort(sources, kind="stable")
        self.add(Scatter(stop, sources[order], targets[order]))

    def _map(self, step, area):
        """Map all lines of an area, if there are any."""
        if len(area.lines):
            self.add(Map(step, area.first, *area.positions()))

    def _portions(self, start, stop, state, stack):
        """Codes of the state, and a tuple of those of the stack, for each portion.

        A portion has all pairs of a few differences of positions, so that portions need few of the
        same pairs.
        """
        if self.portion is None or len(state) <= self.portion:
            yield state, stack
            return
        is_ring = any(step.is_ring for step in self.steps[start:stop])
        pairs = zip((state, *stack), self.shapes[stop], strict=True)
        keys = [grids.differences(codes, grid, is_ring) for codes, grid in pairs]
        order = np.argsort(keys[0], kind="stable")
        sorted_keys = keys[0][order]
        last = -1
        begin = 0
        while begin < len(state):
            end = min(begin + self.portion, len(state))
            end = int(np.searchsorted(sorted_keys, sorted_keys[end - 1], "right"))
            highest = sorted_keys[end - 1] if end < len(state) else np.iinfo(np.int64).max
            stack_codes = tuple(
                codes[(key > last) & (key <= highest)]
                for codes, key in zip(stack, keys[1:], strict=True)
            )
            yield np.sort(state[order[begin:end]]), stack_codes
            last, begin = highest, end

    def _portion(self, start, stop, state, stack, stores):
        """Write the steps ``start <= k < stop`` for one portion; return its areas, the state first.

        ``state`` and ``stack`` are the codes of the portion before step ``stop``.
        """
        steps, sizes = self.steps[start:stop], self.sizes[start : stop + 1]
        needs = backwards(steps, sizes, state, stack, False)
        codes, stack_codes = needs[0]
        if stores is None:
            areas = [self._area(codes, sizes[0])]
            self.add(Begin(-1, areas[0].first, *areas[0].positions()))
        else:
            copies = zip((codes, *stack_codes), stores, strict=True)
            areas = [self._copy(codes, store, start - 1) for codes, store in copies]
        state, stack = areas[0], areas[1:]
        for k, step in enumerate(steps, start):
            rule = _RULES.get(step.rule, Writer._replace)
            state = rule(self, k, state, stack, needs[k + 1 - start])
        return [state, *stack]

    def _save(self, k, state, stack, need):
        stack.append(self._copy(need[1][-1], state, k))
        return self._restrict(need[0], state, k)

    def _swap(self, k, state, stack, need):
        stack.append(state)
        return stack.pop(-2)

    def _add(self, k, state, stack, need):
        saved = stack.pop()
        self.add(Scatter(k, saved.lines, state.find(saved.codes)))
        self.memory.give(saved.lines)
        return state

    def _output(self, k, state, stack, need):
        return state

    def _replace(self, k, state, stack, need):
        """A step that maps each line by itself; `_recur` has run the activation of a recurrence."""
        if not self.steps[k - 1].runs_next:
            self._map(k, state)
        elif len(need[0]) < len(state.codes):
            return self._restrict(need[0], state, k)
        return state

    def _restrict(self, codes, area, step):
        """`_copy`, after which the lines of ``area`` are freed."""
        copy = self._copy(codes, area, step)
        self.memory.give(area.lines)
        return copy

    def _copy(self, codes, source, step):
        """`Area` of copies of the lines of ``source`` for these codes."""
        area = self._area(codes, source.n)
        if len(codes):
            lines = source.find(codes)[:, None]
            self.add(Gather(step, area.first, lines))
        return area

    def _outside(self, k, left, right, area):
        """Lines of pairs of positions ``left`` and ``right``, where -1 is outside the grid.

        Pairs inside have the lines of ``area``, and those with both positions outside `ZERO`. For
        pairs with one position outside, new lines are written: the second result, an area or None.
        """
        n = area.n
        inside = (left >= 0) & (right >= 0)
        lines = np.full(left.shape, ZERO)
        lines[inside] = area.find((left * n + right)[inside])
        outside = (left >= 0) ^ (right >= 0)
        if not outside.any():
            return lines, None
        inner = np.where(left >= 0, left, n + right)[outside]  # the position inside: p or n + q
        unique = grids.unique(inner)
        extra = self._area(unique, n)
        lines[outside] = extra.find(inner)
        self.add(Extend(k, extra.first, *np.divmod(unique, n)))
        return lines, extra

    def _convolve(self, k, area, stack, need):
        codes, n = need[0], self.sizes[k + 1]
        left, right = self.steps[k].seen(*np.divmod(codes, n))
        lines, extra = self._outside(k, left, right, area)
        out = self._area(codes, n)
        self.add(Gather(k, out.first, lines))
        self.memory.give(area.lines)
        if extra:
            self.memory.give(extra.lines)
        return out

    def _recur(self, k, area, stack, need):
        """All times of a recurrence in order, each with the activation, which is step ``k + 1``."""
        n = area.n
        left, right = np.divmod(area.codes, n)
        order = np.lexsort((area.codes, np.minimum(left, right)))
        lines = np.empty(len(order), np.int64)
        lines[order] = self.memory.take(len(order)) + np.arange(len(order))
        out = Area(area.codes, lines, n)
        # the variances of all times, for pairs with one time before the first, are in the records
        previous, extra = self._outside(k, left - 1, right - 1, out)
        ranks = np.minimum(left, right)[order]
        for rank in range(ranks.max(initial=-1) + 1):
            at = order[slice(*np.searchsorted(ranks, [rank, rank + 1]))]
            first, positions = int(lines[at[0]]), (left[at], right[at])
            self.add(Blend(k, first, *positions, previous[at], area.lines[at]))
            self.add(Map(k + 1, first, *positions))
        self.memory.give(area.lines)
        if extra:
            self.memory.give(extra.lines)
        return out


_RULES = {
    "save": Writer._save,
    "swap": Writer._swap,
    "add": Writer._add,
    "output": Writer._output,
    "convolve": Writer._convolve,
    "recur": Writer._recur,
}
"""Methods that write the operations of a step, by its rule; `Writer._replace` for all others.

They take the step's number ``k``, the area of the state, the areas on the stack, which they may
change, and the codes (state, stack) that are needed behind the step, and return the new area of the
state.
"""


def schedule(program, portion=PORTION, diagonal=False):
    """`Schedule` of a program, in portions of about ``portion`` lines or, with None, all at once.

    ``diagonal`` also asks for the pairs of equal positions behind each mixing step, from which the
    variances of a row follow.
    """
    return _schedule(program.outline, portion, diagonal)


@lru_cache(8)
def _schedule(program, portion, diagonal):
    return Writer(program, portion, diagonal).write()
