"""Arithmetic of the sources as LLVM code, past numba's inference of types.

Formulas are hundreds of lines ``t7 = t3 * t5``, whose variables are all numbers of one type, or
truth values. They begin with constants, ``c0 = opaque(F(0.5))``, read ``s0 = load(state, row + j)``
and end with ``store(state, row + j, t7)``. Numba infers the type of each variable anew, which takes
most of the time that it takes to compile a loop. So a run of such lines becomes one call of an
intrinsic, ``t7, t9 = run0(t3, t5)``, for which the code of each line is generated at once, the same
as numba's.
"""

import ast
import inspect
import re
from itertools import groupby

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from ._private import pointer

MEMORY = "load", "store", "fetch", "put"
"""Functions of the sources that read or write memory."""

LINE = re.compile(
    r"( *)((?:[abgtch]\d+) = [^\[\]]+|\w+ = (?:load|fetch)\([^\[\]]+\)|(?:store|put)\([^\[\]]+\))"
)
"""A line of a formula: names of one letter, which `sources` gives to temporary numbers and to
constants; a line that reads numbers from memory; or one that writes a number there."""

NAME = re.compile(rf"(?<![\w.])(?!(?:max|min|select|F|np|opaque|{'|'.join(MEMORY)})\b)[a-zA-Z]\w*")
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
    names = [NAME.findall(line) for line in source]
    last = {name: place for place, found in enumerate(names) for name in found}
    first = {name: place for place, found in reversed([*enumerate(names)]) for name in found}

    def group_of(place):
        return matches[place] and matches[place][1]  # a change of depth ends a run

    for depth, places in groupby(range(len(source)), group_of):
        places = list(places)
        if depth is None:
            lines += [source[place] for place in places]
            continue
        run = [matches[place][2] for place in places]
        inputs, targets = _ends(run, names[places[0] : places[-1] + 1])
        outputs = [name for name in targets if first[name] < places[0] or last[name] > places[-1]]
        name = f"run{len(functions)}"
        functions[name] = _function(run, inputs, outputs, kind)
        target = f"{', '.join(outputs)} = " if outputs else ""
        lines.append(f"{depth}{target}{name}({', '.join(inputs)})")
    return "\n".join(lines), functions


def _ends(run, names):
    """Names that a run of lines reads before it sets them, and those that it sets.

    ``names`` are those in each line, in their order.
    """
    inputs, targets = {}, {}
    for line, found in zip(run, names, strict=True):
        is_set = " = " in line
        for name in found[is_set:]:
            if name not in targets:
                inputs[name] = None
        if is_set:
            targets[found[0]] = None
    return list(inputs), list(targets)


def _function(lines, inputs, outputs, kind):
    """Intrinsic that computes lines from its arguments, the inputs; parsed when it is compiled."""
    number = types.float32 if kind is np.float32 else types.float64

    def compute(typing_context, *arguments):
        run = ast.parse("\n".join(lines)).body
        kinds = _kinds(run, dict(zip(inputs, arguments, strict=True)), number)
        results = [kinds[name] for name in outputs]
        result = types.Tuple(results) if len(results) > 1 else [*results, types.void][0]

        def generate(context, builder, signature, values):
            code = _Code(context, builder, number, dict(zip(inputs, values, strict=True)), kinds)
            return code.results(run, outputs, result)

        return result(*arguments), generate

    parameter = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [inspect.Parameter(name, parameter) for name in ("typing_context", *inputs)]
    compute.__signature__ = inspect.Signature(names)
    return intrinsic(compute)


def _kinds(run, kinds, number):
    """Types of all names in statements, from those of the inputs, which are checked."""
    nodes = [node for step in run for node in ast.walk(step) if isinstance(node, ast.Call)]
    accesses = [node.args for node in nodes if getattr(node.func, "id", None) in MEMORY]
    places = {name for _, place, *_ in accesses for name in NAME.findall(ast.unparse(place))}
    arrays = {array.id for array, *_ in accesses}
    for name, kind in kinds.items():
        if name in arrays:
            is_right = isinstance(kind, types.Array) and kind.dtype == number
        elif name in places:
            is_right = isinstance(kind, types.Integer)
        else:
            is_right = kind in (number, types.boolean)
        if not is_right:
            raise TypingError(f"Formulas are of {number} and truth values; got {name}: {kind}.")
    assigned = [step for step in run if isinstance(step, ast.Assign)]
    truths = {step.targets[0].id: _is_truth(step.value) for step in assigned}
    return kinds | {name: types.boolean if truth else number for name, truth in truths.items()}


def hide(context, builder, value):
    """The same number, hidden from the compiler's constant folding."""
    bits = ir.IntType(8 * context.get_abi_sizeof(value.type))
    same = ir.FunctionType(bits, [bits])
    hidden = builder.asm(same, "", "=r,0", [builder.bitcast(value, bits)], False)
    return builder.bitcast(hidden, value.type)


def read(builder, place, is_apart):
    """The number at a pointer; with ``is_apart`` no `write` that is apart changes it."""
    number = builder.load(place)
    if is_apart:
        number.set_metadata("alias.scope", _scopes(builder))
    return number


def write(builder, place, number, is_apart):
    """Set the number at a pointer, see `read`."""
    stored = builder.store(number, place)
    if is_apart:
        stored.set_metadata("noalias", _scopes(builder))


def _scopes(builder):
    """LLVM metadata that says that no `read` sees what a `write` writes, if they are apart."""
    domain = builder.module.add_metadata(["sklearn_ntk"])
    return builder.module.add_metadata([builder.module.add_metadata(["records", domain])])


def _is_truth(tree):
    """Whether an operation gives a truth value."""
    if isinstance(tree, ast.BinOp):
        return isinstance(tree.op, (ast.BitOr, ast.BitAnd))
    return isinstance(tree, ast.Compare)


class _Code:
    """Writes operations as LLVM code; ``known`` maps names to values, ``kinds`` to their types."""

    def __init__(self, context, builder, number, known, kinds):
        self.context, self.builder, self.number = context, builder, number
        self.known, self.kinds = known, kinds

    def results(self, run, outputs, kind):
        """The value of what statements compute: of one output, of several ones, or of none."""
        for step in run:
            value = self(step.value)
            if isinstance(step, ast.Assign):
                self.known[step.targets[0].id] = value
        values = [self.known[name] for name in outputs]
        if len(values) > 1:
            return self.context.make_tuple(self.builder, kind, values)
        return values[0] if values else self.context.get_dummy_value()

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
        if name in MEMORY:
            return self._memory(name, *tree.args)
        values = [self(one) for one in tree.args]
        if name == "opaque":
            return hide(self.context, self.builder, *values)
        if name == "select":
            return self.builder.select(*values)
        first, second = values
        is_second = self.builder.fcmp_ordered(_LARGER[name], second, first)
        return self.builder.select(is_second, second, first)

    def _memory(self, name, array, place, number=None):
        kind, is_apart = self.kinds[array.id], name in ("fetch", "put")
        at = pointer(self.context, self.builder, kind, self.known[array.id], self._place(place))
        if number is None:
            return read(self.builder, at, is_apart)
        return write(self.builder, at, self(number), is_apart)

    def _place(self, tree):
        """An integer: sums and products of names and constants."""
        if isinstance(tree, ast.Constant):
            return self.context.get_constant(types.intp, tree.value)
        if isinstance(tree, ast.Name):
            value, kind = self.known[tree.id], self.kinds[tree.id]
            return self.context.cast(self.builder, value, kind, types.intp)
        operation = {
            ast.Add: self.builder.add,
            ast.Sub: self.builder.sub,
            ast.Mult: self.builder.mul,
        }
        return operation[type(tree.op)](self._place(tree.left), self._place(tree.right))

    def _ufunc(self, ufunc, values):
        """Call of a ufunc for numbers, as numba compiles it."""
        typing_context = self.context.typing_context
        function = typing_context.resolve_value_type(ufunc)
        signature = function.get_call_type(typing_context, (self.number,) * len(values), {})
        return self.context.get_function(function, signature)(self.builder, values)
