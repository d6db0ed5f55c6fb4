"""Sources of the compiled loops over lines, written from the formulas of `distances`.

A loop is one flat function ``loop(o, tile)`` of the number of an operation and a `Lines` (see
`numba.lines`). A line in memory is (parts, LANES): for each part of the state (squared distance,
NTK, rates) one number for each of ``LANES`` pairs of rows. The inner loop, over these lanes, has a
fixed length, which compiles to a few vector instructions. ``fetch(array, place)`` reads memory that
no ``put`` in the same loop writes.
"""

from ...formulas import distances, line_traces
from ...formulas.writing import statements
from .line_loops import Reads, line_size, rows, short
from .tiles import Scalars, indent, text_of

N_LANES = {"float64": 16, "float32": 32}
"""Pairs of rows that a line holds; the sources call it ``LANES``."""

RUN = 16
"""Most lines with the same target that `scatter` sums before it adds them to the target."""

_SAME = """\
        if xb == yb:
            for j in range(lanes):
"""
"""Loop for a position of a row paired with itself, whose distance is exactly zero."""


def mapping(rule, cls, own, gradient, single, before=(), affine="k", sources=None, local=()):
    """Code of the loops that replace lines by the formula of a rule, applied to their states.

    ``before`` is code before the loop over lanes, which sets the inputs named ``local``. For the
    other arguments see `Reads`.
    """
    writer = Scalars(single)
    inputs, body, texts = statements(line_traces.trace_pair(rule, cls, gradient), writer)
    names = [name for name in inputs if name not in local]
    reads = Reads(names, cls, own, line_traces.pair_numbers(rule), affine, sources or {})
    changed = [(part, text) for part, text in enumerate(texts) if sources or text != f"s{part}"]
    stores = [f"put(lines, at + LANES * {part} + j, {text})" for part, text in changed]
    return [
        *indent(1, reads.before),
        *indent(1, (f"{name} = opaque({text})" for text, name in writer.constants.items())),
        *rows(own, gradient),
        *indent(2, before),
        *indent(2, reads.rows),
        f"        for j in range({'lanes' if cls is None else 'LANES'}):",
        *indent(3, [*reads.lanes, *body, *stores]),
        *(_same(rule, gradient) if own and rule != "covariance" else ()),  # part 0 is no distance
    ]


def _same(rule, gradient):
    """Code for a position paired with itself: sets the distance and its rates to zero.

    For rules with noise, which both rows share there, it also divides the NTK by the first number.
    """
    distance_parts, ntk_parts = ((0, 2, 3), (1, 4, 5)) if gradient else ((0,), (1,))
    lines = [f"put(lines, at + LANES * {part} + j, F(0.0))" for part in distance_parts]
    if rule in distances.NOISY:
        places = [f"at + LANES * {part} + j" for part in ntk_parts]
        lines += [f"put(lines, {at}, load(lines, {at}) / numbers[k, 0])" for at in places]
    return [*_SAME.splitlines(), *indent(4, lines)]


def mapped(rule, cls, own, gradient, single):
    """Source of a `Map` for a rule and, if it has one, the class of its activation."""
    return text_of([*short(gradient), *mapping(rule, cls, own, gradient, single)])


def joined(cls, n_sources, own, gradient, single):
    """Source of a `Gather`, the `Map` of an affine step and that of an activation, in one loop.

    With ``n_sources`` > 0 the state is the sum of so many lines, whose table is at ``ops[o, 5]``;
    with 0 there is no `Gather`, and the state is that of the line itself.
    """
    names = [f"p{q}" for q in range(n_sources)]
    before = [
        f"{name} = {line_size(gradient)} * tables[ops[o, 5] + {n_sources} * e + {q}]"
        for q, name in enumerate(names)
    ]
    sources = {"s": names}
    lines = mapping("joined", cls, own, gradient, single, before, affine="k - 1", sources=sources)
    return text_of([*short(gradient), *lines])


def embed(own, gradient, single):
    """Source of a `Map` of an `Embed` step, whose covariances are in ``tile.constants``."""
    before = [
        "p, q = tables[t + e], tables[t + n + e]",
        "both = table[start + count * p + q]",
        "own_left = table[start + count * p + p]",
        "own_right = table[start + count * q + q]",
    ]
    local = "both", "own_left", "own_right"
    return text_of([
        *short(gradient),
        "    table, start = tile.constants, steps[k, 3]",
        *mapping("embed", None, own, gradient, single, before, local=local),
    ])  # fmt: skip


def blend(own, gradient, single):
    """Source of a `Blend`: one time step of a recurrence, without the activation."""
    size = line_size(gradient)
    before = [f"pa, pb = {size} * tables[t + 2 * n + e], {size} * tables[t + 3 * n + e]"]
    sources = {"s": ["pa"], "z": ["pb"]}
    lines = mapping("recur", None, own, gradient, single, before, sources=sources)
    return text_of([*short(gradient), *lines])


# --- Sums of lines --------------------------------------------------------------------------------


def gather(own, gradient, single):
    """Source of a `Gather`: sums of ``terms`` lines each, of which up to three are unrolled."""
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


def scatter(own, gradient, single):
    """Source of a `Scatter`, which adds lines to other lines.

    Up to `RUN` consecutive lines with the same target are summed first, which reduces rounding in
    long sums.
    """
    size = line_size(gradient)
    return text_of([
        *short(gradient),
        "    work, e = tile.work, 0",
        "    while e < n:",
        f"        pa, target, stop = {size} * tables[t + e], tables[t + n + e], min(n, e + {RUN})",
        f"        at, e = {size} * target, e + 1",
        "        if e == n or tables[t + n + e] != target:",
        "            for j in range(whole):",
        "                put(lines, at + j, load(lines, at + j) + fetch(lines, pa + j))",
        "            continue",
        "        for j in range(whole):",
        "            put(work, j, fetch(lines, pa + j))",
        "        while e < stop and tables[t + n + e] == target:",
        f"            pa, e = {size} * tables[t + e], e + 1",
        "            for j in range(whole):",
        "                put(work, j, load(work, j) + fetch(lines, pa + j))",
        "        for j in range(whole):",
        "            put(lines, at + j, load(lines, at + j) + load(work, j))",
    ])  # fmt: skip


def clear(own, gradient, single):
    """Source of a `Clear`, which sets lines to zero."""
    size = line_size(gradient)
    return text_of([
        *short(gradient),
        f"    for j in range({size} * out, {size} * (out + n)):",
        "        store(lines, j, F(0.0))",
    ])  # fmt: skip


def begin(own, gradient, single):
    """Source of a `Begin`: squared distances ``sum_c (x_pc - y_qc)^2 / channels`` of the inputs."""
    size = line_size(gradient)
    difference = [
        "place = ny * (yb + c) + j0",
        *([] if own else ["a = xs[nx + xb + c]"]),
        "for j in range(lanes):",
        *(["    a = fetch(ys, ny * (xb + c) + j0 + j)"] if own else []),
        "    d = a - fetch(ys, place + j)",
    ]
    return text_of([
        *short(gradient),
        "    xs, ys, channels = tile.left.X, tile.right.X, tile.channels",
        "    nx = tile.i * tile.entries",
        "    scale = F(1.0) / F(channels)",
        "    for e in range(n):",
        f"        at, c = {size} * (out + e), 0",
        "        xb, yb = channels * tables[t + e], channels * tables[t + n + e]",
        *indent(2, difference),
        "            put(lines, at + j, scale * d * d)",
        "        for j in range(lanes, whole):",
        "            put(lines, at + j, F(0.0))",
        "        for c in range(1, channels):",
        *indent(3, difference),
        "                put(lines, at + j, load(lines, at + j) + scale * d * d)",
    ])  # fmt: skip


def extend(own, gradient, single):
    """Source of an `Extend`: variances and their rates, stored behind a record and its rates."""
    size = line_size(gradient)
    lines = [*short(gradient), f"    slot = {3 if gradient else 1} * width"]
    lines += ["    for e in range(n):", f"        at = {size} * (out + e)"]
    lines += ["        for j in range(whole):", "            put(lines, at + j, F(0.0))"]
    lines += ["        place = tables[t + n + e]"]
    lines += ["        if False:" if own else "        if tables[t + e] == 0:"]
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
