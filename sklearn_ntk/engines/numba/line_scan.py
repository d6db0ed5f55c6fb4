"""The pass over single rows with positions: few by the reference engine, many by compiled loops."""

from collections import deque

from ..._runtime.threads import run
from ..rows import blocks
from ..schedule.writer import schedule

SECONDS = 5e-9
"""Estimated seconds for each unit of `Schedule.cost` and pair of rows."""

SCAN_SECONDS = 0.5
"""Estimated seconds of a block of single rows; an interrupt waits for its end."""

COMPILED_LINES = 100_000
"""`Schedule.cost` times rows, above which loading compiled loops saves time."""


def seconds_of(plan):
    """Estimated seconds for a pair of rows."""
    return SECONDS * plan.cost


def scan_blocks(program, X, gradient):
    """`LineRows` of blocks of rows ``X`` (n, positions, channels), a list or generator."""
    plan = schedule(program, diagonal=True)
    if plan.cost * len(X) <= COMPILED_LINES:
        return blocks.scan_blocks(program, X, gradient)
    from . import lines
    from .tiles import get_num_threads

    compiled, n_parts = lines.plan_of_rows(program, plan, gradient), 6 if gradient else 2
    n_rows = min(blocks.SCAN_NUMBERS // (n_parts * plan.n_lines), SCAN_SECONDS / seconds_of(plan))
    n_rows = min(int(n_rows), -(-len(X) // get_num_threads()))
    step = max(1, -(-n_rows // compiled.n_lanes)) * compiled.n_lanes
    by_start = {}

    def compute(i):
        rows = X[i : i + step]
        by_start[i] = blocks.quiet(lines.scan_rows, program, plan, compiled, rows, gradient)

    compute(0)
    blocks.check_records(by_start[0], len(X))
    run(compute, deque(range(step, len(X), step)), get_num_threads())
    return [by_start[i] for i in sorted(by_start)]
