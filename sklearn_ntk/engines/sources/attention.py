"""Sources of the compiled loops of attention, over all pairs of positions of a pair of rows."""

from .lines import line_size, of_left, short
from .tiles import indent, text_of

_PAIRS = """\
    source = ops[o, 5]
    for a in range(n):
        for b in range(n):
            at = {size} * ({area} + n * a + b)
            xb = {left}
            yb = ny * (first + count * {slot} + b) + j0
"""


def _parts(gradient):
    """The parts of covariance and NTK: the value, and its rates."""
    return ((0, 2, 3), (1, 4, 5)) if gradient else ((0,), (1,))


def _place(part):
    return f"LANES * {part} + j"


def _rewritten(area, slot, own, gradient, is_back):
    """Lines that turn distances to covariances, or back."""
    base = f"first + count * {slot} + a"
    base = f"ny * ({base}) + j0" if own else f"nx + {base}"
    text = _PAIRS.format(size=line_size(gradient), area=area, slot=slot, left=base)
    lines, lefts, body = text.splitlines(), [], []
    for p, part in enumerate(_parts(gradient)[0]):
        lefts += [f"a{p} = {of_left(f'{p} * width', own)}"]
        value = f"a{p} + fetch(y, yb + ny * count * {p} * width + j)"
        number = f"load(lines, at + {_place(part)})"
        text = f"{value} - F(2.0) * {number}" if is_back else f"F(0.5) * ({value} - {number})"
        body += [f"put(lines, at + {_place(part)}, {text})"]
    lines += [*indent(3, lefts * (not own)), "            for j in range(lanes):"]
    return [*lines, *indent(4, [*lefts * own, *body])]


def _sums(target, at, source, place, weight, gradient):
    """Lines that add lines of a source, times weights with rates, to lines of a target."""
    lines = []
    for parts in _parts(gradient):
        for p, part in enumerate(parts):
            lines += [f"v{part} = load({source}, {place} + {_place(part)})"]
            text = f"{weight} * v{part}"
            if p:
                text += f" + {weight}_{p} * v{parts[0]}"
            goal = f"{at} + {_place(part)}"
            lines += [f"store({target}, {goal}, load({target}, {goal}) + {text})"]
    return lines


def linear(own, gradient, single):
    """Source of ``S K R'`` for the weights ``S`` and ``R`` of both rows, and likewise the NTK."""
    size, moves = line_size(gradient), range(1, 3) if gradient else ()
    zero = ["for j in range(whole):"]
    base = "ny * (first + a) + j0" if own else "nx + first + a"
    weights = [f"w = {of_left('(4 + t)', own, base)}"]
    weights += [f"w_{p} = {of_left(f'(4 + t + {p} * width)', own, base)}" for p in moves]
    body = [
        "work = tile.work",
        "for t in range(n):",
        "    for b in range(n):",
        f"        at = {size} * b",
        *indent(2, [*zero, "    store(work, at + j, F(0.0))"]),
        "        for a in range(n):",
        *indent(3, weights * (not own)),
        f"            place = {size} * (source + n * a + b)",
        "            for j in range(lanes):",
        *indent(4, [*weights * own, *_sums("work", "at", "lines", "place", "w", gradient)]),
        "    for q in range(n):",
        f"        at = {size} * (out + n * t + q)",
        *indent(2, [*zero, "    store(lines, at + j, F(0.0))"]),
        "        for b in range(n):",
        f"            place = {size} * b",
        "            yb = ny * (first + count * (4 + q) + b) + j0",
        "            for j in range(lanes):",
        "                w = fetch(y, yb + j)",
        *(f"                w_{p} = fetch(y, yb + ny * count * {p} * width + j)" for p in moves),
        *indent(4, _sums("lines", "at", "work", "place", "w", gradient)),
    ]
    return text_of([
        *short(gradient),
        *_rewritten("source", 0, own, gradient, False),
        *indent(1, body),
        *_rewritten("out", 1, own, gradient, True),
    ])  # fmt: skip


def square_root(own, gradient, single):
    """Source of the attention with scores that stay random."""
    size = line_size(gradient)
    names = ["total", "cross", *(f"{name}_{p}" for name in ("total", "cross") for p in (1, 2))]
    names = names if gradient else names[:2]
    place = {name: f"LANES * {q} + j" for q, name in enumerate(names)}
    state = [f"v{part} = load(lines, at + {_place(part)})" for part in range(6 if gradient else 2)]
    sums = {"total": "v0 * v0", "cross": "v0 * v1"}
    ends = ["new = square * v0 * total"]
    out = {0: "new", 1: "square * (v1 * total + F(2.0) * v0 * cross) + twice * new"}
    for p in (1, 2) if gradient else ():
        dk, dt = f"v{1 + p}", f"v{3 + p}"
        sums |= {f"total_{p}": f"F(2.0) * v0 * {dk}", f"cross_{p}": f"{dk} * v1 + v0 * {dt}"}
        ends += [f"new_{p} = square * ({dk} * total + v0 * total_{p})"]
        out[1 + p] = f"new_{p}"
        out[3 + p] = (
            f"square * ({dt} * total + v1 * total_{p} + F(2.0) * ({dk} * cross + v0 * cross_{p}))"
            f" + twice * new_{p}"
        )
    loads = [f"{name} = load(work, {place[name]})" for name in names]
    body = [
        "work, square, twice = tile.work, numbers[k, 0], numbers[k, 1]",
        f"for j in range(LANES * {len(names)}):",
        "    store(work, j, F(0.0))",
        "for e in range(n * n):",
        f"    at = {size} * (source + e)",
        "    for j in range(lanes):",
        *indent(2, state),
        *indent(
            2, (f"store(work, {place[m]}, load(work, {place[m]}) + {t})" for m, t in sums.items())
        ),
        "for e in range(n * n):",
        f"    at, goal = {size} * (source + e), {size} * (out + e)",
        "    for j in range(lanes):",
        *indent(2, [*state, *loads, *ends]),
        *indent(2, (f"store(lines, goal + {_place(part)}, {text})" for part, text in out.items())),
    ]
    return text_of([
        *short(gradient),
        *_rewritten("source", 0, own, gradient, False),
        *indent(1, body),
        *_rewritten("out", 1, own, gradient, True),
    ])  # fmt: skip
