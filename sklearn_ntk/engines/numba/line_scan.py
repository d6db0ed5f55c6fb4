"""Single rows with positions: a few by the reference engine, many by compiled loops."""

from collections import deque

from ..._runtime.threads import run
from ..rows import blocks
from ..schedule.writer import schedule

SECONDS = 5e-9
"""What a line costs for each pair that an operation maps, about."""

SCAN_SECONDS = 0.5
"""How long a block of single rows takes, about; an interrupt waits for its end."""

COMPILED_LINES = 100_000
"""Lines of single rows above which compiled loops are worth the time that it takes to load them."""


def seconds_of(plan):
    """How long a pair of rows takes, about."""
    return SECONDS * plan.cost


def scan_blocks(program, X, gradient):
    """`LineRows` of rows (n, positions, channels), in blocks."""
    plan = schedule(program, diagonal=True)
    if plan.cost * len(X) <= COMPILED_LINES:
        return blocks.scan_blocks(program, X, gradient)
    from . import lines
    from .tiles import get_num_threads

    compiled, n_parts = lines.plan_of_rows(program, plan, gradient), 6 if gradient else 2
    n_rows = min(blocks.SCAN_NUMBERS // (n_parts * plan.n_lines), SCAN_SECONDS / seconds_of(plan))
    n_rows = min(int(n_rows), -(-len(X) // get_num_threads()))
    step = max(1, -(-n_rows // compiled.n_lanes)) * compiled.n_lanes
    found = {}

    def compute(i):
        found[i] = blocks.quiet(lines.scan_rows, program, plan, compiled, X[i : i + step], gradient)

    compute(0)
    blocks.check_records(found[0], len(X))
    run(compute, deque(range(step, len(X), step)), get_num_threads())
    return [found[i] for i in sorted(found)]
