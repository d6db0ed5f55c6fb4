"""Sources of the compiled loops over the pairs of a tile, written from the formulas of `gaps`.

A loop is one flat function ``loop(k, tile)`` of the number of a step and a `Tile`. Inputs that
belong to a row are read before the inner loop, which runs over columns. Inputs that belong to
columns are first copied to ``tile.columns``, at constant offsets as the parts of the state are, so
that the compiler sees that nothing overlaps and vectorises the loop. ``load(array, place)`` and
``store(array, place, number)`` count entries from the beginning of an array, whatever its shape.
"""

import re
from functools import partial

from ...formulas import gaps, tile_traces
from ...formulas.series import DOUBLING, RATE_SUMS, SUMS, trace_end, trace_share, trace_sums
from ...formulas.tracing import NOISE, ROUNDING, TINY
from ...formulas.writing import Writer, statements
from ..packing.tile import TILE_COLUMNS, TILE_ROWS
from ..packing.tiles import TERMS, place_of

TILE = TILE_ROWS * TILE_COLUMNS

SMALL = {TINY: 1e-37, ROUNDING: 1e-6, NOISE: 1e-6}
"""Constants of formulas and their values in single precision."""

_BUILTIN = {"maximum": "max", "minimum": "min"}


class Scalars(Writer):
    """Writes formulas as Python for scalars, in double or in single precision.

    The code calls ``F(number)`` for a number of its precision, and ``select(truth, yes, no)``.
    Constants become variables named by ``letter`` and a number; ``constants`` maps the code of each
    to its name. The loops pass them through ``opaque``: otherwise the compiler, which has too few
    registers for all, would load and broadcast each of them again for every pair.
    """

    def __init__(self, single, letter="c"):
        self.single, self.letter, self.constants = single, letter, {}

    def constant(self, number):
        """Name of a constant; 0, 1 and 2 are written as they are."""
        text = f"F({SMALL.get(number, number) if self.single else number!r})"
        if number in (0.0, 1.0, 2.0):
            return text
        return self.constants.setdefault(text, f"{self.letter}{len(self.constants)}")

    def operation(self, name, texts, are_truths):
        """Code of an operation; a product with a truth value selects the other factor or zero."""
        if name == "multiply" and any(are_truths):
            place = are_truths.index(True)
            return f"select({texts[place]}, {texts[1 - place]}, F(0.0))"
        if name in _BUILTIN:  # unlike np.maximum, these need not propagate NaN
            return f"{_BUILTIN[name]}({', '.join(texts)})"
        return super().operation(name, texts, are_truths)


def indent(depth, lines):
    """Lines of code, indented by ``depth`` levels."""
    return [f"{'    ' * depth}{line}" for line in lines if line]


def _head(gradient):
    """Code that begins a loop: its signature and local names."""
    lines = ["i0, j0, stop, state, numbers = tile.i0, tile.j0, tile.stop, tile.state, tile.numbers"]
    lines += ["x, y, duals = tile.left.heads, tile.right.heads, tile.duals"]
    lines += ["size_x, size_y, first_of_k = x.shape[2], y.shape[2], k * numbers.shape[1]"]
    lines += ["row_x = k * x.shape[1] * size_x + i0", "row_y = k * y.shape[1] * size_y + j0"]
    lines += ["dx, dy = tile.left.head_rates, tile.right.head_rates"] * gradient
    lines += ["rates_x, rates_y = x.size, y.size"] * gradient
    lines += ["columns, width = tile.columns, stop[stop.shape[0] - 1]"]
    return ["def loop(k, tile):", *indent(1, lines)]


INPUT = re.compile(r"([sxyzd])(\d+)(?:_(\d))?")
"""Inputs of traces that are parts of a state (s, z), of a record (x, y) or of duals (d): letter,
index, and direction of a rate."""

_PARTS = {"s": "state", "z": "stack", "d": "duals"}


class _Reads:
    """Code that reads the inputs of a trace: before the loops, for each row, for each pair.

    Entry c of the records of step k is at ``row_x + c * size_x + i`` for row i of the tile, and its
    rates along direction p follow at a distance of ``p * rates_x``; those of columns alike.
    """

    def __init__(self, names, cls):
        self.before, self.rows, self.pairs, copies = [], [], [], []
        for name in names:
            if name in gaps.NUMBERS:
                self._number(name, gaps.NUMBERS.index(name))
            elif name.startswith("self_"):
                self._number(name, place_of(name.removeprefix("self_"), cls))
            else:
                copies += self._pair(name, *INPUT.fullmatch(name).groups())
        self.before += ["for j in range(width):", *indent(1, copies)] * bool(copies)

    def _number(self, name, place):
        self.before.append(f"{name} = load(numbers, first_of_k + {place})")

    def _pair(self, name, letter, index, p):
        """Add code that reads an input; returns that which copies columns, in a list."""
        if letter in _PARTS:
            place = f"{'saved + ' * (letter == 'z')}{int(index) * TILE} + row + j"
            self.pairs.append(f"{name} = load({_PARTS[letter]}, {place})")
            return []
        array, rates = (letter, "") if p is None else (f"d{letter}", f"{p} * rates_{letter} + ")
        entry = f"row_{letter} + {rates}{index} * size_{letter}"
        if letter == "x":
            self.rows.append(f"{name} = load({array}, {entry} + i)")
            return []
        place = f"{TILE_COLUMNS * sum('columns' in line for line in self.pairs)} + j"
        self.pairs.append(f"{name} = load(columns, {place})")
        return [f"put(columns, {place}, fetch({array}, {entry} + j))"]


def _pairs(outputs, single, cls=None, several=False):
    """Code of the loops that replace the state of all pairs of a tile by the outputs of a trace.

    If there are ``several`` NTKs, the factor of the first one is stored in ``duals``, from where
    `steps.follow` applies it to the others.
    """
    writer = Scalars(single)
    places = [f"state, {n * TILE}" for n in range(len(outputs))]
    if several:
        outputs, places = tile_traces.with_slope(outputs), [*places, "duals, 0"]
    inputs, lines, texts = statements(outputs, writer)
    reads = _Reads(inputs, cls)
    stores = [
        f"store({place} + row + j, {text})" for place, text in zip(places, texts, strict=True)
    ]
    return [
        *indent(1, reads.before),
        *indent(1, (f"{name} = opaque({text})" for text, name in writer.constants.items())),
        "    for i in range(stop.shape[0]):",
        f"        row = {TILE_COLUMNS} * i",
        *indent(2, reads.rows),
        "        for j in range(stop[i]):",
        *indent(3, [*reads.pairs, *lines, *stores]),
    ]


def text_of(lines):
    """Source code from its lines."""
    return "\n".join([*lines, ""])


def pointwise(cls, gradient, by_rows, several, single):
    """Source of a `Pointwise` step, for an activation class with a closed dual."""
    outputs = tile_traces.trace_map_pair(cls, gradient, by_rows)
    return text_of(_head(gradient) + _pairs(outputs, single, cls, several))


def add(gradient, by_rows, single):
    """Source of an `Add`, which pops the last state of the stack."""
    pop = ["tile.counters[0] -= 1", "stack, saved = tile.stack, state.size * tile.counters[0]"]
    lines = _pairs(tile_traces.trace_add_pair(gradient, by_rows), single)
    return text_of(_head(gradient) + indent(1, pop) + lines)


def rule(name, gradient, by_rows, several, single):
    """Source of an instruction without weights."""
    outputs = tile_traces.trace_rule_pair(name, gradient, by_rows)
    return text_of(_head(gradient) + _pairs(outputs, single, None, several))


# --- Series ---------------------------------------------------------------------------------------
#
# The share and the sums of `formulas.series` for one row of the tile are rows of ``work`` (n_sums,
# TILE_COLUMNS). `TERMS` terms are added at a time, so that sums are read and written once for all.


def names_of_sums(gradient):
    """Names of the rows of ``work``: the share, the `SUMS`, and with gradients the `RATE_SUMS`."""
    return ("share", *SUMS, *RATE_SUMS * gradient)


def piece(outputs, writer, prefix):
    """Inputs, lines and texts of `tracing.statements`; temporary names begin with ``prefix``."""
    inputs, lines, texts = statements(outputs, writer)
    rename = partial(re.sub, r"\bt(\d+)\b", rf"{prefix}\1")
    return inputs, [rename(line) for line in lines], [rename(text) for text in texts]


class Series:
    """Code of the loop bodies of a series, for pairs of rows or of positions.

    ``start`` sets the sums, ``double`` and ``term`` change them, ``end`` computes ``duals``, gap
    and slope with their rates. ``inputs`` are the names of inputs from the state and the records,
    ``names`` those of `names_of_sums`, and ``constants`` is code that sets the constants.
    """

    def __init__(self, gradient, single, is_position):
        writer = Scalars(single, "h")
        self.names = names_of_sums(gradient)
        inputs, lines, (share,) = piece((trace_share(is_position),), writer, "a")
        values = {"share": share, "step": share, "step_s": "F(1.0)"}
        first = (f"{name} = {values.get(name, 'F(0.0)')}" for name in self.names)
        self.start = [*lines, *first]
        traces = (trace_sums(name, gradient) for name in ("double", "term"))
        self.double, self.term = (self._moved(piece(code, writer, "b")) for code in traces)
        more, self.end, self.duals = piece(trace_end(gradient, is_position), writer, "g")
        self.inputs = [name for name in dict.fromkeys([*inputs, *more]) if INPUT.fullmatch(name)]
        self.constants = [f"{name} = opaque({text})" for text, name in writer.constants.items()]

    def _moved(self, code):
        """Code that replaces the sums by new ones."""
        _, lines, texts = code
        changed = [pair for pair in zip(self.names[1:], texts, strict=True) if pair[0] != pair[1]]
        names, texts = map(", ".join, zip(*changed, strict=True))
        return [*lines, f"{names} = {texts}"]


def series(gradient, by_rows, several, single):
    """Source of a `Pointwise` step whose activation is a series."""
    affine = _pairs(tile_traces.trace_affine_pair(gradient, by_rows), single, None, several)
    return text_of(_head(gradient) + _series(gradient, single) + affine)


def _series(gradient, single):
    """Code of the loops from the gaps before a series to gaps and slopes behind it, in ``duals``.

    ``u`` and ``v`` are the coefficients of the row and of the columns, ``du`` and ``dv`` their
    derivatives with respect to ``log s^2``.
    """
    code, letters = Series(gradient, single, False), ("", "d") if gradient else ("",)
    reads, terms = _Reads(code.inputs, None), range(TERMS)
    places = [f"{TILE_COLUMNS * i} + j" for i in range(len(code.names))]
    load = [f"{name} = load(work, {at})" for name, at in zip(code.names, places, strict=True)]
    store = [f"put(work, {at}, {name})" for name, at in zip(code.names, places, strict=True)]
    added = []
    for q in terms:
        added += [f"order, doubles = order{q}, doubles{q}"]
        added += [f"{d}u, {d}v = {d}u{q}, fetch({d}vs, place{q} + j)" for d in letters]
        added += [*code.double * (q < DOUBLING), *code.term]
    return [
        "    us, vs = tile.left.coefficients, tile.right.coefficients",
        *indent(1, ("dus = tile.left.coefficient_rates",) * gradient),
        *indent(1, ("dvs = tile.right.coefficient_rates",) * gradient),
        "    left, right = i0 - tile.left.start, j0 - tile.right.start",
        "    first, length, work = tile.spans[k, 0], tile.spans[k, 1], tile.work",
        *indent(1, [*code.constants, *reads.before]),
        "    for i in range(stop.shape[0]):",
        f"        row = {TILE_COLUMNS} * i",
        *indent(2, reads.rows),
        "        for j in range(stop[i]):",
        *indent(3, [*reads.pairs, *code.start, *store]),
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
        *indent(3, code.end),
        *indent(3, (f"store(duals, {i * TILE} + row + j, {x})" for i, x in enumerate(code.duals))),
    ]
