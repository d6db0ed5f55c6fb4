"""Sources of the compiled loops over lines, written from the formulas of `distances`.

A loop is one flat function of the number ``o`` of an operation and a `Lines` (see
`_numba._positions`). A line is ``LANES`` numbers of each part of the state, one for each pair of
rows, side by side: the inner loop has a fixed length and turns to a few vector instructions.
``fetch(array, place)`` reads what no ``put`` in the same loop writes.
"""

import re

from .. import distances, formulas
from .._trace import statements
from ._loops import Scalars, indent, text_of
from ._packing import place_of

N_LANES = {"float64": 16, "float32": 32}
"""Pairs of rows that a line holds; the sources call it ``LANES``."""

HEAD = """\
def loop(o, tile):
    ops, tables, steps, numbers = tile.ops, tile.tables, tile.steps, tile.numbers
    lines, x, y, j0 = tile.lines, tile.left.records, tile.right.records, tile.j0
    nx, ny = tile.i * tile.left.n, tile.right.n
    k, out, n, t = ops[o, 1], ops[o, 2], ops[o, 3], ops[o, 4]
    first, count, width = steps[k, 0], steps[k, 1], steps[k, 2]
"""

SHORT = """\
    lanes, whole = opaque(LANES), opaque({size})
"""
"""Trip counts of loops with few operations, which the compiler would rather unroll than vectorise."""

ROWS = """\
    for e in range(n):
        at = {size} * (out + e)
        xb = nx + first + tables[t + e]
        yb = ny * (first + tables[t + n + e]) + j0
"""


def short(gradient):
    """First lines of a function whose loops are short."""
    return HEAD.splitlines() + SHORT.format(size=line_size(gradient)).splitlines()


def line_size(gradient):
    """Numbers of a line, as a text."""
    return f"LANES * {6 if gradient else 2}"


def _slot(index, p):
    """Place of a part of a record among those of a step: values, then rates along directions."""
    return f"({index} + {p + 1} * width)" if p is not None else f"{index}"


class _Reads:
    """Where the inputs of a trace are found: lines before the loops, per line and per lane."""

    def __init__(self, names, cls):
        self.before, self.rows, self.lanes = [], [], []
        for name in names:
            if name in formulas.NUMBERS:
                self.before.append(f"{name} = numbers[k, {formulas.NUMBERS.index(name)}]")
            elif name.startswith("self_"):
                place = place_of(name.removeprefix("self_"), cls)
                self.before.append(f"{name} = numbers[k, {place}]")
            else:
                self._line(name, *re.fullmatch(r"([sxyd])(\d+)(?:_(\d))?", name).groups())

    def _line(self, name, letter, index, p):
        slot = _slot(int(index), None if p is None else int(p))
        if letter == "x":
            self.rows.append(f"{name} = x[xb + count * {slot}]")
        elif letter == "y":
            self.rows.append(f"place_{name} = yb + ny * count * {slot}")
            self.lanes.append(f"{name} = fetch(y, place_{name} + j)")
        elif letter == "d":
            self.lanes.append(f"{name} = load(work, LANES * {index} + j)")
        else:
            self.lanes.append(f"{name} = load(lines, at + LANES * {index} + j)")


def _map(outputs, single, cls, gradient, is_long, before=()):
    """Lines of the loops that replace the state of lines by the outputs."""
    writer = Scalars(single)
    inputs, body, texts = statements(outputs, writer)
    reads = _Reads(inputs, cls)
    ends = [f"put(lines, at + LANES * {part} + j, {text})" for part, text in enumerate(texts)]
    return [
        *indent(1, reads.before),
        *indent(1, (f"{name} = opaque({text})" for text, name in writer.constants.items())),
        *ROWS.format(size=line_size(gradient)).splitlines(),
        *indent(2, before),
        *indent(2, reads.rows),
        f"        for j in range({'LANES' if is_long else 'lanes'}):",
        *indent(3, [*reads.lanes, *body, *ends]),
    ]


def mapped(kind, cls, gradient, single):
    """Source of an operation that maps lines, for a kind of `distances` and an activation class."""
    outputs = distances.trace_pair(kind, cls, gradient)
    head = HEAD.splitlines() if kind == "pointwise" else short(gradient)
    return text_of([*head, *_map(outputs, single, cls, gradient, kind == "pointwise")])


# --- Series -----------------------------------------------------------------------------------------
#
# The sums of `series` for a line: rho, cumulated products, S and its derivative, squared differences.

_SUMS = ("c", "s", "d", "e")
_RATE_SUMS = ("f", "cl", "sl", "dl", "cr", "sr", "dr", "el", "er")

N_WORK = 6 + 3 + len(_SUMS) + len(_RATE_SUMS)
"""Numbers of scratch memory for each lane that a series needs."""


def _names(*names):
    """Texts of the places of the lines of scratch memory behind the duals."""
    return {name: f"LANES * {6 + place} + j" for place, name in enumerate(names)}


def _term(gradient):
    lines = ["w = fetch(y, vb + j)", "m = u - w"]
    if gradient:
        lines += ["z = fetch(y, dvb + j)", "f = f * rho + (d + d)"]
        lines += ["el += m * du", "er -= m * z"]
    lines += ["d = d * rho + s", "c += u * w", "s = s * rho + c", "e += m * m"]
    for side, product in (("l", "du * w"), ("r", "u * z")) if gradient else ():
        lines += [
            f"d{side} = d{side} * rho + s{side}",
            f"c{side} += {product}",
            f"s{side} = s{side} * rho + c{side}",
        ]
    return lines


def series(gradient, single):
    """Source of a `Pointwise` step whose activation is a series.

    Records hold the new variance, the standard deviation before, then the features of `series`:
    that behind, ``1 / (2 s)``, the gain, ``log s^2``, and the coefficients.
    """
    sums = _SUMS + _RATE_SUMS * gradient
    place = _names("rho", "gap", "share", *sums)
    directions = range(2) if gradient else ()
    head = distances.SERIES_HEAD
    xs = [f"x{q} = x[xb + count * {q}]" for q in range(1, head)]
    ys = [f"y{q} = fetch(y, yb + ny * count * {q} + j)" for q in range(1, head)]
    dxs = [f"x{q}_{p} = x[xb + count * {_slot(q, p)}]" for q in range(1, head) for p in directions]
    dys = [
        f"y{q}_{p} = fetch(y, yb + ny * count * {_slot(q, p)} + j)"
        for q in range(1, head)
        for p in directions
    ]
    begin = [
        "apart = x1 - y1",
        "gap = max(load(lines, at + j) - apart * apart, F(0.0))",
        "share = F(2.0) * min(gap * x3 * y3, F(1.0))",
        f"store(work, {place['gap']}, gap)",
        f"store(work, {place['share']}, share)",
        f"store(work, {place['rho']}, F(1.0) - share)",
        *(f"store(work, {place[name]}, F(0.0))" for name in sums),
    ]
    ends = [f"{name} = load(work, {place[name]})" for name in ("gap", "share", *sums)]
    ends += [
        "m = u - fetch(y, vb + j)",
        "moved = e + m * m + F(2.0) * share * s",
        "risen = s - share * d",
        "store(work, j, x2 * y2 * moved)",
        f"store(work, LANES + j, x4 * y4 * risen)",
    ]
    ends += ["dv0 = fetch(y, dvb + j)", "apart = x1 - y1"] * gradient
    for p in directions:
        ends += [
            f"rate = load(lines, at + LANES * {2 + p} + j)",
            f"rate = select(gap > F(0.0), rate - F(2.0) * apart * (x1_{p} - y1_{p}), F(0.0))",
            f"inner = F(2.0) * rate * x3 * y3 + share * (x3_{p} / x3 + y3_{p} / y3)",
            "inner = select(share < F(2.0), inner, F(0.0))",
            f"ds = sl * x5_{p} + sr * y5_{p} - d * inner",
            f"dd = dl * x5_{p} + dr * y5_{p} - f * inner",
            f"wide = (el + m * du) * x5_{p} + (er - m * dv0) * y5_{p}",
            "moving = F(2.0) * (wide + inner * s + share * ds)",
            "rising = ds - inner * d - share * dd",
            f"total = (x2_{p} * y2 + x2 * y2_{p}) * moved + x2 * y2 * moving",
            f"store(work, LANES * {2 + p} + j, total)",
            f"total = (x4_{p} * y4 + x4 * y4_{p}) * risen + x4 * y4 * rising",
            f"store(work, LANES * {4 + p} + j, total)",
        ]
    coefficient = [
        "u, vb = x[xb + count * q], yb + ny * count * q",
        *["du = x[xb + count * (q + width)]", "dvb = yb + ny * count * (q + width)"] * gradient,
    ]
    before = [
        *xs,
        *dxs,
        "for j in range(lanes):",
        *indent(1, [*ys, *begin]),
        f"for q in range(width - 1, {head}, -1):",
        *indent(1, coefficient),
        "    for j in range(lanes):",
        f"        rho = load(work, {place['rho']})",
        *indent(2, (f"{name} = load(work, {place[name]})" for name in sums)),
        *indent(2, _term(gradient)),
        *indent(2, (f"store(work, {place[name]}, {name})" for name in sums)),
        f"q = {head}",
        *coefficient,
        "for j in range(lanes):",
        *indent(1, [*ys, *dys, *ends]),
    ]
    outputs = distances.trace_pair("series", None, gradient)
    lines = _map(outputs, single, None, gradient, False, before)
    return text_of([*short(gradient), "    work = tile.work", *lines])


# --- Sums of lines ----------------------------------------------------------------------------------


def gather(gradient, single):
    """Source of sums of lines: the sources of each come one after the other in the table."""
    size = line_size(gradient)
    sums = {1: "a", 2: "a + b", 3: "a + b + c"}
    lines = [*short(gradient), "    terms = ops[o, 5]", "    for e in range(n):"]
    lines += [f"        at, s = {size} * (out + e), t + terms * e"]
    for n, text in sums.items():
        lines += [f"        {'el' * (n > 1)}if terms {'==' if n < 3 else '>='} {n}:"]
        names = "abc"[:n]
        lines += [f"            p{c} = {size} * tables[s + {q}]" for q, c in enumerate(names)]
        lines += ["            for j in range(whole):"]
        lines += [f"                {c} = fetch(lines, p{c} + j)" for c in names]
        lines += [f"                put(lines, at + j, {text})"]
    lines += [
        "        for q in range(3, terms):",
        f"            pa = {size} * tables[s + q]",
        "            for j in range(whole):",
        "                put(lines, at + j, load(lines, at + j) + fetch(lines, pa + j))",
    ]
    return text_of(lines)


def scatter(gradient, single):
    """Source of additions of lines to others; runs of the same target stay in registers."""
    size = line_size(gradient)
    return text_of([
        *short(gradient),
        "    for e in range(n):",
        f"        pa, at = {size} * tables[t + e], {size} * tables[t + n + e]",
        "        for j in range(whole):",
        "            put(lines, at + j, load(lines, at + j) + fetch(lines, pa + j))",
    ])  # fmt: skip


def clear(gradient, single):
    """Source of lines that become zero."""
    size = line_size(gradient)
    return text_of([
        *short(gradient),
        f"    for j in range({size} * out, {size} * (out + n)):",
        "        store(lines, j, F(0.0))",
    ])  # fmt: skip


def begin(gradient, single):
    """Source of the distances of the rows themselves."""
    size = line_size(gradient)
    return text_of([
        *short(gradient),
        "    xs, ys, channels = tile.left.X, tile.right.X, tile.channels",
        "    nx = tile.i * tile.entries",
        "    scale = F(1.0) / F(channels)",
        "    for e in range(n):",
        f"        at = {size} * (out + e)",
        "        for j in range(whole):",
        "            put(lines, at + j, F(0.0))",
        "        xb, yb = channels * tables[t + e], channels * tables[t + n + e]",
        "        for c in range(channels):",
        "            a, place = xs[nx + xb + c], ny * (yb + c) + j0",
        "            for j in range(lanes):",
        "                apart = a - fetch(ys, place + j)",
        "                put(lines, at + j, load(lines, at + j) + apart * apart)",
        "        for j in range(lanes):",
        "            put(lines, at + j, load(lines, at + j) * scale)",
    ])  # fmt: skip


def extend(gradient, single):
    """Source of distances from outside: variances, with their rates, which are the last slots."""
    size = line_size(gradient)
    lines = [*short(gradient), f"    slot = {3 if gradient else 1} * width"]
    lines += ["    for e in range(n):", f"        at = {size} * (out + e)"]
    lines += ["        for j in range(whole):", "            put(lines, at + j, F(0.0))"]
    lines += ["        place = tables[t + n + e]", "        if tables[t + e] == 0:"]
    parts = list(enumerate((0, 2, 3) if gradient else (0,)))
    for q, part in parts:
        lines += [
            f"            a = x[nx + first + count * (slot + {q}) + place]",
            "            for j in range(lanes):",
            f"                put(lines, at + LANES * {part} + j, a)",
        ]
    lines += ["        else:"]
    for q, part in parts:
        lines += [
            f"            yb = ny * (first + count * (slot + {q}) + place) + j0",
            "            for j in range(lanes):",
            f"                put(lines, at + LANES * {part} + j, fetch(y, yb + j))",
        ]
    return text_of(lines)


def embed(gradient, single):
    """Source of the covariance of positions, in a table of numbers."""
    size = line_size(gradient)
    return text_of([
        *short(gradient),
        "    trained, table, start = numbers[k, 0], tile.constants, steps[k, 3]",
        "    for e in range(n):",
        f"        at, p, q = {size} * (out + e), tables[t + e], tables[t + n + e]",
        "        both = table[start + count * p + q]",
        "        apart = table[start + count * p + p] + table[start + count * q + q]",
        "        apart = apart - F(2.0) * both",
        "        for j in range(lanes):",
        "            put(lines, at + j, load(lines, at + j) + apart)",
        f"            put(lines, at + LANES + j, load(lines, at + LANES + j) + trained * both)",
    ])  # fmt: skip


def blend(gradient, single):
    """Source of one time of a recurrence, without the activation."""
    size = line_size(gradient)
    lines = [*short(gradient)]
    lines += ["    recurrent, weight, trained = numbers[k, 0], numbers[k, 1], numbers[k, 2]"]
    lines += ["    moved, drift = numbers[k, 3], numbers[k, 4]"] * gradient
    lines += ROWS.format(size=size).splitlines()
    lines += [f"        pa, pb = {size} * tables[t + 2 * n + e], {size} * tables[t + 3 * n + e]"]
    lines += ["        x0 = x[xb]"]
    for p in range(2) if gradient else ():
        lines += [f"        x0_{p} = x[xb + count * {_slot(0, p)}]"]
    lines += ["        for j in range(lanes):"]
    body = ["own = F(0.5) * trained"]
    parts = range(6) if gradient else range(2)
    for part in parts:
        body += [f"a{part} = fetch(lines, pa + LANES * {part} + j)"]
        body += [f"b{part} = fetch(lines, pb + LANES * {part} + j)"]
        body += [f"s{part} = recurrent * a{part} + weight * b{part}"]
    if gradient:
        body += ["s2 += moved * a0 + drift * b0", "s4 += moved * a1 + drift * b1"]
    body += ["s1 += own * (x0 + fetch(y, yb + j) - s0)"]
    for p in range(2) if gradient else ():
        place = f"yb + ny * count * {_slot(0, p)} + j"
        body += [f"s{4 + p} += own * (x0_{p} + fetch(y, {place}) - s{2 + p})"]
    body += [f"put(lines, at + LANES * {part} + j, s{part})" for part in parts]
    return text_of([*lines, *indent(3, body)])
