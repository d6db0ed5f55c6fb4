"""Source in CUDA C++ of the kernels that run schedules on lines, the states of pairs of positions.

`lines.cuh` has the kernels that are the same for all programs. Here are those that apply a formula,
one for each kind of step, written from the same traces as the compiled loops of `lines`.
"""

from functools import cache
from typing import NamedTuple

from ...formulas import attention, distances, line_traces
from ..packing.tiles import place_of
from ..schedule.fields import MOST_SAVED
from .cuda import series_duals
from .cuda_text import completed, piece
from .tiles import INPUT, indent

COLUMNS, WARPS = 32, 8
"""Lanes, and lines, of a block of threads."""

THREADS = 256
"""Most threads of a block for a field, a power of 2."""

HEAD, CODE = 16, 15
"""Numbers of the table of a field before its codes, and of a code."""

FIELDS = ("step", "out", "size", "left", "right", "sources", "terms", "others")
"""Fields of an operation: its step, its first line, its number of lines, where its tables begin
(positions of both rows, lines that it reads), the number of lines that are summed, and where a
further table begins, or the number of a line."""

PARAMETERS = {
    "o": "int",
    "ops": "const place_t *__restrict__",
    "tables": "const int *__restrict__",
    "steps": "const place_t *__restrict__",
    "numbers": "const T *__restrict__",
    "n_numbers": "int",
    "constants": "const T *__restrict__",
    "channels": "int",
    "left_X": "const T *__restrict__",
    "right_X": "const T *__restrict__",
    "left_records": "const T *__restrict__",
    "right_records": "const T *__restrict__",
    "left_n": "place_t",
    "right_n": "place_t",
    "left_row": "place_t",
    "right_row": "place_t",
    "left_X_row": "place_t",
    "right_X_row": "place_t",
    "cases": "const int *__restrict__",
    "own": "int",
    "left": "const int *__restrict__",
    "right": "const int *__restrict__",
    "n_pairs": "int",
    "n_lanes": "place_t",
    "lines": "T *",
    "results": "T *",
}
"""Parameters of all kernels, in their order, and their types.

``o`` is the operation, a row of ``ops``. For ``steps``, ``numbers`` and ``constants`` see
`numba.lines.Lines`, and for the sides `packing.lines.LineSide`; the numbers of one row are ``n``
apart, and rows are ``row`` apart, or ``X_row``. For ``cases`` see `Launches.field_cases`: they are
the numbers of these in `Kinds`. Lane ``l`` is the
pair of the rows ``left[l]`` and ``right[l]``, for ``l < n_pairs``; with ``own`` they are the same.
A line has ``n_lanes`` numbers for each part. The kernel ``finish`` writes ``results`` (parts,
n_pairs): NNGP, NTK, their rates.
"""

KERNEL = 'extern "C" __global__ void __launch_bounds__(COLUMNS * WARPS) '
"""What comes before the name of a kernel, in place of ``KERNEL``."""


class Kinds(NamedTuple):
    """What kernels are written for: ``cases`` are pairs of a rule and a class of activations.

    The rules are those of `line_traces.trace_pair`, and the class is None where they need none.
    ``field_cases`` are those inside of fields.
    """

    cases: tuple
    field_cases: tuple
    gradient: bool
    single: bool

    def kernel(self, case):
        """Name of the kernel of a case; other kernels have the name that stands for the case."""
        return f"map_{self.cases.index(case)}" if isinstance(case, tuple) else case


def kinds_of(cases, field_cases, gradient, single):
    """`Kinds` for these cases, some of which may be names of kernels."""

    def ordered(some):
        maps = {case for case in some if isinstance(case, tuple)}
        return tuple(sorted(maps, key=lambda case: (case[0], getattr(case[1], "name", ""))))

    return Kinds(ordered(cases), ordered(field_cases), gradient, single)


def _slot(index, p):
    """Code of the number of an entry of a record, or of its rate along direction ``p``."""
    return index if p is None else f"({index} + {int(p) + 1} * width)"


def _reads(names, rule, cls):
    """Code that reads the inputs of a trace."""
    lines, numbers = [], line_traces.pair_numbers(rule)
    for name in dict.fromkeys(names):
        found = INPUT.fullmatch(name)
        if name in numbers:
            row = "number - n_numbers" if rule == "joined" else "number"
            code = f"({row})[{numbers.index(name)}]"
        elif name.startswith("self_"):
            code = f"number[{place_of(name[5:], cls)}]"
        elif found and found[1] in "xy":
            code = f"{found[1]}[d{found[1]} * {_slot(found[2], found[3])}]"
        elif found:
            code = f"{found[1]}[{found[2]}]"
        else:  # a variable
            continue
        lines.append(f"const T {name} = {code};")
    return lines


def _formula(case, kinds, more=()):
    """Code that replaces the state ``s`` by the formula of a case.

    ``more`` are further inputs, and lines that come before the formula and may set its inputs.
    """
    rule, cls = case
    inputs, lines, texts = piece(line_traces.trace_pair(rule, cls, kinds.gradient), kinds.single)
    names, before = more or ((), ())
    declared = {line.split()[1].strip(";") for line in before if line.startswith("T ")}
    reads = _reads([*names, *(name for name in inputs if name not in declared)], rule, cls)
    stores = [f"s[{part}] = {text};" for part, text in enumerate(texts)]
    equal = [f"EQUAL({'number[0]' if rule in distances.NOISY else 'T(1.0)'})"]
    return [*reads, *before, *lines, *stores, *equal * (rule != "covariance")]


def _mapped(kernel, case, kinds, start=("TAKE",), more=(), end="PUT"):
    """Code of a kernel that replaces a state by the formula of a case.

    ``start`` is code that sets the state; for ``more`` see `_formula`.
    """
    code = [*_PAIR, *start, *_formula(case, kinds, more), end]
    return [f"KERNEL {kernel}(PARAMETERS) {{", *indent(1, code), "}"]


_PAIR = ["BEGIN", "STEP_OF(op[STEP])", "POSITIONS", "RECORDS"]
"""Code that begins a kernel for pairs of positions."""


def _blend():
    """Code that reads the state of the input of a recurrence."""
    return ["TAKE", "T z[PARTS];", "EACH_PART z[part] = AT(TABLE(OTHERS, e), part);"]


def _embed():
    """Code that reads covariances of an embedding."""
    start = ["const T *table = constants + layout[3];"]
    start += ["const T both = table[count * p + q];"]
    start += ["const T own_left = table[count * p + p], own_right = table[count * q + q];"]
    return ["TAKE", *start]


def _series(kinds):
    """Further inputs and lines of a series; its orders are pairs of numbers in ``constants``."""
    head = line_traces.SERIES_HEAD
    orders = [f"const T *at = constants + layout[3] + 2 * (q - {head});"]
    orders += ["const T order = at[0], doubles = at[1];"]
    reads = []
    for letter in ("", "d") if kinds.gradient else ("",):
        slot = "(q + width)" if letter else "q"
        for name, side in (("u", "x"), ("v", "y")):
            reads.append(f"const T {letter}{name} = {side}[d{side} * {slot}];")
    return series_duals(kinds, True, orders, reads, head, "width")


def _terms(formula, weight, source, kinds):
    """Code that adds the terms of a sum of attention to ``total``.

    ``weight(slot)`` is code of an entry of the record that has attention weights, or None.
    """
    inputs, lines, texts = piece(attention.trace(formula, kinds.gradient), kinds.single)
    reads = []
    for name in inputs:
        part = int(name[1:])
        if name[0] == "d":
            p = (None, 0, 1)[attention.VALUE.index(part)]
            code = weight(_slot("(4 + row)", p))
        else:
            code = f"AT({source}, {part})"
        reads.append(f"const T {name} = {code};")
    sums = [f"total[{part}] += {text};" for part, text in enumerate(texts)]
    return [*reads, *lines, *sums]


def _loop(side, position, source, kinds):
    """Code that sums over the positions of a row, by its attention weights of an output position.

    ``total`` becomes the sum of the lines ``source``, code with the position ``a`` that is summed.
    """
    letter = {"left": "x", "right": "y"}[side]

    def weight(slot):
        return f"{letter}[d{letter} * {slot} + (a - row) * {side}_n]"

    return [
        "T total[PARTS];",
        "EACH_PART total[part] = T(0.0);",
        f"const int row = {position};",
        "for (int a = 0; a < count; ++a) {",
        *indent(1, _terms(attention.weigh, weight, source, kinds)),
        "}",
        "EACH_PART s[part] = total[part];",
    ]


def _weigh_left(kinds):
    """Kernel that sums over the left positions: a line for each of both positions (p, q)."""
    loop = _loop("left", "p", "TABLE(SOURCES, count * a + q)", kinds)
    return ["KERNEL weigh(PARAMETERS) {", *indent(1, [*_PAIR, *loop, "PUT"]), "}"]


def _squares(kinds):
    """Kernel that sums squares, as ``scatter`` sums lines."""
    terms = " ".join(_terms(attention.squares, None, "source", kinds))
    return ["KERNEL squares(PARAMETERS) {", "  BEGIN", f"  SUM({{ {terms} }})", "}"]


def _kernels(case, kinds):
    """Lines of the kernels that a case needs."""
    rule = case[0]
    kernel = kinds.kernel(case)
    if rule == "series":
        return _mapped(kernel, case, kinds, more=_series(kinds))
    if rule == "recur":
        return _mapped(kernel, case, kinds, _blend())
    if rule == "embed":
        return _mapped(kernel, case, kinds, _embed())
    if rule == "attend_linear":
        right = _loop("right", "q", "TABLE(SOURCES, count * p + a)", kinds)
        return _weigh_left(kinds) + _mapped(kernel, case, kinds, right)
    if rule == "attend_sqrt":
        sums = ["TAKE", "T d[PARTS];", "EACH_PART d[part] = AT(op[OTHERS], part);"]
        return _squares(kinds) + _mapped(kernel, case, kinds, sums)
    return _mapped(kernel, case, kinds)


@cache
def source(kinds):
    """Source of the kernels for these `Kinds`."""
    constants = {
        "COLUMNS": COLUMNS,
        "WARPS": WARPS,
        "THREADS": THREADS,
        "HEAD": HEAD,
        "CODE": CODE,
        "MOST_FIELDS": 2 + MOST_SAVED,
        "GRADIENT": int(kinds.gradient),
        "PARTS": 6 if kinds.gradient else 2,
        "FIELDS": len(FIELDS),
    }
    constants |= {name.upper(): place for place, name in enumerate(FIELDS)}
    end = "EACH_PART results[(place_t)part * n_pairs + lane] = s[part];"
    maps = _mapped("finish", ("covariance", None), kinds, end=end)
    for case in kinds.cases:
        maps += ["", *_kernels(case, kinds)]
    missing = {"MAPS": maps, "CASES": indent(4, _field_cases(kinds))}
    text = completed("lines.cuh", kinds, PARAMETERS, constants, **missing)
    return text.replace("KERNEL ", KERNEL)


def _field_cases(kinds):
    """Lines of the cases inside of fields: loops over the places of a field."""
    lines = []
    for place, case in enumerate(kinds.field_cases):
        body = ["RECORDS", "TAKE_WINDOW", *_formula(case, kinds), "PUT_CELL"]
        loop = ["STEP_OF(code[1])", "EACH_PLACE(grid)", *indent(1, body), "}"]
        lines += [f"case {place}: {{", *indent(1, loop), "} break;"]
    return lines
