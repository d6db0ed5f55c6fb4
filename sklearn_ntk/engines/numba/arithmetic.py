"""Arithmetic of the sources as LLVM code, past numba's inference of types.

Formulas are hundreds of lines ``t7 = t3 * t5``, whose variables are all numbers of one type, or
truth values. Numba infers the type of each of them anew, which takes most of the time that it takes
to compile a loop. So a run of such lines becomes one call of an intrinsic, ``t7, t9 =
run0((t3, t5))``, for which the code of each line is generated at once, the same as numba's.
"""

import ast
import re
from itertools import groupby

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

LINE = re.compile(r"( *)([abgt]\d+) = (.*)")
"""A line of a formula: names of one letter, which `sources` gives to temporary numbers."""

NAME = re.compile(r"(?<![\w.])(?!(?:max|min|select|F|np)\b)[a-zA-Z]\w*")
"""A name in a line, other than those of functions."""

_BINARY = {
    ast.Add: "fadd",
    ast.Sub: "fsub",
    ast.Mult: "fmul",
    ast.Div: "fdiv",
    ast.BitOr: "or_",
    ast.BitAnd: "and_",
}
_COMPARISONS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_LARGER = {"max": ">", "min": "<"}


def with_runs(text, kind):
    """The source with a call in place of each run of lines of formulas, and the functions called.

    ``kind`` is the NumPy type of the numbers.
    """
    source, lines, functions = text.splitlines(), [], {}
    matches = [LINE.fullmatch(line) for line in source]
    for is_run, places in groupby(range(len(source)), lambda place: matches[place] is not None):
        places = list(places)
        if not is_run:
            lines += [source[place] for place in places]
            continue
        run = [matches[place] for place in places]
        others = _names(source[: places[0]] + source[places[-1] + 1 :])
        inputs, outputs = _ends(run, others)
        name = f"run{len(functions)}"
        functions[name] = _function([found[0].strip() for found in run], inputs, outputs, kind)
        lines.append(f"{run[0][1]}{', '.join(outputs)}, = {name}(({', '.join(inputs)}, ))")
    return "\n".join(lines), functions


def _names(lines):
    """The names in lines of code, in their order."""
    return dict.fromkeys(NAME.findall("\n".join(lines)))


def _ends(run, others):
    """Names that a run of lines reads from others, and those of its own that ``others`` contain."""
    targets = dict.fromkeys(found[2] for found in run)
    read = _names(found[3] for found in run)
    return [name for name in read if name not in targets], [t for t in targets if t in others]


def _function(lines, inputs, outputs, kind):
    """Intrinsic that computes lines from a tuple of the inputs."""
    number = types.float32 if kind is np.float32 else types.float64

    @intrinsic
    def run(typing_context, values):
        kinds = dict(zip(inputs, values, strict=True))
        wrong = {name: kind for name, kind in kinds.items() if kind not in (number, types.boolean)}
        if wrong:
            raise TypingError(f"Formulas are of {number} and truth values; got {wrong}.")
        steps = [(step.targets[0].id, step.value) for step in ast.parse("\n".join(lines)).body]
        for name, tree in steps:
            kinds[name] = types.boolean if _is_truth(tree) else number
        results = types.Tuple([kinds[name] for name in outputs])

        def generate(context, builder, signature, arguments):
            values = cgutils.unpack_tuple(builder, arguments[0])
            write = _Code(context, builder, number, dict(zip(inputs, values, strict=True)))
            for name, tree in steps:
                write.known[name] = write(tree)
            return context.make_tuple(builder, results, [write.known[name] for name in outputs])

        return results(values), generate

    return run


def _is_truth(tree):
    """Whether an operation gives a truth value."""
    if isinstance(tree, ast.BinOp):
        return isinstance(tree.op, (ast.BitOr, ast.BitAnd))
    return isinstance(tree, ast.Compare)


class _Code:
    """Writes operations as LLVM code; ``known`` maps names to their values."""

    def __init__(self, context, builder, number, known):
        self.context, self.builder, self.number, self.known = context, builder, number, known

    def __call__(self, tree):
        return getattr(self, f"_{type(tree).__name__.lower()}")(tree)

    def _name(self, tree):
        return self.known[tree.id]

    def _binop(self, tree):
        operation = getattr(self.builder, _BINARY[type(tree.op)])
        return operation(self(tree.left), self(tree.right))

    def _compare(self, tree):
        sign = _COMPARISONS[type(tree.ops[0])]
        compare = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
        return compare(sign, self(tree.left), self(tree.comparators[0]))

    def _call(self, tree):
        if isinstance(tree.func, ast.Attribute):
            return self._ufunc(getattr(np, tree.func.attr), [self(one) for one in tree.args])
        name = tree.func.id
        if name == "F":
            return self.context.get_constant(self.number, ast.literal_eval(tree.args[0]))
        values = [self(one) for one in tree.args]
        if name == "select":
            return self.builder.select(*values)
        first, second = values
        is_second = self.builder.fcmp_ordered(_LARGER[name], second, first)
        return self.builder.select(is_second, second, first)

    def _ufunc(self, ufunc, values):
        """Call of a ufunc for numbers, as numba compiles it."""
        typing_context = self.context.typing_context
        function = typing_context.resolve_value_type(ufunc)
        signature = function.get_call_type(typing_context, (self.number,) * len(values), {})
        return self.context.get_function(function, signature)(self.builder, values)
