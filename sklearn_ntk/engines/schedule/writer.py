"""How a network on positions runs: operations on lines, each the state of a pair of positions.

Only the pairs of positions on which the result depends have a line: with a `Flatten` at the end
those of equal positions, behind a pooling all. A schedule is worked out backwards from the result.

Windows that do not mix positions keep their difference ``q - p``. Until the next instruction that
does mix them, pairs of positions are therefore computed in portions of a few differences each, with
one portion after the other in cache; what they yield is summed up in lines that stay.
"""

from functools import lru_cache

import numpy as np

from ...program import grids
from .areas import Area, Memory
from .needs import backwards, n_positions, shapes
from .operations import ZERO, Begin, Blend, Clear, Extend, Gather, Map, Mix, Scatter, Schedule

PORTION = 512
"""Lines of a portion, about; for 16 pairs of rows in double precision they take 128 kB."""


class _Writer:
    """Writes the operations of a program."""

    def __init__(self, program, portion, diagonal):
        self.steps, self.shapes = program.steps, shapes(program)
        self.sizes = [n_positions(grid) for grid, *_ in self.shapes]
        self.portion, self.diagonal = portion, diagonal
        self.memory, self.operations = Memory(1), [Clear(-1, ZERO, 1)]

    def add(self, operation):
        """Append an operation, with tables as short as may be: there are millions of lines."""
        tables = {
            field: part.astype(np.int32)
            for field, part in zip(operation._fields, operation, strict=True)
            if isinstance(part, np.ndarray)
        }
        self.operations.append(operation._replace(**tables))

    def write(self):
        """Operations, segment by segment: each one ends with a mixing step, or with the program."""
        final = np.array([0])
        needs = backwards(self.steps, self.sizes, final, (), self.diagonal)
        ends = [k + 1 for k, step in enumerate(self.steps) if step.mixes]
        stores, start = None, 0
        for end in [*ends, len(self.steps)]:
            stores = self._segment(start, end, stores, needs)
            start = end
        return Schedule(self.operations, int(stores[0].lines[0]), self.memory.end)

    def _segment(self, start, end, stores, needs):
        mixer = self.steps[end - 1] if self.steps[end - 1].mixes else None
        stop = end - (mixer is not None)
        state, stack = needs[stop]
        is_whole = mixer is None or mixer.takes_all
        target = self._store(
            state if is_whole else needs[end][0], self.sizes[stop if is_whole else end], stop
        )
        links = (state, target.find(state)) if is_whole else self._links(mixer, target, stop)
        sizes = map(n_positions, self.shapes[stop][1:])
        kept = [self._store(codes, n, stop) for codes, n in zip(stack, sizes, strict=True)]
        for portion, others in self._portions(start, stop, state, stack):
            areas = self._portion(start, stop, portion, others, stores)
            self._deposit(areas[0], *links, stop)
            for area, store in zip(areas[1:], kept, strict=True):
                self._deposit(area, store.codes, store.lines, stop)
            for area in areas:
                self.memory.give(area.lines)
        for store in stores or ():
            self.memory.give(store.lines)
        if mixer is not None and is_whole:
            out = self._area(state, target.n)
            self.add(Mix(stop, out.first, target.first, *out.positions()))
            self.memory.give(target.lines)
            target = out
        elif mixer is not None:
            self._map(stop, target)
        return [target, *kept]

    def _area(self, codes, n):
        first = self.memory.take(len(codes))
        return Area(codes, first + np.arange(len(codes)), n)

    def _store(self, codes, n, step):
        """Lines that portions are summed up in."""
        area = self._area(codes, n)
        self.add(Clear(step - 1, area.first, len(codes)))
        return area

    def _links(self, mixer, target, stop):
        """For each pair that a mixing step takes, sorted, the line that it adds to."""
        n = self.sizes[stop]
        left, right = mixer.seen(*np.divmod(target.codes, target.n))
        inside = (left >= 0) & (right >= 0)
        lines = np.broadcast_to(target.lines[:, None], left.shape)[inside]
        codes = (left * n + right)[inside]
        order = np.argsort(codes, kind="stable")
        return codes[order], lines[order]

    def _deposit(self, area, codes, lines, stop):
        """Add the lines of a portion where they belong."""
        first, last = (np.searchsorted(codes, area.codes, side) for side in ("left", "right"))
        counts = last - first
        sources = np.repeat(area.lines, counts)
        places = np.arange(len(sources)) - np.repeat(np.cumsum(counts) - counts, counts)
        targets = lines[np.repeat(first, counts) + places]
        order = np.argsort(sources, kind="stable")
        self.add(Scatter(stop, sources[order], targets[order]))

    def _map(self, step, area):
        if len(area.lines):
            self.add(Map(step, area.first, *area.positions()))

    def _portions(self, start, stop, state, stack):
        """Parts of the state, and of the stack, that need nothing of each other if possible."""
        if self.portion is None or len(state) <= self.portion:
            yield state, stack
            return
        is_ring = any(step.is_ring for step in self.steps[start:stop])
        parts = zip((state, *stack), self.shapes[stop], strict=True)
        keys = [_differences(codes, grid, is_ring) for codes, grid in parts]
        order = np.argsort(keys[0], kind="stable")
        ranked = keys[0][order]
        last = -1
        begin = 0
        while begin < len(state):
            end = min(begin + self.portion, len(state))
            end = int(np.searchsorted(ranked, ranked[end - 1], "right"))
            highest = ranked[end - 1] if end < len(state) else np.iinfo(np.int64).max
            others = tuple(
                codes[(key > last) & (key <= highest)]
                for codes, key in zip(stack, keys[1:], strict=True)
            )
            yield np.sort(state[order[begin:end]]), others
            last, begin = highest, end

    def _portion(self, start, stop, state, stack, stores):
        """Operations on one portion; returns its areas."""
        steps, sizes = self.steps[start:stop], self.sizes[start : stop + 1]
        needs = backwards(steps, sizes, state, stack, False)
        codes, *others = [needs[0][0], *needs[0][1]]
        if stores is None:
            areas = [self._area(codes, sizes[0])]
            self.add(Begin(-1, areas[0].first, *areas[0].positions()))
        else:
            parts = zip((codes, *others), stores, strict=True)
            areas = [self._copy(part, store, start - 1) for part, store in parts]
        state, stack = areas[0], areas[1:]
        for k, step in enumerate(steps, start):
            rule = _RULES.get(step.rule, _Writer._replace)
            state = rule(self, k, state, stack, needs[k + 1 - start])
        return [state, *stack]

    def _save(self, k, state, stack, need):
        stack.append(self._copy(need[1][-1], state, k))
        return self._moved(self._copy(need[0], state, k), state)

    def _swap(self, k, state, stack, need):
        stack.append(state)
        return stack.pop(-2)

    def _join(self, k, state, stack, need):
        saved = stack.pop()
        self.add(Scatter(k, saved.lines, state.find(saved.codes)))
        self.memory.give(saved.lines)
        return state

    def _output(self, k, state, stack, need):
        return state

    def _replace(self, k, state, stack, need):
        """Each line by itself; the activation of a recurrence has been a part of it."""
        if not self.steps[k - 1].runs_next:
            self._map(k, state)
        elif len(need[0]) < len(state.codes):
            return self._moved(self._copy(need[0], state, k), state)
        return state

    def _moved(self, area, old):
        """The new area, once the old one is given back."""
        self.memory.give(old.lines)
        return area

    def _copy(self, codes, source, step):
        area = self._area(codes, source.n)
        if len(codes):
            lines = source.find(codes)[:, None]
            self.add(Gather(step, area.first, lines))
        return area

    def _outside(self, k, left, right, area):
        """Lines of pairs, with lines of their own for those that are outside in one row."""
        n = area.n
        inside = (left >= 0) & (right >= 0)
        lines = np.full(left.shape, ZERO)
        lines[inside] = area.find((left * n + right)[inside])
        outside = (left >= 0) ^ (right >= 0)
        if not outside.any():
            return lines, None
        kinds = np.where(left >= 0, left, n + right)[outside]  # the larger one is the right one
        found = grids.unique(kinds)
        inverse = np.searchsorted(found, kinds)
        extra = self._area(found, n)
        lines[outside] = extra.lines[inverse]
        is_right, places = np.divmod(found, n)
        self.add(Extend(k, extra.first, is_right, places))
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
        """All times of a recurrence, each with the activation, the step behind it."""
        n = area.n
        left, right = np.divmod(area.codes, n)
        order = np.lexsort((area.codes, np.minimum(left, right)))
        lines = np.empty(len(order), np.int64)
        lines[order] = self.memory.take(len(order)) + np.arange(len(order))
        out = Area(area.codes, lines, n)
        # lines from outside need the variances of all times, which single rows know
        previous, extra = self._outside(k, left - 1, right - 1, out)
        ranks = np.minimum(left, right)[order]
        for rank in range(ranks.max(initial=-1) + 1):
            part = order[slice(*np.searchsorted(ranks, [rank, rank + 1]))]
            first, places = int(lines[part[0]]), (left[part], right[part])
            self.add(Blend(k, first, *places, previous[part], area.lines[part]))
            self.add(Map(k + 1, first, *places))
        self.memory.give(area.lines)
        if extra:
            self.memory.give(extra.lines)
        return out


_RULES = {
    "save": _Writer._save,
    "swap": _Writer._swap,
    "add": _Writer._join,
    "output": _Writer._output,
    "convolve": _Writer._convolve,
    "recur": _Writer._recur,
}
"""Operations of a step ``k``; what is not here replaces lines by what it makes of each.

They take the area of the state, the areas on the stack, which they may change, and what is needed
behind the step of both, and return the new area of the state.
"""


def _differences(codes, grid, is_ring):
    """A number for the difference of both positions of each pair."""
    left, right = np.divmod(codes, int(np.prod(grid)))
    key = np.zeros(len(codes), np.int64)
    at = grids.places(grid)
    for axis, size in enumerate(grid):
        move = at[right, axis] - at[left, axis]
        key = key * (2 * size) + (move % size if is_ring else move + size)
    return key


def schedule(program, portion=PORTION, diagonal=False):
    """Schedule of a program, in portions of about so many lines or, with None, all at once.

    ``diagonal`` also asks for the pairs of equal positions behind each mixing step, from which the
    variances of a row follow.
    """
    return _schedule(program.outline, portion, diagonal)


@lru_cache(8)
def _schedule(program, portion, diagonal):
    return _Writer(program, portion, diagonal).write()
