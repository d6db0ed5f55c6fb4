"""Sources of the compiled loops of attention, over all pairs of positions of a pair of rows.

The lines that come in become covariances; sums of terms of `formulas.attention` are lines of
``work``, the first of which the rules read.
"""

from ...formulas import attention
from ...formulas.writing import statements
from .lines import line_size, mapping, of_left, short, slot_of
from .tiles import Scalars, indent, text_of


def _begun(own, gradient, single):
    """First lines, with the loop that makes covariances of the lines that come in."""
    lines = ["work, source, target = tile.work, ops[o, 5], out", "out = source"]
    loop = mapping("covariance", None, own, gradient, single)
    return [*short(gradient), *indent(1, lines), *loop, "    out = target"]


def _clear(place):
    """Lines that make a line of ``work`` zero."""
    return ["for j in range(whole):", f"    store(work, {place} + j, F(0.0))"]


def _add(formula, target, array, place, gradient, single):
    """Lines that add what a formula makes of a line of an array to a line of ``work``."""
    inputs, lines, texts = statements(attention.trace(formula, gradient), Scalars(single))
    states = [name for name in inputs if name[0] == "s"]
    reads = [f"{name} = fetch({array}, {place} + LANES * {name[1:]} + j)" for name in states]
    places = [f"{target} + LANES * {part} + j" for part in range(len(texts))]
    pairs = zip(places, texts, strict=True)
    return [*reads, *lines, *(f"put(work, {at}, load(work, {at}) + {text})" for at, text in pairs)]


def _weights(position, own, base, gradient):
    """Lines that read a weight for a position, and its rates; for the arguments see `of_left`."""
    parts = list(zip(attention.VALUE, (None, 0, 1), strict=True))[: 3 if gradient else 1]
    slots = ((part, slot_of(f"(4 + {position})", p)) for part, p in parts)
    return [f"d{part} = {of_left(slot, own, base)}" for part, slot in slots]


def linear(own, gradient, single):
    """Source of ``S K R'`` for the weights ``S`` and ``R`` of both rows, and likewise the NTK.

    With the first pair of each left position its sums over the left row are made: ``work`` holds
    them behind its first line.
    """
    size, options = line_size(gradient), (gradient, single)
    base = "ny * (first + a) + j0" if own else "nx + first + a"
    lefts, rights = _weights("p", own, base, gradient), _weights("q", True, "base", gradient)
    before = [
        "p, q = tables[t + e], tables[t + n + e]",
        "if q == 0:",
        "    for b in range(count):",
        f"        half = {size} * (1 + b)",
        *indent(2, _clear("half")),
        "        for a in range(count):",
        f"            place = {size} * (source + count * a + b)",
        *indent(3, lefts * (not own)),
        "            for j in range(lanes):",
        *indent(4, [*lefts * own, *_add(attention.weigh, "half", "lines", "place", *options)]),
        *_clear("0"),
        "for b in range(count):",
        f"    half, base = {size} * (1 + b), ny * (first + b) + j0",
        "    for j in range(lanes):",
        *indent(2, [*rights, *_add(attention.weigh, "0", "work", "half", *options)]),
    ]
    loop = mapping("attend_linear", None, own, gradient, single, before)
    return text_of([*_begun(own, gradient, single), *loop])


def square_root(own, gradient, single):
    """Source of the attention with scores that stay random."""
    place = f"place = {line_size(gradient)} * (source + e)"
    sums = [
        *_clear("0"),
        "for e in range(n):",
        f"    {place}",
        "    for j in range(lanes):",
        *indent(2, _add(attention.squares, "0", "lines", "place", gradient, single)),
    ]
    loop = mapping("attend_sqrt", None, own, gradient, single, [place], sources={"s": ["place"]})
    return text_of([*_begun(own, gradient, single), *indent(1, sums), *loop])
