"""Source in CUDA C++ of the kernel that fills Gram matrices of rows without positions.

`tiles.cuh` has what is the same for all programs. Here are the cases of its ``switch`` over the
steps, one for each kind of step, from the same traces as the compiled loops of `tiles`. A kernel
serves all programs with these kinds of steps, of any depth and with any parameters.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from ...formulas import gaps, tile_traces
from ...formulas.series import trace_end, trace_share, trace_sums
from ..packing.tiles import place_of
from .cuda_text import assembled, piece
from .tiles import INPUT, indent, names_of_sums

NAME = "fill_tiles"

COLUMNS = 32
"""Columns of a block of threads, the lanes of a warp."""

SHAPES = {False: (4, 8), True: (1, 4)}
"""Rows of a thread and warps of a block of threads, without and with derivatives."""

SIDE = {
    "X": "const double *",
    "inverse": "const double *",
    "norms": "const T *",
    "scales": "const T *",
    "squares": "const T *",
    "heads": "const T *",
    "rates": "const T *",
    "coefficients": "const T *",
    "coefficient_rates": "const T *",
    "n": "place_t",
    "start": "place_t",
    "n_held": "place_t",
}

PARAMETERS = {
    "n_steps": "int",
    "kinds": "const int *",
    "numbers": "const T *",
    "n_numbers": "int",
    "spans": "const int *",
    "orders": "const T *",
    "n_terms": "place_t",
    "products": "const T *",
    **{f"left_{name}": kind for name, kind in SIDE.items()},
    **{f"right_{name}": kind for name, kind in SIDE.items()},
    "d": "int",
    "near": "T",
    "symmetric": "int",
    "scaled": "T",
    "moved": "T",
    **dict.fromkeys(("i0", "i1", "j0", "j1"), "int"),
    **dict.fromkeys(("nngp", "ntk", "dnngp", "dntk"), "T *"),
    **dict.fromkeys(("nngp_mirror", "ntk_mirror", "dnngp_mirror", "dntk_mirror"), "T *"),
    **dict.fromkeys(("out_step", "mirror_step", "out_plane", "mirror_plane"), "place_t"),
    "n_outputs": "int",
}
"""Parameters of the kernel, in their order, and their types.

``kinds`` (n_steps,) is the case of each step; ``numbers`` (n_steps, n_numbers), ``spans`` (n_steps,
2) and ``orders`` (2, n_terms) are those of `packing.tile.Tile`. The sides are `TileSide`, with
``n`` numbers from one entry of a head to the next; coefficients (n_terms, n_held) are those of the
rows from ``start``. The block has the rows ``i0 .. i1`` and the columns ``j0 .. j1``, whose inner
products ``products`` are (i1 - i0, j1 - j0). Rates of the gaps of the inputs are ``scaled`` times
the gap, and ``moved``. Results are null where they are not wanted; their first entries are those of
the pair (i0, j0), mirrored (j0, i0), a step leads to the next row, and a plane to the next matrix.
"""


class Kinds(NamedTuple):
    """What a kernel is written for.

    ``cases`` are pairs: a rule of `formulas.gaps.RULES`, "pointwise", "series", "add", "save",
    "swap" or "output", and for "pointwise" the class of the activation, else None. ``moves`` is
    whether rates are along the left row, as `inputs` says of traces ``by_rows``.
    """

    cases: tuple
    gradient: bool
    moves: bool
    n_ntks: int
    stack_size: int
    single: bool

    def places(self, program):
        """Array (n_steps,) of the case of each step of a program."""
        return np.array([self.cases.index(case_of(step)) for step in program.steps], np.int32)


def case_of(step):
    """The pair of `Kinds` for a step of a program."""
    if step.rule in ("affine", "pointwise"):
        return "pointwise", type(step.activation)
    return step.rule, None


def kinds_of(program, gradient, single):
    """`Kinds` of a program."""
    names = {case: (case[0], getattr(case[1], "name", "")) for case in map(case_of, program.steps)}
    moves = gradient and program.by_rows in ("std", "left")
    cases = tuple(sorted(names, key=names.get))
    return Kinds(cases, gradient, moves, program.n_ntks or 1, program.stack_size, single)


def _reads(names, cls):
    """Code that reads the inputs of a trace: before the loop over the rows of a thread, inside."""
    before, inside = [], []
    for name in names:
        if name in gaps.NUMBERS or name.startswith("self_"):
            is_own = name not in gaps.NUMBERS
            place = place_of(name[5:], cls) if is_own else gaps.NUMBERS.index(name)
            before.append(f"const T {name} = number[{place}];")
        elif INPUT.fullmatch(name):
            letter, index, p = INPUT.fullmatch(name).groups()
            side = {"x": "left", "y": "right"}.get(letter)
            row = {"x": "i", "y": "j"}.get(letter)
            code = {"s": f"s[r][{index}]", "z": f"stack[height][r][{index}]"}.get(letter)
            if side:
                code = f"{side}{'' if p is None else f'_{p}'}[{index} * {side}_n + {row}]"
            if code:  # numbers behind a series are variables already
                (before if letter == "y" else inside).append(f"const T {name} = {code};")
    return before, inside


_ROWS = [
    "#pragma unroll",
    "for (int r = 0; r < ROWS; ++r) {",
    "  const int i = top + r < i1 ? top + r : i1 - 1;",
]

_FOLLOW = """\
for (int p = 1; p < N_NTKS; ++p) {
  const T shared = left[2 * left_n + i] * right[2 * right_n + j] - T(0.5) * s[r][0];
  s[r][1 + p] = FACTOR * s[r][1 + p] + number[n_numbers - N_NTKS + p] * shared;
}"""
"""Code that applies a step to further NTKs: ``T <- factor T + trained K``."""


def _mapped(outputs, kinds, cls=None, start=()):
    """Code of a step that replaces the state by the outputs of a trace.

    ``start`` are names of inputs and lines for each row that come before these.
    """
    several = kinds.n_ntks > 1
    more, first = start or ((), ())
    traced = tile_traces.with_slope(outputs) if several else outputs
    inputs, lines, texts = piece(traced, kinds.single)
    before, inside = _reads(dict.fromkeys([*more, *inputs]), cls)
    stores = [f"s[r][{part}] = {text};" for part, text in enumerate(texts[: len(outputs)])]
    follow = _FOLLOW.replace("FACTOR", texts[-1]).splitlines() if several else []
    return [*before, *_ROWS, *indent(1, [*inside, *first, *lines, *stores, *follow]), "}"]


def _add(kinds):
    """Code of an `Add`, which pops the last state of the stack."""
    outputs = tile_traces.trace_add_pair(kinds.gradient, kinds.moves)
    code = _mapped(outputs, kinds._replace(n_ntks=1))
    more = "for (int p = 2; p <= N_NTKS; ++p) s[r][p] += stack[height][r][p];"
    return ["--height;", *code[:-1], *indent(1, [more] * (kinds.n_ntks > 1)), "}"]


_EACH = "for (int r = 0; r < ROWS; ++r) for (int part = 0; part < PARTS; ++part)"

SAVE = f"""\
#pragma unroll
{_EACH} stack[height][r][part] = s[r][part];
++height;"""

SWAP = f"""\
#pragma unroll
{_EACH} {{
  const T saved = stack[height - 1][r][part];
  stack[height - 1][r][part] = s[r][part];
  s[r][part] = saved;
}}"""

_OUTPUT = """\
const T y2 = right[2 * right_n + j];
#pragma unroll
for (int r = 0; r < ROWS; ++r) {
  const int i = top + r;
  if (!WANTED(i)) continue;
  const T x2 = left[2 * left_n + i];
  if (nngp) places.put(nngp, nngp_mirror, output, i, j, 1, 0, x2 * y2 - T(0.5) * s[r][0]);
  for (int p = 0; p < N_NTKS; ++p)
    if (ntk) places.put(ntk, ntk_mirror, output + p * n_outputs, i, j, 1, 0, s[r][1 + p]);
RATES
}
++output;"""

_OUTPUT_RATES = """\
  for (int p = 0; p < 2; ++p) {
    const T dx = (p ? left_1 : left_0)[2 * left_n + i];
    const T dy = (p ? right_1 : right_0)[2 * right_n + j];
    const T rate = dx * y2 + x2 * dy - T(0.5) * s[r][2 + p];
    if (dnngp) places.put(dnngp, dnngp_mirror, output, i, j, 2, p, rate);
    if (dntk) places.put(dntk, dntk_mirror, output, i, j, 2, p, s[r][4 + p]);
  }"""


def _output(kinds):
    """Code that stores NNGP and NTKs, and derivatives, as those of the next output."""
    return _OUTPUT.replace("RATES", _OUTPUT_RATES if kinds.gradient else "").splitlines()


def series_duals(kinds, is_position, orders, reads, first, stop):
    """Inputs of gap and slope behind a series, and code that sets them, ``d0``, ``d1``, ...

    ``orders`` and ``reads`` are code that reads the order of coefficient ``q``, and the
    coefficients ``u`` and ``v`` of row and column with ``du`` and ``dv``, their derivatives with
    respect to ``log s^2``; ``first <= q < stop``. For the sums see `formulas.series`.
    """
    gradient, single = kinds.gradient, kinds.single
    names = names_of_sums(gradient)
    inputs, lines, (share,) = piece((trace_share(is_position),), single)
    values = {"share": share, "step": share, "step_s": "T(1.0)"}
    start = [f"{name} = {values.get(name, 'T(0.0)')};" for name in names]
    more, end, duals = piece(trace_end(gradient, is_position), single)
    code = [
        *(f"T {name};" for name in names),
        *("{", *indent(1, [*lines, *start]), "}"),
        f"for (place_t q = {first} + 1; q < {stop}; ++q) {{",
        *indent(1, [*orders, *reads]),
        *indent(1, ["if (doubles > T(0.0)) {", *indent(1, _moved("double", names, kinds)), "}"]),
        *indent(1, ["{", *indent(1, _moved("term", names, kinds)), "}"]),
        "}",
        *(f"T d{part};" for part in range(len(duals))),
        "{",
        f"  const place_t q = {first};",
        *indent(1, [*reads, *end, *(f"d{part} = {text};" for part, text in enumerate(duals))]),
        "}",
    ]
    return [*inputs, *more], code


def _series(kinds):
    """Code of a `Pointwise` step whose activation is a series."""
    reads = []
    for letter in ("", "d") if kinds.gradient else ("",):
        array = "coefficient_rates" if letter else "coefficients"
        for name, side, row in (("u", "left", "i"), ("v", "right", "j")):
            place = f"q * {side}_n_held + {row} - {side}_start"
            reads.append(f"const T {letter}{name} = {side}_{array}[{place}];")
    orders = ["const T order = orders[q], doubles = orders[n_terms + q];"]
    start = series_duals(kinds, False, orders, reads, "from", "from + length")
    affine = tile_traces.trace_affine_pair(kinds.gradient, kinds.moves)
    spans = ["const place_t from = spans[2 * k], length = spans[2 * k + 1];"]
    return spans + _mapped(affine, kinds, None, start)


def _moved(name, names, kinds):
    """Code that replaces the sums of a series by new ones."""
    _, lines, texts = piece(trace_sums(name, kinds.gradient), kinds.single)
    changed = [pair for pair in zip(names[1:], texts, strict=True) if pair[0] != pair[1]]
    new = [f"const T new_{name} = {text};" for name, text in changed]
    return [*lines, *new, *(f"{name} = new_{name};" for name, _ in changed)]


def _code(case, kinds):
    """Lines of one case of the ``switch``."""
    rule, cls = case
    if rule in gaps.RULES:
        traced = tile_traces.trace_rule_pair(rule, kinds.gradient, kinds.moves)
        return _mapped(traced, kinds)
    if rule == "pointwise":
        return _mapped(tile_traces.trace_map_pair(cls, kinds.gradient, kinds.moves), kinds, cls)
    if rule in ("save", "swap"):
        return (SAVE if rule == "save" else SWAP).splitlines()
    return {"add": _add, "output": _output, "series": _series}[rule](kinds)


@cache
def source(kinds):
    """Source of the kernel ``fill_tiles`` for these `Kinds`."""
    rows, warps = SHAPES[kinds.gradient]
    constants = {"COLUMNS": COLUMNS, "WARPS": warps, "ROWS": rows}
    return assembled("tiles.cuh", kinds, PARAMETERS, _code, **constants)
