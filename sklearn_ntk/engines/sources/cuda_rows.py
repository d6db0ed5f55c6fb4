"""Source in CUDA C++ of the kernel that runs programs on single rows without positions.

`rows.cuh` has what is the same for all programs; here are the cases of its ``switch``, as those of
`cuda` for pairs. Programs with series, whose coefficients SciPy computes, run on the CPU.
"""

from functools import cache

from ...formulas import gaps, tile_traces
from ...formulas.tracing import Graph
from ..packing.tiles import place_of
from ..reference.tiles import row_of_output
from .cuda import SAVE, SWAP
from .cuda_text import assembled, piece
from .tiles import INPUT

NAME = "scan_rows"

NUMBERS = (*gaps.ROW_NUMBERS, "kept")
"""Numbers of a step that formulas for rows read."""

THREADS = 128
"""Threads of a block, a row each."""

PARAMETERS = {
    "n_steps": "int",
    "kinds": "const int *",
    "numbers": "const double *",
    "n_numbers": "int",
    "factors": "const double *",
    "n": "int",
    "variances": "const double *",
    "variance_rates": "const double *",
    "most": "double",
    "heads": "R *",
    "rates": "R *",
    "largest": "double *",
    "n_outputs": "int",
    **dict.fromkeys(("variance", "ntk", "dvariance", "dntk"), "double *"),
}
"""Parameters of the kernel, in their order, and their types.

``numbers`` (n_steps, n_numbers) are those of `pack_numbers` for `NUMBERS`, and ``factors``
(n_steps, WIDTH) those of `rows.tiles.checked_entries`, else zero. ``most`` is the largest number of
a record. Results are the heads (n_steps, WIDTH, n) of the records and their rates (2, n_steps,
WIDTH, n), the largest number (n,) of each row that is checked, and the diagonals of `TileRows`.
"""


def _read(name, cls):
    """Code of an input of a trace."""
    if name in NUMBERS:
        return f"number[{NUMBERS.index(name)}]"
    if name.startswith("self_"):
        return f"number[{place_of(name[5:], cls, NUMBERS)}]"
    letter, index, _ = INPUT.fullmatch(name).groups()
    return {"s": f"s[{index}]", "z": f"stack[height][{index}]"}[letter]


_FOLLOW = """\
for (int p = 1; p < N_NTKS; ++p)
  s[1 + p] = FACTOR * s[1 + p] + number[n_numbers - N_NTKS + p] * s[0];"""
"""Code that applies a step to further NTKs: ``T <- factor T + trained K``."""


def _mapped(traced, kinds, cls=None):
    """Code of a step, from the outputs for the state, for the record, and for its rates."""
    state, record, rates = traced
    several = kinds.n_ntks > 1
    state = tile_traces.with_slope(state) if several else state
    inputs, lines, (texts, record, rates) = piece((state, record, rates), False)
    reads = [f"const double {name} = {_read(name, cls)};" for name in inputs]
    texts, factor = (texts[:-1], texts[-1]) if several else (texts, "")
    puts = [f"RECORD({f}, {text})" for f, text in enumerate(record)]
    puts += [
        f"RATE({p}, {f}, {text})" for p, rate in enumerate(rates) for f, text in enumerate(rate)
    ]
    stores = [f"s[{part}] = {text};" for part, text in enumerate(texts)]
    follow = _FOLLOW.replace("FACTOR", factor).splitlines() if several else []
    return [*reads, *lines, *puts, *stores, *follow]


def _add(kinds):
    """Code of an `Add`, which pops the last state of the stack."""
    traced = tile_traces.trace_row("add", None, kinds.gradient)
    more = "for (int p = 2; p <= N_NTKS; ++p) s[p] += stack[height][p];"
    return ["--height;", *_mapped(traced, kinds._replace(n_ntks=1)), *[more] * (kinds.n_ntks > 1)]


_OUTPUT = """\
variance[(place_t)output * n + i] = s[0];
for (int p = 0; p < N_NTKS; ++p) ntk[((place_t)output + p * n_outputs) * n + i] = s[1 + p];
RATES
++output;"""

_OUTPUT_RATES = """\
for (int p = 0; p < 2; ++p) {
  dvariance[((place_t)output * n + i) * 2 + p] = s[2 + p];
  dntk[((place_t)output * n + i) * 2 + p] = s[4 + p];
}"""


def _output(kinds):
    """Code that stores variance and NTKs, and derivatives, as those of the next output."""
    names = [f"s{part}" for part in range(6 if kinds.gradient else 2)]
    state = Graph().inputs(*names)
    stored = _mapped((state, *row_of_output(state)), kinds._replace(n_ntks=1))
    return [*stored, *_OUTPUT.replace("RATES", _OUTPUT_RATES * kinds.gradient).splitlines()]


def _code(case, kinds):
    """Lines of one case of the ``switch``."""
    rule, cls = case
    if rule == "series":
        return []  # no program with one comes here
    if rule in ("save", "swap"):
        return (SAVE if rule == "save" else SWAP).replace("[r]", "").splitlines()
    if rule in ("add", "output"):
        return (_add if rule == "add" else _output)(kinds)
    return _mapped(tile_traces.trace_row(rule, cls, kinds.gradient), kinds, cls)


@cache
def source(kinds):
    """Source of the kernel ``scan_rows`` for these `cuda.Kinds`, which have no series."""
    head = [f"typedef {'float' if kinds.single else 'double'} R;"]
    constants = {"THREADS": THREADS, "ROWS": 1}
    kinds = kinds._replace(single=False)
    return assembled("rows.cuh", kinds, PARAMETERS, _code, head, **constants)
