"""Which pairs of positions a result depends on, worked out backwards.

Pairs of positions ``p`` and ``q`` of a grid of ``n`` are sorted arrays of the numbers ``p n + q``.
"""

import numpy as np

from ...program import Add, Attend, Convolve, Flatten, Last, Pool, Recur, Save, Swap, grids

MIXERS = (Pool, Flatten, Attend)
"""Steps whose result for a pair of positions depends on pairs of other differences."""


def n_positions(grid):
    """Number of positions of a grid."""
    return int(np.prod(grid))


def shapes(program):
    """Grids of the state and of the stack before each step, and at the end."""
    grid, stack, found = program.shape[:-1], [], []
    for step in program.steps:
        found.append((grid, *stack))
        if isinstance(step, (Convolve, Pool)):
            grid = grids.after(*step[:4])
        elif isinstance(step, (Flatten, Last)):
            grid = ()
        elif isinstance(step, Save):
            stack.append(grid)
        elif isinstance(step, Swap):
            grid, stack[-1] = stack[-1], grid
        elif isinstance(step, Add):
            stack.pop()
    return [*found, (grid, *stack)]


def unique(numbers):
    """Different ones of the numbers, sorted; NumPy's own takes four times as long."""
    numbers = np.sort(numbers, axis=None)
    return numbers[np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)]]


def seen(step, codes, n):
    """Pairs that a window sees, -1 for one outside: left and right positions for each code."""
    table = grids.sources(*step[:4])
    left, right = (table[place] for place in np.divmod(codes, n))
    if isinstance(step, Pool):
        left, right = np.broadcast_arrays(left[:, :, None], right[:, None, :])
        left, right = (part.reshape(len(codes), -1) for part in (left, right))
    return left, right


def _needed(step, codes, before, after):
    """Pairs that a step needs to compute those of ``codes``, with so many positions."""
    if isinstance(step, (Convolve, Pool)):
        left, right = seen(step, codes, after)
        return unique((left * before + right)[(left >= 0) & (right >= 0)])
    if isinstance(step, Flatten):
        return np.arange(before) * (before + 1)
    if isinstance(step, Last):
        return np.array([before**2 - 1])
    if isinstance(step, Attend):
        return np.arange(before**2)
    if isinstance(step, Recur):
        left, right = np.divmod(codes, before)
        found = [codes - k * (before + 1) for k in range(before)]
        kept = [np.minimum(left, right) >= k for k in range(before)]
        return unique(np.concatenate([c[keep] for c, keep in zip(found, kept, strict=True)]))
    return codes


def backwards(steps, sizes, state, stack, diagonal):
    """Pairs needed after each step, for the state and the stack; ``diagonal`` adds equal ones."""
    found, stack = [], list(stack)
    for k in range(len(steps) - 1, -1, -1):
        if diagonal and isinstance(steps[k], MIXERS):
            state = np.union1d(state, np.arange(sizes[k + 1]) * (sizes[k + 1] + 1))
        found.append((state, tuple(stack)))
        if isinstance(steps[k], Add):
            stack.append(state)
        elif isinstance(steps[k], Swap):
            state, stack[-1] = stack[-1], state
        elif isinstance(steps[k], Save):
            state = np.union1d(state, stack.pop())
        else:
            state = _needed(steps[k], state, sizes[k], sizes[k + 1])
    found.append((state, tuple(stack)))
    return found[::-1]  # before the first step, then after each
