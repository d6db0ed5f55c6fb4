"""Text of kernels in CUDA C++: formulas as code, and files completed by what a program needs."""

from pathlib import Path

from ...formulas import gaps
from ...formulas.writing import Writer, statements
from .tiles import SMALL, indent

COMMON = """typedef long long place_t;
__device__ __forceinline__ T larger(T x, T y) { return y > x ? y : x; }
__device__ __forceinline__ T smaller(T x, T y) { return y < x ? y : x; }
"""
"""What the text of each file stands behind."""


class Lines(Writer):
    """Writes formulas as C++ for numbers of the type ``T``."""

    def __init__(self, single):
        self.single = single

    def constant(self, number):
        """A number of the type ``T``."""
        return f"T({SMALL.get(number, number) if self.single else number!r})"

    def operation(self, name, texts, are_truths):
        """Code of an operation; a product with a truth value selects the other factor or zero."""
        if name == "multiply" and any(are_truths):
            place = are_truths.index(True)
            return f"({texts[place]} ? {texts[1 - place]} : T(0.0))"
        named = {"maximum": "larger", "minimum": "smaller", "arctan2": "atan2", "abs": "fabs"}
        return super().operation(named.get(name, name), texts, are_truths).removeprefix("np.")


def piece(outputs, single):
    """Inputs, lines of C++, and texts of the results of traced formulas."""
    inputs, lines, texts = statements(outputs, Lines(single))
    return inputs, [f"const auto {line};" for line in lines], texts


def completed(name, kinds, parameters, constants, head=(), **missing):
    """Source of kernels: types, lines ``head``, constants, and the text of a file of this name.

    The ``parameters`` of kernels stand for PARAMETERS, and lines for the words of ``missing``.
    """
    head = [f"typedef {'float' if kinds.single else 'double'} T;", *head]
    head += [f"#define {constant} {number}" for constant, number in constants.items()]
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    for word, lines in missing.items():
        text = text.replace(f"{word}\n", "\n".join(lines) + "\n", 1)
    signature = ", ".join(f"{kind} {parameter}" for parameter, kind in parameters.items())
    return "\n".join([*head, COMMON, text.replace("(PARAMETERS)", f"({signature})")])


def assembled(name, kinds, parameters, code, head=(), **constants):
    """Source of a kernel that goes through steps: `completed`, with the cases of its ``switch``.

    ``code(case, kinds)`` are the lines of a case.
    """
    constants |= {
        "WIDTH": gaps.WIDTH,
        "GRADIENT": int(kinds.gradient),
        "N_NTKS": kinds.n_ntks,
        "PARTS": 6 if kinds.gradient else 1 + kinds.n_ntks,
        "STACK": kinds.stack_size,
    }
    cases = []
    for place, case in enumerate(kinds.cases):
        cases += [f"case {place}: {{", *indent(1, code(case, kinds)), "} break;"]
    return completed(name, kinds, parameters, constants, head, CASES=indent(3, cases))
