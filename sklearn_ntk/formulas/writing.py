"""Traces written out as flat source code, for compilers that cannot look into NumPy."""

import re
from functools import cache

import numpy as np

from .tracing import SYMBOLS, Formula, Graph, Node, nodes_of


def expand(outputs):
    """Outputs in a new graph in which each `Formula` is replaced by its operations.

    Outputs are nodes or nested tuples of nodes; those that are truth values become numbers.
    """
    graph, new = Graph(), {}
    for node in _needed(nodes_of(outputs)):
        arguments = [new[a.index] if isinstance(a, Node) else a for a in node.arguments]
        if isinstance(node.operation, Formula):
            new[node.index] = node.operation.function(*arguments)
        elif node.operation == "item":
            new[node.index] = arguments[0][arguments[1]]
        elif node.operation in ("constant", "input"):
            new[node.index] = graph.node(node.operation, *arguments)
        else:
            new[node.index] = graph.apply(node.operation, *arguments)
    return _replaced(outputs, lambda node: graph.number(new[node.index]))


def _replaced(outputs, of_node):
    """Nested tuples like ``outputs``, with ``of_node(node)`` in place of each node."""
    if isinstance(outputs, tuple):
        return tuple(_replaced(output, of_node) for output in outputs)
    return of_node(outputs) if isinstance(outputs, Node) else outputs


def _needed(nodes):
    """All nodes that the results ``nodes`` depend on, themselves included, in order of creation."""
    needed, waiting = {}, list(nodes)
    while waiting:
        node = waiting.pop()
        if node.index not in needed:
            needed[node.index] = node
            waiting.extend(a for a in node.arguments if isinstance(a, Node))
    return [needed[index] for index in sorted(needed)]


class Writer:
    """Code of constants and operations, here Python with NumPy ufuncs; subclasses write scalars."""

    def constant(self, number):
        """Code of a number."""
        return repr(number)

    def operation(self, name, texts, are_truths):
        """Code of an operation from the code ``texts`` of its arguments.

        ``are_truths`` tells which arguments are truth values.
        """
        symbol = SYMBOLS.get(name)
        return f" {symbol} ".join(texts) if symbol else f"np.{name}({', '.join(texts)})"


def statements(outputs, writer):
    """Code that computes outputs: names of the inputs used, lines, and code of the results.

    The results have the nesting of ``outputs``; line ``t{i} = ...`` is that of node ``i``.
    """
    outputs = expand(outputs)
    inputs, lines, text = [], [], {}
    for node in _needed(nodes_of(outputs)):
        if node.operation == "input":
            text[node.index] = node.arguments[0]
            inputs.append(node.arguments[0])
        elif node.operation == "constant":
            text[node.index] = writer.constant(node.arguments[0])
        else:
            texts = [text[a.index] for a in node.arguments]
            are_truths = [a.is_truth for a in node.arguments]
            text[node.index] = f"t{node.index}"
            line = writer.operation(node.operation, texts, are_truths)
            lines.append(f"t{node.index} = {line}")
    return inputs, lines, _nested(outputs, text, writer)


def _nested(outputs, text, writer):
    """Nested tuples like ``outputs``, of code; ``text`` maps indices of nodes to their code."""
    if isinstance(outputs, tuple):
        return tuple(_nested(output, text, writer) for output in outputs)
    return text[outputs.index] if isinstance(outputs, Node) else writer.constant(float(outputs))


def source(name, signature, outputs, like=()):
    """Flat Python source of a function that returns ``outputs``, nodes or nested tuples of them.

    ``signature`` maps each parameter to the names of the inputs that it is unpacked to, if any.
    Every output has the shape of the inputs ``like``, even if it does not depend on them.
    """
    outputs = expand(outputs)
    _, lines, texts = statements(_shaped(outputs, like) if like else outputs, Writer())
    unpacked = [
        f"{', '.join(names)}, = {parameter}" for parameter, names in signature.items() if names
    ]
    last = f"return {_written(texts)}"
    body = "\n    ".join([*unpacked, *_freed(lines, last), last])
    return f"def {name}({', '.join(signature)}):\n    {body}\n"


def _shaped(outputs, like):
    """The outputs, with zeros of that shape added to those that depend on none of ``like``."""
    graph = next((node.graph for node in nodes_of(outputs)), Graph())
    nodes = graph.inputs(*like)
    zeros, indices = graph.apply("zeros_like", nodes[0]), {node.index for node in nodes}

    def shape(output):
        if isinstance(output, tuple):
            return tuple(map(shape, output))
        depends = not indices.isdisjoint(node.index for node in _needed(nodes_of(output)))
        return output if depends else zeros + output

    return shape(outputs)


def _freed(lines, last):
    """The lines, each followed by ``del`` of the temporary arrays that no later line reads."""
    later, freed = set(re.findall(r"\bt\d+\b", last)), []
    for line in reversed(lines):
        names = sorted(set(re.findall(r"\bt\d+\b", line)) - later)
        later.update(names)
        freed.append(f"{line}; del {', '.join(names)}" if names else line)
    return freed[::-1]


def _written(texts):
    """Code of nested tuples."""
    if isinstance(texts, tuple):
        return "(" + "".join(f"{_written(text)}, " for text in texts) + ")"
    return texts


@cache
def built(make, *arguments):
    """Function that the source ``make(*arguments)`` defines, built once."""
    return build(make(*arguments))


def build(text, filename="<formula>", **names):
    """Function that the source ``text`` defines; ``names`` are its globals besides ``np``."""
    space = {"__name__": __name__, "np": np, **names}
    exec(compile(text, filename, "exec"), space)
    return space[text[len("def ") : text.index("(")]]
