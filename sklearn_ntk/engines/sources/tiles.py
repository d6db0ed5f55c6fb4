"""Sources of the compiled loops over the pairs of a tile, written from the formulas.

A loop is one flat function of the number ``k`` of a step and a `Tile`. What it needs of a row is
read before the inner loop. What it needs of the columns is first copied side by side: like the
parts of the state it is then found at distances that the compiler knows, which can see that nothing
overlaps, and turns the loop to vector instructions. ``load(array, place)`` and ``store(array,
place, number)`` count entries from the beginning of an array, without looking at its shape.
"""

import re

from ...formulas import gaps
from ...formulas.series import OPPOSITE
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
    constants have the names that ``constants`` lists by their texts: they are to pass through
    ``opaque``, or else the compiler, with too few registers for all, would fetch and spread each of
    them anew for every pair.
    """

    def __init__(self, single):
        self.single, self.constants = single, {}

    def constant(self, number):
        """Name of a number, or the number itself if that is as good."""
        text = f"F({SMALL.get(number, number) if self.single else number!r})"
        if number in (0.0, 1.0, 2.0):
            return text
        return self.constants.setdefault(text, f"c{len(self.constants)}")

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
                self._pair(name, *re.fullmatch(r"([sxyzd])(\d+)(?:_(\d))?", name).groups())

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


def pointwise(cls, gradient, several, single):
    """Source of a `Pointwise` step, for an activation class with a closed dual."""
    outputs = gaps.trace_map_pair(cls, gradient)
    return text_of(_head(gradient) + _pairs(outputs, single, cls, several))


def add(gradient, single):
    """Source of an `Add`, which takes the last state from the stack."""
    pop = ["tile.counters[0] -= 1", "saved = state.size * tile.counters[0]"]
    lines = _pairs(gaps.trace_add_pair(gradient), single)
    return text_of(_head(gradient) + indent(1, pop) + lines)


def rule(name, gradient, several, single):
    """Source of an instruction without weights."""
    outputs = gaps.trace_rule_pair(name, gradient)
    return text_of(_head(gradient) + _pairs(outputs, single, None, several))


# --- Series ---------------------------------------------------------------------------------------
#
# The sums of `series` for one row of the tile are lines of ``work``: rho, cumulated products, S and
# its derivative, squared differences; with derivatives also the second derivative of S and, by the
# left and by the right coefficients, the first four. Several terms are added at a time, from the
# highest down, so that sums are read and written once for all of them.

SUMS = ("c", "s", "d", "e")
RATE_SUMS = ("f", "cl", "sl", "dl", "cr", "sr", "dr", "el", "er")


def count_lines(gradient):
    """Number of lines of ``work``."""
    return 1 + len(SUMS) + gradient * len(RATE_SUMS)


def term(gradient, u, v, du, dv):
    """Lines that add a term to the sums of a pair, from texts of coefficients and their rates."""
    lines = [f"w = {v}", f"m = {u} - w"]
    if gradient:
        lines += [f"z = {dv}", "f = f * rho + (d + d)"]
        lines += [f"el += m * {du}", "er -= m * z"]
    lines += ["d = d * rho + s", f"c += {u} * w", "s = s * rho + c", "e += m * m"]
    for side, product in (("l", f"{du} * w"), ("r", f"{u} * z")) if gradient else ():
        lines += [
            f"d{side} = d{side} * rho + s{side}",
            f"c{side} += {product}",
            f"s{side} = s{side} * rho + c{side}",
        ]
    return lines


def share(half):
    """Lines that find ``1 - rho`` from ``half`` of it; opposite but for rounding is opposite."""
    return [f"half = {half}", "share = F(2.0) * select(half > opposite, F(1.0), half)"]


def opposite(single):
    """Line that says from where on `share` takes directions for opposite."""
    return f"opposite = F({1.0 - SMALL[NOISE] if single else OPPOSITE!r})"


_ENDS = """\
m = u0 - v0[j]
moved = line_e[j] + m * m + F(2.0) * share * line_s[j]
risen = line_s[j] - share * line_d[j]
d0[j] = x3 * y3[j] * moved
d1[j] = x5 * y5[j] * risen"""

_RATE_ENDS = """\
inner = F(2.0) * gap_{p}[j] * x4 * y4[j] + share * (x4_{p} / x4 + y4_{p}[j] / y4[j])
inner *= F(share < F(2.0))
by_rho, next_by_rho = -line_d[j] * inner, -line_f[j] * inner
ds = line_sl[j] * x6_{p} + line_sr[j] * y6_{p}[j] + by_rho
dd = line_dl[j] * x6_{p} + line_dr[j] * y6_{p}[j] + next_by_rho
apart = (line_el[j] + m * du0) * x6_{p} + (line_er[j] - m * dv0[j]) * y6_{p}[j]
moving = F(2.0) * (apart + inner * line_s[j] + share * ds)
rising = ds - inner * line_d[j] - share * dd
d{gap}[j] = (x3_{p} * y3[j] + x3 * y3_{p}[j]) * moved + x3 * y3[j] * moving
d{slope}[j] = (x5_{p} * y5[j] + x5 * y5_{p}[j]) * risen + x5 * y5[j] * rising"""


def series(gradient, several, single):
    """Source of a `Pointwise` step whose activation is a series.

    ``u`` and ``v`` are the coefficients of rows and columns, ``du`` and ``dv`` their rates.
    """
    affine = _pairs(gaps.trace_affine_pair(gradient), single, None, several)
    return text_of(_head(gradient) + _series(gradient, single) + affine)


def _series(gradient, single):
    """Lines of the loops from the gaps before a series to gaps and slopes behind it."""
    directions = range(2) if gradient else ()
    sums = SUMS + RATE_SUMS * gradient
    terms = range(TERMS - 1, -1, -1)
    letters = ("", "d") if gradient else ("",)
    features, shares = range(3, 7), share("gap[j] * x4 * y4[j]")
    ends = [*shares, *_ENDS.splitlines()]
    for p in directions:
        ends += _RATE_ENDS.format(p=p, gap=2 + p, slope=4 + p).splitlines()
    return [
        *indent(1, ("u, v = tile.left.coefficients, tile.right.coefficients",)),
        *indent(1, ("du = tile.left.coefficient_rates",) * gradient),
        *indent(1, ("dv = tile.right.coefficient_rates",) * gradient),
        "    left, right = i0 - tile.left.start, j0 - tile.right.start",
        *indent(1, [opposite(single)]),
        *indent(1, (f"y{f} = y[k, {f}][j0:]" for f in features)),
        *indent(1, (f"y{f}_{p} = dy[{p}, k, {f}][j0:]" for f in features for p in directions)),
        "    first, length, work = tile.spans[k, 0], tile.spans[k, 1], tile.work",
        "    line_rho = work[0]",
        *indent(1, (f"line_{name} = work[{1 + i}]" for i, name in enumerate(sums))),
        "    for i in range(stop.shape[0]):",
        "        gap = state[0, i]",
        *indent(2, (f"gap_{p} = state[{2 + p}, i]" for p in directions)),
        *indent(2, (f"x{f} = x[k, {f}][i0 + i]" for f in features)),
        *indent(2, (f"x{f}_{p} = dx[{p}, k, {f}][i0 + i]" for f in features for p in directions)),
        *indent(2, (f"d{i} = duals[{i}, i]" for i in range(6 if gradient else 2))),
        "        for j in range(stop[i]):",
        *indent(3, [*shares, "line_rho[j] = F(1.0) - share"]),
        *indent(3, (f"line_{name}[j] = F(0.0)" for name in sums)),
        f"        for t in range(first + length - {TERMS}, first, -{TERMS}):",
        *indent(3, (f"{d}u{q} = {d}u[t + {q}][left + i]" for q in terms for d in letters)),
        *indent(3, (f"{d}v{q} = {d}v[t + {q}][right:]" for q in terms for d in letters)),
        "            for j in range(stop[i]):",
        "                rho = line_rho[j]",
        *indent(4, (f"{name} = line_{name}[j]" for name in sums)),
        *indent(
            4,
            (
                line
                for q in terms
                for line in term(gradient, f"u{q}", f"v{q}[j]", f"du{q}", f"dv{q}[j]")
            ),
        ),
        *indent(4, (f"line_{name}[j] = {name}" for name in sums)),
        *indent(2, (f"{d}u0 = {d}u[first][left + i]" for d in letters)),
        *indent(2, (f"{d}v0 = {d}v[first][right:]" for d in letters)),
        "        for j in range(stop[i]):",
        *indent(3, ends),
    ]
