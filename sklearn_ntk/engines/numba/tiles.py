"""Tiles of the compiled engine: an interpreter that runs a program on one tile after the other."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import get_num_threads

from ...formulas.gaps import RULES, WIDTH
from ..packing import tiles as packing
from ..packing.tile import TILE_COLUMNS, TILE_ROWS, Tile
from ..sources import tiles as sources
from . import steps
from ._private import call
from .compiling import INNER, address, compiled, from_source
from .streams import fence

__all__ = ["BLOCK_ROWS", "fill", "get_num_threads", "make_plan"]

BLOCK_ROWS = 128
"""Rows of a block."""


class TilePlan(NamedTuple):
    """A program as arrays.

    ``addresses`` are those of the compiled steps, the first of which are those of `_BEGIN`, and
    ``places`` the number of the program's step that each belongs to. ``numbers``, ``spans`` and
    ``orders`` are those of `Tile`. ``sizes`` are the numbers of parts of the state, of states on
    the stack, and of rows of ``work``.
    """

    addresses: np.ndarray
    places: np.ndarray
    numbers: np.ndarray
    spans: np.ndarray
    orders: np.ndarray
    sizes: tuple


@cache
def _step(make, *arguments):
    """Compiled step from its source, or from a function of `steps`."""
    return from_source(make(*arguments), arguments[-1]) if arguments else compiled(make, INNER)


_STACK = {"save": steps.save, "swap": steps.swap}

_BEGIN = {
    "": (steps.begin,),
    "std": (steps.begin, steps.move_gaps),
    "left": (steps.begin, steps.move_gaps, steps.scale_gaps),
    "both": (steps.begin, steps.move_gaps, steps.scale_gaps, steps.scale_gaps),
}
"""Steps that set the state to that of the inputs, by ``by_rows`` of the program."""


def _source_of(step):
    """Tuple of the function that writes the source of a step and its first arguments."""
    if step.rule == "series":
        return (sources.series,)
    if step.rule in RULES:
        return sources.rule, step.rule
    return sources.pointwise, type(step.activation)


def _make_steps(step, gradient, by_rows, several, single):
    """Compiled steps for one step of a program.

    ``several`` is whether there are several NTKs: then a second compiled step handles the further
    ones.
    """
    if step.rule in _STACK:
        return [_step(_STACK[step.rule])]
    if step.rule == "add":
        made = _step(sources.add, gradient, by_rows, single)
        return [made] + [_step(steps.add_others)] * several
    if step.rule == "output":
        first = steps.put_out_rates if gradient else steps.put_out_others
        return [_step(first)] * (gradient or several) + [_step(steps.put_out)]
    compiled_step = _step(*_source_of(step), gradient, by_rows, several, single)
    return [compiled_step] + [_step(steps.follow)] * several


def make_plan(program, spans, gradient, dtype):
    """`TilePlan` of a program; ``spans`` are those of its series (`Carrier.spans`)."""
    compiled_steps = [_step(step) for step in _BEGIN[program.by_rows]]
    places, n_ntks = [0] * len(compiled_steps), program.n_ntks or 1
    how = gradient, program.by_rows in ("std", "left"), n_ntks > 1, dtype == np.float32
    for k, step in enumerate(program.steps):
        steps_of_one = _make_steps(step, *how)
        compiled_steps += steps_of_one
        places += [k] * len(steps_of_one)
    n_lines = len(sources.names_of_sums(gradient)) if spans.any() else 0
    return TilePlan(
        np.array([address(step, dtype) for step in compiled_steps]),
        np.array(places),
        packing.pack_numbers(program, dtype),
        spans,
        packing.pack_orders(program, spans, dtype),
        (6 if gradient else 1 + n_ntks, program.stack_size, n_lines),
    )


@compiled
def fill(plan, left, right, near, i0, j0, symmetric, inner, results):
    """Compute a block of the matrices: the rows from ``i0`` and columns from ``j0`` of ``inner``.

    Parameters
    ----------
    plan : TilePlan
        From `make_plan`.
    left, right : TileSide
        Rows and columns.
    near : float
        As in `sides.NEAR`.
    i0, j0 : int
        First row and first column of the block.
    symmetric : bool
        Whether to compute the lower triangle only, and mirror it.
    inner : array of shape (n_rows, n_columns)
        Inner products of the rows and columns of this block.
    results : Results
    """
    depth, n_saved, n_lines = plan.sizes
    n_rows, n_columns = inner.shape
    state = np.empty((depth, TILE_ROWS, TILE_COLUMNS), inner.dtype)
    stack = np.empty((n_saved, depth, TILE_ROWS, TILE_COLUMNS), inner.dtype)
    duals = np.empty((depth, TILE_ROWS, TILE_COLUMNS), inner.dtype)
    columns = np.empty((3 * WIDTH, TILE_COLUMNS), inner.dtype)
    work = np.empty((n_lines, TILE_COLUMNS), inner.dtype)
    stops = np.empty(TILE_ROWS, np.int64)
    counters = np.empty(2, np.int64)
    for c in range(0, n_columns, TILE_COLUMNS):
        last = min(TILE_COLUMNS, n_columns - c)
        for r in range(0, n_rows, TILE_ROWS):
            i, j, stop = i0 + r, j0 + c, stops[: min(TILE_ROWS, n_rows - r)]
            for t in range(stop.shape[0]):
                stop[t] = max(0, min(last, i + t + 1 - j)) if symmetric else last
            if stop[-1] > 0:
                counters[0] = counters[1] = 0
                tile = Tile(
                    plan.numbers, plan.spans, plan.orders, left, right, near, symmetric, inner,
                    results, i, j, r, c, stop, counters, state, stack, duals, columns, work,
                )  # fmt: skip
                for k in range(plan.addresses.shape[0]):
                    call(plan.addresses[k], plan.places[k], tile)
    fence()
