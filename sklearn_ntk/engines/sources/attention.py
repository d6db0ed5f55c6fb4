"""Sources of the compiled loops of attention, a `Mix`: over all lines of a block of pairs of rows.

For ``count`` positions, line ``source + count p + q`` is the pair ``(p, q)`` before the attention.
A first loop replaces the distances of all lines by covariances, then the terms of
`formulas.attention` are summed.
"""

from ...formulas import attention
from ...formulas.writing import statements
from .line_loops import line_size, of_left, short, slot_of
from .lines import mapping
from .tiles import Scalars, indent, text_of


def _clear(line):
    """Code that sets a line to zero; ``line`` is its array and place, such as ``"work, half"``."""
    return ["for j in range(whole):", f"    store({line} + j, F(0.0))"]


def _add(formula, target, source, gradient, single):
    """Code that adds the outputs of a formula, applied to the line ``source``, to ``target``.

    The terms of an output that is a sum are added one by one: one fused multiply-add for each.
    """
    outputs = attention.trace(formula, gradient)
    terms = tuple(node.arguments if node.operation == "add" else (node,) for node in outputs)
    inputs, lines, texts = statements(terms, Scalars(single))
    states = [name for name in inputs if name[0] == "s"]
    reads = [f"{name} = load({source} + LANES * {name[1:]} + j)" for name in states]
    for part, summands in enumerate(texts):
        at = f"{target} + LANES * {part} + j"
        lines.append(f"store({at}, {' + '.join([f'load({at})', *summands])})")
    return [*reads, *lines]


def _weights(position, own, base, gradient):
    """Code that reads an attention weight and its rates as ``d0``, ``d2`` and ``d3``.

    ``position`` is code of the output position; for the other arguments see `of_left`.
    """
    parts = list(zip(attention.VALUE, (None, 0, 1), strict=True))[: 3 if gradient else 1]
    slots = ((part, slot_of(f"(4 + {position})", p)) for part, p in parts)
    return [f"d{part} = {of_left(slot, own, base)}" for part, slot in slots]


def linear(own, gradient, single):
    """Source of ``S K R'`` and ``S T R'`` for the attention weights ``S`` and ``R`` of both rows.

    For one left position ``p`` the sums ``sum_a S[p, a] K[a, b]`` over all ``a``, one for each
    ``b``, are lines of ``work``, computed with the pair ``(p, 0)``.
    """
    size, options = line_size(gradient), (gradient, single)
    base = "ny * (first + a) + j0" if own else "nx + first + a"
    lefts, rights = _weights("p", own, base, gradient), _weights("q", True, "base", gradient)
    before = [
        "p, q = tables[t + e], tables[t + n + e]",
        "if q == 0:",
        "    for b in range(count):",
        f"        half = {size} * b",
        *indent(2, _clear("work, half")),
        "        for a in range(count):",
        f"            place = {size} * (source + count * a + b)",
        *indent(3, lefts * (not own)),
        "            for j in range(lanes):",
        *indent(4, [*lefts * own, *_add(attention.weigh, "work, half", "lines, place", *options)]),
        *_clear("lines, at"),
        "for b in range(count):",
        f"    half, base = {size} * b, ny * (first + b) + j0",
        "    for j in range(lanes):",
        *indent(2, [*rights, *_add(attention.weigh, "lines, at", "work, half", *options)]),
    ]
    return text_of([
        *short(gradient),
        "    work, source, target = tile.work, ops[o, 5], out",
        "    out = source",
        *mapping("covariance", None, own, gradient, single),
        "    out = target",
        *mapping("attend_linear", None, own, gradient, single, before),
    ])  # fmt: skip


def square_root(own, gradient, single):
    """Source of the attention with scaling "sqrt".

    The covariances are written to the lines of the result; their sums are a line of ``work``.
    """
    size = line_size(gradient)
    before, sources = [f"place = {size} * (ops[o, 5] + e)"], {"s": ["place"]}
    sums = [
        "work = tile.work",
        *_clear("work, 0"),
        "for e in range(n):",
        f"    at = {size} * (out + e)",
        "    for j in range(lanes):",
        *indent(2, _add(attention.squares, "work, 0", "lines, at", gradient, single)),
    ]
    return text_of([
        *short(gradient),
        *mapping("covariance", None, own, gradient, single, before, sources=sources),
        *indent(1, sums),
        *mapping("attend_sqrt", None, own, gradient, single),
    ])  # fmt: skip
