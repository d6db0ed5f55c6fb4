"""Tiles of the compiled engine: an interpreter that carries one through a program in cache."""

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


class TilePlan(NamedTuple):
    """A program as the engine takes it.

    Addresses of its steps, the first ones of which begin a tile, and their own numbers; what they
    know; where their coefficients are, and of which orders; and how much memory they need: parts of
    the state, states on the stack, lines of ``work``.
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


def _source_of(step):
    """Function that writes the source of a step, and its first arguments."""
    if step.rule == "series":
        return (sources.series,)
    if step.rule in RULES:
        return sources.rule, step.rule
    return sources.pointwise, type(step.activation)


def _make_steps(step, gradient, by_rows, several, single):
    """Compiled steps that one step of a program stands for.

    ``several`` tells whether there are further NTKs, which follow the first one; ``by_rows`` is
    that of the program.
    """
    if step.rule in _STACK:
        return [_step(_STACK[step.rule])]
    if step.rule == "add":
        made = _step(sources.add, gradient, by_rows, single)
        return [made] + [_step(steps.add_others)] * several
    if step.rule == "output":
        first = steps.put_out_rates if gradient else steps.put_out_others
        return [_step(first)] * (gradient or several) + [_step(steps.put_out)]
    made = _step(*_source_of(step), gradient, by_rows, several, single)
    return [made] + [_step(steps.follow)] * several


def make_plan(program, spans, gradient, dtype):
    """Plan of a program for `fill`; ``spans`` tells where its series are."""
    compiled_steps = [_step(steps.begin)] + [_step(steps.move_gaps)] * program.by_rows
    places, n_ntks = [0] * len(compiled_steps), program.n_ntks or 1
    how = gradient, program.by_rows, n_ntks > 1, dtype == np.float32
    for k, step in enumerate(program.steps):
        made = _make_steps(step, *how)
        compiled_steps += made
        places += [k] * len(made)
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
    """Compute one block of the matrices: rows ``i0`` on, columns ``j0`` on, as many as ``inner``.

    Parameters
    ----------
    plan : TilePlan
        From `make_plan`.
    left, right : TileSide
        Rows and columns.
    near : float
        Squared distance of directions, or of opposite ones, up to which differences are summed.
    i0, j0 : int
        Where the block begins.
    symmetric : bool
        Compute the lower triangle and mirror it.
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
