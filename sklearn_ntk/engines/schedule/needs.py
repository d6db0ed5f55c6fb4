"""Which pairs of positions a result depends on, worked out backwards.

Pairs of positions ``p`` and ``q`` of a grid of ``n`` are sorted arrays of the numbers ``p n + q``.
"""

import numpy as np


def n_positions(grid):
    """Number of positions of a grid."""
    return int(np.prod(grid))


def shapes(program):
    """Tuples (grid of the state, grids of the stack ...) before each step, and at the end."""
    grid, stack, before = program.shape[:-1], [], []
    for step in program.steps:
        before.append((grid, *stack))
        if step.rule == "save":
            stack.append(grid)
        elif step.rule == "swap":
            grid, stack[-1] = stack[-1], grid
        elif step.rule == "add":
            stack.pop()
        else:
            grid = step.after(grid)
    return [*before, (grid, *stack)]


def backwards(steps, sizes, state, stack, diagonal):
    """List of (codes of the state, codes of the stack): before the first step, then after each.

    ``state`` and ``stack`` are the codes that are needed at the end, ``sizes`` the numbers of
    positions before the steps and at the end. ``diagonal`` adds the pairs (p, p) behind each step
    that mixes positions.
    """
    needs, stack = [], list(stack)
    for k in range(len(steps) - 1, -1, -1):
        step = steps[k]
        if diagonal and step.mixes:
            state = np.union1d(state, np.arange(sizes[k + 1]) * (sizes[k + 1] + 1))
        needs.append((state, tuple(stack)))
        if step.rule == "add":
            stack.append(state)
        elif step.rule == "swap":
            state, stack[-1] = stack[-1], state
        elif step.rule == "save":
            state = np.union1d(state, stack.pop())
        else:
            state = step.needed(state, sizes[k], sizes[k + 1])
    needs.append((state, tuple(stack)))
    return needs[::-1]
