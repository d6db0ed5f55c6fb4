"""Source of the compiled loops over lines for activations that are Hermite series.

Scratch memory ``work`` (numbers, lanes) holds, for one line, gap and slope behind the activation,
their rates (6 numbers in all), then the share and the sums of `formulas.series` with their rates.
"""

from ...formulas import line_traces
from .line_loops import Reads, of_left, short
from .lines import mapping
from .tiles import Series, indent, names_of_sums, text_of

N_WORK = 6 + len(names_of_sums(True))
"""Numbers of scratch memory for each pair of rows (lane) of a line."""


def source(own, gradient, single):
    """Source of a `Pointwise` step whose activation is a series.

    A record is the new variance, the standard deviation before the activation, `series.head`, and
    the coefficients. ``tile.constants`` has a pair (order, whether the distance doubles behind it)
    for each coefficient.
    """
    code, letters = Series(gradient, single, True), ("", "d") if gradient else ("",)
    reads, head = Reads(code.inputs, None, own, (), "k", {}), line_traces.SERIES_HEAD
    places = [f"LANES * {6 + i} + j" for i in range(len(code.names))]
    load = [f"{name} = load(work, {at})" for name, at in zip(code.names, places, strict=True)]
    store = [f"store(work, {at}, {name})" for name, at in zip(code.names, places, strict=True)]
    slots = {"": "q", "d": "(q + width)"}
    lefts = [f"{d}u = {of_left(slots[d], own)}" for d in letters]
    per_line, per_lane = (lefts, []) if not own else ([], lefts)
    rights = [f"{d}v = fetch(y, {d}vb + j)" for d in letters]
    places = [f"{d}vb = yb + ny * count * {slots[d]}" for d in letters]
    lines = [
        *reads.rows,
        "for j in range(lanes):",
        *indent(1, [*reads.lanes, *code.start, *store]),
        f"for q in range({head + 1}, width):",
        *indent(1, [*places, *per_line]),
        f"    place = constants + 2 * (q - {head})",
        "    order, doubles = tile.constants[place], tile.constants[place + 1]",
        "    if doubles > F(0.0):",
        "        for j in range(lanes):",
        *indent(3, [*load, *code.double, *store]),
        "    for j in range(lanes):",
        *indent(2, [*load, *per_lane, *rights, *code.term, *store[1:]]),
        f"q = {head}",
        *[*places, *per_line],
        "for j in range(lanes):",
        *indent(1, [*reads.lanes, *load, *per_lane, *rights, *code.end]),
        *indent(1, (f"store(work, LANES * {i} + j, {x})" for i, x in enumerate(code.duals))),
    ]
    begin = ["work, constants = tile.work, steps[k, 3]", *code.constants]
    affine = mapping("series", None, own, gradient, single, lines)
    return text_of([*short(gradient), *indent(1, begin), *affine])
