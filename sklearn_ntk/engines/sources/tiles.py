"""Sources of the compiled loops over the pairs of a tile, written from the formulas.

A loop is one flat function of the number ``k`` of a step and a `Tile`. What it needs of a row is
read before the inner loop. What it needs of the columns is first copied side by side: like the
parts of the state it is then found at distances that the compiler knows, which can see that nothing
overlaps, and turns the loop to vector instructions. ``load(array, place)`` and ``store(array,
place, number)`` count entries from the beginning of an array, without looking at its shape.
"""

import re
from functools import partial

from ...formulas import gaps
from ...formulas.series import DOUBLING, RATE_SUMS, SUMS, trace_end, trace_share, trace_sums
from ...formulas.tracing import NOISE, ROUNDING, TINY, Writer, statements
from ..packing.tile import TILE_COLUMNS, TILE_ROWS
from ..packing.tiles import TERMS, place_of

TILE = TILE_ROWS * TILE_COLUMNS

SMALL = {TINY: 1e-37, ROUNDING: 1e-6, NOISE: 1e-6}
"""What constants become in single precision."""

_BUILTIN = {"maximum": "max", "minimum": "min"}


class Scalars(Writer):
    """Formulas as Python for single numbers, in double or in single precision.

    The source calls ``F`` to make a number of its precision, and ``select(truth, yes, no)``. Its
    constants have names, a letter and a number, that ``constants`` lists by their texts: they are
    to pass through ``opaque``, or else the compiler, with too few registers for all, would fetch
    and spread each of them anew for every pair.
    """

    def __init__(self, single, letter="c"):
        self.single, self.letter, self.constants = single, letter, {}

    def constant(self, number):
        """Name of a number, or the number itself if that is as good."""
        text = f"F({SMALL.get(number, number) if self.single else number!r})"
        if number in (0.0, 1.0, 2.0):
            return text
        return self.constants.setdefault(text, f"{self.letter}{len(self.constants)}")

    def operation(self, name, texts, are_truths):
        """Text of an operation; a truth value selects the other factor of a product."""
        if name == "multiply" and any(are_truths):
            place = are_truths.index(True)
            return f"select({texts[place]}, {texts[1 - place]}, F(0.0))"
        if name in _BUILTIN:  # NaN need not pass through
            return f"{_BUILTIN[name]}({', '.join(texts)})"
        return super().operation(name, texts, are_truths)


def indent(depth, lines):
    """Lines so many levels deeper."""
    return [f"{'    ' * depth}{line}" for line in lines if line]


def _head(gradient):
    lines = ["i0, j0, stop, state, numbers = tile.i0, tile.j0, tile.stop, tile.state, tile.numbers"]
    lines += ["x, y, duals = tile.left.heads, tile.right.heads, tile.duals"]
    lines += ["dx, dy = tile.left.head_rates, tile.right.head_rates"] * gradient
    lines += ["columns, width = tile.columns, stop[stop.shape[0] - 1]"]
    return ["def loop(k, tile):", *indent(1, lines)]


INPUT = re.compile(r"([sxyzd])(\d+)(?:_(\d))?")
"""Inputs of traces that are parts of a state, of duals or of a record."""

_PARTS = {"s": "state", "z": "tile.stack", "d": "duals"}


class _Reads:
    """Where the inputs of a trace are found: lines before the loops, per row and per pair."""

    def __init__(self, names, cls):
        self.before, self.rows, self.pairs = [], [], []
        for name in names:
            if name in gaps.NUMBERS:
                self._number(name, gaps.NUMBERS.index(name))
            elif name.startswith("self_"):
                self._number(name, place_of(name.removeprefix("self_"), cls))
            else:
                self._pair(name, *INPUT.fullmatch(name).groups())

    def _number(self, name, place):
        self.before.append(f"{name} = numbers[k, {place}]")

    def _pair(self, name, letter, index, p):
        if letter in _PARTS:
            place = f"{'saved + ' * (letter == 'z')}{int(index) * TILE} + row + j"
            self.pairs.append(f"{name} = load({_PARTS[letter]}, {place})")
            return
        record = f"{letter if p is None else f'd{letter}[{p}]'}[k, {index}]"
        if letter == "x":
            self.rows.append(f"{name} = {record}[i0 + i]")
            return
        place = TILE_COLUMNS * sum("columns" in line for line in self.pairs)
        self.before += [f"column = {record}[j0:]", "for j in range(width):"]
        self.before.append(f"    store(columns, {place} + j, column[j])")
        self.pairs.append(f"{name} = load(columns, {place} + j)")


def _pairs(outputs, single, cls=None, several=False):
    """Lines of the loops that replace the state of all pairs of a tile by the outputs.

    If there are several NTKs, the factor of the first one, for the others, is put into ``duals``.
    """
    writer = Scalars(single)
    places = [f"state, {n * TILE}" for n in range(len(outputs))]
    if several:
        outputs, places = gaps.with_slope(outputs), [*places, "duals, 0"]
    inputs, lines, texts = statements(outputs, writer)
    reads = _Reads(inputs, cls)
    ends = [f"store({place} + row + j, {text})" for place, text in zip(places, texts, strict=True)]
    return [
        *indent(1, reads.before),
        *indent(1, (f"{name} = opaque({text})" for text, name in writer.constants.items())),
        "    for i in range(stop.shape[0]):",
        f"        row = {TILE_COLUMNS} * i",
        *indent(2, reads.rows),
        "        for j in range(stop[i]):",
        *indent(3, [*reads.pairs, *lines, *ends]),
    ]


def text_of(lines):
    """Source from its lines."""
    return "\n".join([*lines, ""])


def pointwise(cls, gradient, by_rows, several, single):
    """Source of a `Pointwise` step, for an activation class with a closed dual."""
    outputs = gaps.trace_map_pair(cls, gradient, by_rows)
    return text_of(_head(gradient) + _pairs(outputs, single, cls, several))


def add(gradient, by_rows, single):
    """Source of an `Add`, which takes the last state from the stack."""
    pop = ["tile.counters[0] -= 1", "saved = state.size * tile.counters[0]"]
    lines = _pairs(gaps.trace_add_pair(gradient, by_rows), single)
    return text_of(_head(gradient) + indent(1, pop) + lines)


def rule(name, gradient, by_rows, several, single):
    """Source of an instruction without weights."""
    outputs = gaps.trace_rule_pair(name, gradient, by_rows)
    return text_of(_head(gradient) + _pairs(outputs, single, None, several))


# --- Series ---------------------------------------------------------------------------------------
#
# The share and the sums of `series` for one row of the tile are lines of ``work``. Several terms
# are added at a time, so that sums are read and written once for all of them.


def names_of_sums(gradient):
    """Names of the lines of ``work``, the first of which is the share."""
    return ("share", *SUMS, *RATE_SUMS * gradient)


def piece(outputs, writer, prefix):
    """Inputs, lines and texts of outputs, with temporary names of their own."""
    inputs, lines, texts = statements(outputs, writer)
    rename = partial(re.sub, r"\bt(\d+)\b", rf"{prefix}\1")
    return inputs, [rename(line) for line in lines], [rename(text) for text in texts]


class Series:
    """Lines of the loop bodies of a series, for pairs of rows or of positions.

    ``inputs`` are parts of the state and of records, ``names`` those of what is kept of a pair.
    """

    def __init__(self, gradient, single, is_position):
        writer = Scalars(single, "h")
        self.names = names_of_sums(gradient)
        inputs, lines, (share,) = piece((trace_share(is_position),), writer, "a")
        values = {"share": share, "step": share, "step_s": "F(1.0)"}
        first = (f"{name} = {values.get(name, 'F(0.0)')}" for name in self.names)
        self.start = [*lines, *first]
        traces = (trace_sums(name, gradient) for name in ("double", "term"))
        self.double, self.term = (self._moved(piece(made, writer, "b")) for made in traces)
        more, self.end, self.duals = piece(trace_end(gradient, is_position), writer, "g")
        self.inputs = [name for name in dict.fromkeys([*inputs, *more]) if INPUT.fullmatch(name)]
        self.constants = [f"{name} = opaque({text})" for text, name in writer.constants.items()]

    def _moved(self, made):
        """Lines that compute new sums, and give them the names of the old ones."""
        _, lines, texts = made
        changed = [pair for pair in zip(self.names[1:], texts, strict=True) if pair[0] != pair[1]]
        names, texts = map(", ".join, zip(*changed, strict=True))
        return [*lines, f"{names} = {texts}"]


def series(gradient, by_rows, several, single):
    """Source of a `Pointwise` step whose activation is a series."""
    affine = _pairs(gaps.trace_affine_pair(gradient, by_rows), single, None, several)
    return text_of(_head(gradient) + _series(gradient, single) + affine)


def _series(gradient, single):
    """Lines of the loops from the gaps before a series to gaps and slopes behind it.

    ``u`` and ``v`` are coefficients of the row and of the columns, ``du`` and ``dv`` their rates.
    """
    made, letters = Series(gradient, single, False), ("", "d") if gradient else ("",)
    reads, terms = _Reads(made.inputs, None), range(TERMS)
    places = [f"{TILE_COLUMNS * i} + j" for i in range(len(made.names))]
    load = [f"{name} = load(work, {at})" for name, at in zip(made.names, places, strict=True)]
    store = [f"put(work, {at}, {name})" for name, at in zip(made.names, places, strict=True)]
    added = []
    for q in terms:
        added += [f"order, doubles = order{q}, doubles{q}"]
        added += [f"{d}u, {d}v = {d}u{q}, fetch({d}vs, place{q} + j)" for d in letters]
        added += [*made.double * (q < DOUBLING), *made.term]
    return [
        "    us, vs = tile.left.coefficients, tile.right.coefficients",
        *indent(1, ("dus = tile.left.coefficient_rates",) * gradient),
        *indent(1, ("dvs = tile.right.coefficient_rates",) * gradient),
        "    left, right = i0 - tile.left.start, j0 - tile.right.start",
        "    first, length, work = tile.spans[k, 0], tile.spans[k, 1], tile.work",
        *indent(1, [*made.constants, *reads.before]),
        "    for i in range(stop.shape[0]):",
        f"        row = {TILE_COLUMNS} * i",
        *indent(2, reads.rows),
        "        for j in range(stop[i]):",
        *indent(3, [*reads.pairs, *made.start, *store]),
        f"        for t in range(first + 1, first + length, {TERMS}):",
        *indent(3, (f"order{q} = tile.orders[0, t + {q}]" for q in terms)),
        *indent(3, (f"doubles{q} = tile.orders[1, t + {q}]" for q in terms)),
        *indent(3, (f"{d}u{q} = {d}us[t + {q}, left + i]" for q in terms for d in letters)),
        *indent(3, (f"place{q} = vs.shape[1] * (t + {q}) + right" for q in terms)),
        "            for j in range(stop[i]):",
        *indent(4, [*load, *added, *store[1:]]),
        *indent(2, (f"{d}u = {d}us[first, left + i]" for d in letters)),
        "        place = vs.shape[1] * first + right",
        "        for j in range(stop[i]):",
        *indent(3, [*reads.pairs, *load]),
        *indent(3, (f"{d}v = fetch({d}vs, place + j)" for d in letters)),
        *indent(3, made.end),
        *indent(3, (f"store(duals, {i * TILE} + row + j, {x})" for i, x in enumerate(made.duals))),
    ]
