"""Traces written out as flat source code, for compilers that cannot look into NumPy."""

import re
from functools import cache

import numpy as np

from .tracing import SYMBOLS, Formula, Graph, Node, nodes_of


def expand(outputs):
    """The same outputs, nodes or nested tuples, as numbers and with every `Formula` written out."""
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
    """The same nested tuples with other nodes."""
    if isinstance(outputs, tuple):
        return tuple(_replaced(output, of_node) for output in outputs)
    return of_node(outputs) if isinstance(outputs, Node) else outputs


def _needed(nodes):
    """Nodes on which the given ones depend, in order."""
    found, waiting = {}, list(nodes)
    while waiting:
        node = waiting.pop()
        if node.index not in found:
            found[node.index] = node
            waiting.extend(a for a in node.arguments if isinstance(a, Node))
    return [found[index] for index in sorted(found)]


class Writer:
    """How constants and operations are written: here as Python for arrays."""

    def constant(self, number):
        """Text of a number."""
        return repr(number)

    def operation(self, name, texts, are_truths):
        """Text of an operation, and of which of its arguments are truth values."""
        symbol = SYMBOLS.get(name)
        return f" {symbol} ".join(texts) if symbol else f"np.{name}({', '.join(texts)})"


def statements(outputs, writer):
    """Statements that compute the outputs: the inputs used, lines, and texts of results."""
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
    if isinstance(outputs, tuple):
        return tuple(_nested(output, text, writer) for output in outputs)
    return text[outputs.index] if isinstance(outputs, Node) else writer.constant(float(outputs))


def source(name, signature, outputs, like=()):
    """Flat Python source of a function that returns ``outputs``, nodes or nested tuples of them.

    ``signature`` holds the parameters and, after each, the inputs that it is unpacked to, if any.
    Every output has the shape of the inputs ``like``, also if it does not depend on them.
    """
    outputs = expand(outputs)
    _, lines, texts = statements(_shaped(outputs, like) if like else outputs, Writer())
    heads = [
        f"{', '.join(parts)}, = {parameter}" for parameter, parts in signature.items() if parts
    ]
    end = f"return {_written(texts)}"
    body = "\n    ".join([*heads, *_freed(lines, end), end])
    return f"def {name}({', '.join(signature)}):\n    {body}\n"


def _shaped(outputs, like):
    """The outputs, those that depend on none of the inputs ``like`` with zeros of their shape."""
    graph = next((node.graph for node in nodes_of(outputs)), Graph())
    likes = graph.inputs(*like)
    zeros, places = graph.apply("zeros_like", likes[0]), {node.index for node in likes}

    def shape(output):
        if isinstance(output, tuple):
            return tuple(map(shape, output))
        found = places.intersection(node.index for node in _needed(nodes_of(output)))
        return output if found else zeros + output

    return shape(outputs)


def _freed(lines, end):
    """The lines, each of which also deletes what no later one needs: little memory is held."""
    later, found = set(re.findall(r"\bt\d+\b", end)), []
    for line in reversed(lines):
        names = sorted(set(re.findall(r"\bt\d+\b", line)) - later)
        later.update(names)
        found.append(f"{line}; del {', '.join(names)}" if names else line)
    return found[::-1]


def _written(texts):
    if isinstance(texts, tuple):
        return "(" + "".join(f"{_written(text)}, " for text in texts) + ")"
    return texts


@cache
def built(make, *arguments):
    """Function from the source that ``make`` writes."""
    return build(make(*arguments))


def build(text, filename="<formula>", **names):
    """Function from source; ``names`` are known to it besides ``np``."""
    space = {"__name__": __name__, "np": np, **names}
    exec(compile(text, filename, "exec"), space)
    return space[text[len("def ") : text.index("(")]]
