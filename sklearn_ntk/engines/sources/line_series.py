"""Sources of the compiled loops over lines for activations that are series.

The sums of `series` for a line are kept in scratch memory behind the duals: rho, cumulated
products, S and its derivative, squared differences, and their rates.
"""

from ...formulas import distances
from .lines import mapping, of_left, short, slot_of
from .tiles import RATE_SUMS, SUMS, indent, opposite, share, term, text_of

N_WORK = 6 + 3 + len(SUMS) + len(RATE_SUMS)
"""Numbers of scratch memory for each lane that a series needs."""


def _names(*names):
    """Texts of the places of the lines of scratch memory behind the duals."""
    return {name: f"LANES * {6 + place} + j" for place, name in enumerate(names)}


def _ends(place, sums, gradient):
    """Lines that make gap and slope, with their rates, of the sums."""
    ends = [f"{name} = load(work, {place[name]})" for name in ("gap", "share", *sums)]
    ends += [
        "m = u - fetch(y, vb + j)",
        "moved = e + m * m + F(2.0) * share * s",
        "risen = s - share * d",
        "store(work, j, x2 * y2 * moved)",
        "store(work, LANES + j, x4 * y4 * risen)",
    ]
    ends += ["dv0 = fetch(y, dvb + j)", "apart = x1 - y1"] * gradient
    for p in range(2) if gradient else ():
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
    return ends


def series(own, gradient, single):
    """Source of a `Pointwise` step whose activation is a series.

    Records hold the new variance, the standard deviation before, then the features of `series`:
    that behind, ``1 / (2 s)``, the gain, ``log s^2``, and the coefficients.
    """
    sums = SUMS + RATE_SUMS * gradient
    place = _names("rho", "gap", "share", *sums)
    directions = range(2) if gradient else ()
    head = distances.SERIES_HEAD
    xs = [f"x{q} = {of_left(q, own)}" for q in range(1, head)]
    ys = [f"y{q} = fetch(y, yb + ny * count * {q} + j)" for q in range(1, head)]
    dxs = [f"x{q}_{p} = {of_left(slot_of(q, p), own)}" for q in range(1, head) for p in directions]
    dys = [
        f"y{q}_{p} = fetch(y, yb + ny * count * {slot_of(q, p)} + j)"
        for q in range(1, head)
        for p in directions
    ]
    begin = [
        "apart = x1 - y1",
        "gap = max(load(lines, at + j) - apart * apart, F(0.0))",
        *share("gap * x3 * y3"),
        f"store(work, {place['gap']}, gap)",
        f"store(work, {place['share']}, share)",
        f"store(work, {place['rho']}, F(1.0) - share)",
        *(f"store(work, {place[name]}, F(0.0))" for name in sums),
    ]
    ends = _ends(place, sums, gradient)
    coefficients = [f"u = {of_left('q', own)}"]
    coefficients += [f"du = {of_left('(q + width)', own)}"] * gradient
    places = ["vb = yb + ny * count * q", *["dvb = yb + ny * count * (q + width)"] * gradient]
    lefts, once = [*xs, *dxs], not own  # records of the left row, for all lanes or for each
    before = [
        *lefts * once,
        "for j in range(lanes):",
        *indent(1, [*lefts * own, *ys, *begin]),
        f"for q in range(width - 1, {head}, -1):",
        *indent(1, [*places, *coefficients * once]),
        "    for j in range(lanes):",
        *indent(2, coefficients * own),
        f"        rho = load(work, {place['rho']})",
        *indent(2, (f"{name} = load(work, {place[name]})" for name in sums)),
        *indent(2, term(gradient, "u", "fetch(y, vb + j)", "du", "fetch(y, dvb + j)")),
        *indent(2, (f"store(work, {place[name]}, {name})" for name in sums)),
        f"q = {head}",
        *places,
        *coefficients * once,
        "for j in range(lanes):",
        *indent(1, [*lefts * own, *coefficients * own, *ys, *dys, *ends]),
    ]
    lines = mapping("series", None, own, gradient, single, before)
    return text_of(
        [*short(gradient), "    work = tile.work", *indent(1, [opposite(single)]), *lines]
    )
