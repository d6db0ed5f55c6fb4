"""Sources of the compiled loops over the pairs of a tile, written from the formulas.

A loop is one flat function of the number ``k`` of a step and a `Tile`: what it needs of a row is
read before the inner loop, what it needs of a column at its head. It runs over one-dimensional
contiguous views, since sums of indices in a subscript would make the compiler gather single
elements.
"""

import re

from .. import formulas
from .._trace import statements
from ._packing import TERMS, place_of

_PLACES = {"s": "state", "z": "saved", "d": "duals"}
_HEAD = """\
def loop(k, tile):
    i0, j0, stop, state, numbers = tile.i0, tile.j0, tile.stop, tile.state, tile.numbers
    x, y, duals = tile.left.heads, tile.right.heads, tile.duals"""
_RATES_HEAD = "    dx, dy = tile.left.head_rates, tile.right.head_rates"


def _head(gradient):
    return [_HEAD, *[_RATES_HEAD] * gradient]


def _indent(depth, lines):
    return [f"{'    ' * depth}{line}" for line in lines if line]


def _read(name, cls):
    """Where an input of a trace is found: text before the loops, per row, and per pair."""
    if name in formulas.NUMBERS:
        return f"{name} = numbers[k, {formulas.NUMBERS.index(name)}]", "", ""
    if name.startswith("self_"):
        return f"{name} = numbers[k, {place_of(name.removeprefix('self_'), cls)}]", "", ""
    letter, index, p = re.fullmatch(r"([sxyzd])(\d+)(?:_(\d))?", name).groups()
    if letter in _PLACES:
        return "", f"row_{name} = {_PLACES[letter]}[{index}, i]", f"{name} = row_{name}[j]"
    records = letter if p is None else f"d{letter}[{p}]"
    if letter == "x":
        return "", f"{name} = {records}[k, {index}][i0 + i]", ""
    return f"row_{name} = {records}[k, {index}][j0:]", "", f"{name} = row_{name}[j]"


def _pairs(outputs, single, cls=None):
    """Lines of the loops that replace the state of all pairs of a tile by the outputs."""
    inputs, lines, texts = statements(outputs, single)
    targets = [f"s{index}" for index in range(len(texts))]
    reads = [_read(name, cls) for name in inputs]
    rows = [row for _, row, _ in reads] + [_read(name, cls)[1] for name in targets]
    ends = [f"row_{name}[j] = {text}" for name, text in zip(targets, texts, strict=True)]
    return [
        *_indent(1, (before for before, _, _ in reads)),
        "    for i in range(stop.shape[0]):",
        *_indent(2, dict.fromkeys(rows)),
        "        for j in range(stop[i]):",
        *_indent(3, (pair for _, _, pair in reads)),
        *_indent(3, lines),
        *_indent(3, ends),
    ]


def _text(lines):
    return "\n".join([*lines, ""])


def pointwise(cls, gradient, single):
    """Source of a `Pointwise` step, for an activation class with a closed dual."""
    return _text(_head(gradient) + _pairs(formulas.trace_map_pair(cls, gradient), single, cls))


def add(gradient, single):
    """Source of an `Add`, which takes the last state from the stack."""
    pop = ["tile.counters[0] -= 1", "saved = tile.stack[tile.counters[0]]"]
    lines = _pairs(formulas.trace_add_pair(gradient), single)
    return _text(_head(gradient) + _indent(1, pop) + lines)


# --- Series ---------------------------------------------------------------------------------------
#
# The sums of `series` for one row of the tile are lines of ``work``: rho, cumulated products, S and
# its derivative, squared differences; with derivatives also the second derivative of S and, by the
# left and by the right coefficients, the first four. Several terms are added at a time, from the
# highest down, so that sums are read and written once for all of them.

_SUMS = ("c", "s", "d", "e")
_RATE_SUMS = ("f", "cl", "sl", "dl", "cr", "sr", "dr", "el", "er")


def count_lines(gradient):
    """Number of lines of ``work``."""
    return 1 + len(_SUMS) + gradient * len(_RATE_SUMS)


def _term(q, gradient):
    """Lines that add term ``q`` of a block to the sums of a pair."""
    lines = [f"w = v{q}[j]", f"m = u{q} - w"]
    if gradient:
        lines += [f"z = dv{q}[j]", "f = f * rho + (d + d)"]
        lines += [f"el += m * du{q}", "er -= m * z"]
    lines += ["d = d * rho + s", f"c += u{q} * w", "s = s * rho + c", "e += m * m"]
    for side, product in (("l", f"du{q} * w"), ("r", f"u{q} * z")) if gradient else ():
        lines += [
            f"d{side} = d{side} * rho + s{side}",
            f"c{side} += {product}",
            f"s{side} = s{side} * rho + c{side}",
        ]
    return lines


_ENDS = """\
share = F(2.0) * min(gap[j] * x4 * y4[j], F(1.0))
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


def series(gradient, single):
    """Source of a `Pointwise` step whose activation is a series.

    ``u`` and ``v`` are the coefficients of rows and columns, ``du`` and ``dv`` their rates.
    """
    affine = _pairs(formulas.trace_affine_pair(gradient), single)
    return _text(_head(gradient) + _series(gradient) + affine)


def _series(gradient):
    """Lines of the loops from the gaps before a series to gaps and slopes behind it."""
    directions = range(2) if gradient else ()
    sums = _SUMS + _RATE_SUMS * gradient
    terms = range(TERMS - 1, -1, -1)
    letters = ("", "d") if gradient else ("",)
    features = range(3, 7)
    ends = _ENDS.splitlines()
    for p in directions:
        ends += _RATE_ENDS.format(p=p, gap=2 + p, slope=4 + p).splitlines()
    return [
        *_indent(1, ("u, v = tile.left.coefficients, tile.right.coefficients",)),
        *_indent(1, ("du = tile.left.coefficient_rates",) * gradient),
        *_indent(1, ("dv = tile.right.coefficient_rates",) * gradient),
        *_indent(1, (f"y{f} = y[k, {f}][j0:]" for f in features)),
        *_indent(1, (f"y{f}_{p} = dy[{p}, k, {f}][j0:]" for f in features for p in directions)),
        "    first, length, work = tile.spans[k, 0], tile.spans[k, 1], tile.work",
        "    line_rho = work[0]",
        *_indent(1, (f"line_{name} = work[{1 + i}]" for i, name in enumerate(sums))),
        "    for i in range(stop.shape[0]):",
        "        gap = state[0, i]",
        *_indent(2, (f"gap_{p} = state[{2 + p}, i]" for p in directions)),
        *_indent(2, (f"x{f} = x[k, {f}][i0 + i]" for f in features)),
        *_indent(2, (f"x{f}_{p} = dx[{p}, k, {f}][i0 + i]" for f in features for p in directions)),
        *_indent(2, (f"d{i} = duals[{i}, i]" for i in range(6 if gradient else 2))),
        "        for j in range(stop[i]):",
        "            line_rho[j] = F(1.0) - F(2.0) * min(gap[j] * x4 * y4[j], F(1.0))",
        *_indent(3, (f"line_{name}[j] = F(0.0)" for name in sums)),
        f"        for t in range(first + length - {TERMS}, first, -{TERMS}):",
        *_indent(3, (f"{d}u{q} = {d}u[t + {q}][i0 + i]" for q in terms for d in letters)),
        *_indent(3, (f"{d}v{q} = {d}v[t + {q}][j0:]" for q in terms for d in letters)),
        "            for j in range(stop[i]):",
        "                rho = line_rho[j]",
        *_indent(4, (f"{name} = line_{name}[j]" for name in sums)),
        *_indent(4, (line for q in terms for line in _term(q, gradient))),
        *_indent(4, (f"line_{name}[j] = {name}" for name in sums)),
        *_indent(2, (f"{d}u0 = {d}u[first][i0 + i]" for d in letters)),
        *_indent(2, (f"{d}v0 = {d}v[first][j0:]" for d in letters)),
        "        for j in range(stop[i]):",
        *_indent(3, ends),
    ]
