"""Tracing of formulas: record one as a graph, and differentiate it.

Formulas are plain functions made of arithmetic, comparisons and NumPy ufuncs, without branches.
Called with nodes instead of numbers, they leave the graph of their operations behind. From it
follow their exact derivatives and, in `writing`, flat source code.

A node is a number or a truth value, and no simplification changes that. As in NumPy, sums and
products of truth values are truth values: "or" and "and". In all other operations they are the
numbers 0.0 and 1.0.
"""

from functools import cached_property

import numpy as np

TINY = 1e-300
"""Added to denominators that vanish only together with their numerators."""

ROUNDING = 1e-15
"""Numbers below this, where others are about 1, are taken for rounding errors of zero."""

NOISE = 8e-15
"""A difference below this, relative to both its terms, is taken for a rounding error of zero."""

_BINARY = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
_COMPARISONS = {
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
}
_LOGICAL = {
    "add": "logical_or",
    "maximum": "logical_or",
    "logical_or": "logical_or",
    "multiply": "logical_and",
    "minimum": "logical_and",
    "logical_and": "logical_and",
}
"""Operations of which all arguments are truth values, and the logical ones that they become."""

_ABSORBING = {"multiply": 2, "divide": 1}
"""Number of leading arguments, such that a zero among them makes the result zero."""

_NEUTRAL = {
    "add": ((0, 0.0), (1, 0.0)),
    "subtract": ((1, 0.0),),
    "multiply": ((0, 1.0), (1, 1.0)),
    "divide": ((1, 1.0),),
}
"""Pairs (place, number): if that argument is that number, the result is the other argument."""

SYMBOLS = {**_BINARY, **_COMPARISONS, "logical_or": "|", "logical_and": "&"}
_UNARY = ("sqrt", "exp", "expm1", "log", "cos", "sin", "abs")
_OTHER = ("arctan2", "maximum", "minimum")
_COMPOSED = {
    "negative": lambda x: 0.0 - x,
    "square": lambda x: x * x,
    "arctan": lambda x: np.arctan2(x, 1.0),
    "arcsin": lambda x: np.arctan2(x, np.sqrt(np.maximum((1.0 - x) * (1.0 + x), 0.0))),
    "arccos": lambda x: np.arctan2(np.sqrt(np.maximum((1.0 - x) * (1.0 + x), 0.0)), x),
}
"""Ufuncs that are recorded as several operations."""


class Graph:
    """Nodes in the order of their creation, each operation on the same arguments only once.

    ``noise`` is the rounding error of squared distances relative to both variances, in graphs that
    compute gaps from distances, else 0; `special.rounding_of` reads it.
    """

    def __init__(self, noise=0.0):
        self.nodes, self.noise = [], noise
        self._known = {}

    def node(self, operation, *arguments):
        """The node of an operation; arguments are nodes, or anything hashable for inputs."""
        key = (operation, *(a.index if isinstance(a, Node) else a for a in arguments))
        if key not in self._known:
            self._known[key] = Node(self, operation, arguments, len(self.nodes))
            self.nodes.append(self._known[key])
        return self._known[key]

    def constant(self, number):
        """A number in the graph."""
        return self.node("constant", float(number))

    def inputs(self, *names):
        """A tuple of inputs."""
        return tuple(self.node("input", name) for name in names)

    def number(self, value):
        """A node or a number as it is, a truth value as the number 0.0 or 1.0."""
        is_truth = isinstance(value, Node) and value.is_truth
        return self.node("multiply", self.constant(1.0), value) if is_truth else value

    def apply(self, operation, *arguments):
        """The node of an operation on nodes or numbers, with constants, zeros and ones folded."""
        arguments = [a if isinstance(a, Node) else self.constant(a) for a in arguments]
        if operation in _LOGICAL and all(a.is_truth for a in arguments):
            return self.node(_LOGICAL[operation], *arguments)
        if operation != "multiply":  # in a product, a truth value selects
            arguments = [self.number(a) for a in arguments]
        numbers = [a.arguments[0] if a.operation == "constant" else None for a in arguments]
        if operation in _BINARY and None not in numbers:
            return self.constant(getattr(np, operation)(*numbers))
        if 0.0 in numbers[: _ABSORBING.get(operation, 0)]:
            return self.constant(0.0)
        for place, neutral in _NEUTRAL.get(operation, ()):
            if numbers[place] == neutral:
                return self.number(arguments[1 - place])
        return self.node(operation, *arguments)


class Node:
    """One operation of a graph; arithmetic and ufuncs with it make further nodes."""

    def __init__(self, graph, operation, arguments, index):
        self.graph, self.operation, self.arguments, self.index = graph, operation, arguments, index

    @cached_property
    def is_truth(self):
        """Whether this is a truth value rather than a number."""
        call, place = self.arguments if self.operation == "item" else (self, 0)
        if isinstance(call.operation, Formula):
            return call.operation.truths[place]
        return call.operation in _COMPARISONS or call.operation in ("logical_or", "logical_and")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        name = {"absolute": "abs", "true_divide": "divide"}.get(ufunc.__name__, ufunc.__name__)
        if name in _COMPOSED and method == "__call__" and not options:
            return _COMPOSED[name](*inputs)
        known = name in _BINARY or name in _COMPARISONS or name in (*_UNARY, *_OTHER)
        if method != "__call__" or options or not known:
            raise TypeError(
                f"A formula cannot use {ufunc.__name__}, or not in this way: write it by "
                f"arithmetic, comparisons and {', '.join((*_UNARY, *_OTHER, *_COMPOSED))}."
            )
        return self.graph.apply(name, *inputs)

    def __bool__(self):
        raise TypeError(
            "A formula must be free of branches: use np.maximum, np.minimum, or products with "
            "comparisons, not if, and, or, np.where."
        )

    def __pow__(self, exponent):
        if isinstance(exponent, Node) or exponent not in (1, 2, 3, 4):
            return NotImplemented
        result = base = self.graph.number(self)
        for _ in range(int(exponent) - 1):
            result = result * base
        return result

    def __neg__(self):
        return 0.0 - self

    def __abs__(self):
        return self.graph.apply("abs", self)


def _forward(name):
    """Method for the operation ``name`` with the node as first argument."""
    return lambda self, other: self.graph.apply(name, self, other)


def _reflected(name):
    """Method for the operation ``name`` with the node as second argument."""
    return lambda self, other: self.graph.apply(name, other, self)


_METHODS = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv"}
for _name, _method in _METHODS.items():
    setattr(Node, f"__{_method}__", _forward(_name))
    setattr(Node, f"__r{_method}__", _reflected(_name))
for _name, _method in zip(_COMPARISONS, ("lt", "le", "gt", "ge", "eq", "ne"), strict=True):
    setattr(Node, f"__{_method}__", _forward(_name))
Node.__hash__ = lambda self: self.index


class Formula:
    """A branch-free function that a graph records as one operation, with its own derivative.

    ``rule(arguments, rates, results)`` returns the rates of the results; ``rates`` are those of the
    arguments that are nodes.
    """

    def __init__(self, function, rule, n_results):
        self.function, self.rule, self.n_results = function, rule, n_results
        self.__name__, self.__doc__ = function.__name__, function.__doc__

    def __call__(self, *arguments):
        """The result, or a tuple of them: nodes if an argument is a node, otherwise numbers."""
        graphs = [a.graph for a in arguments if isinstance(a, Node)]
        if not graphs:
            return self.function(*arguments)
        call = graphs[0].apply(self, *arguments)
        if self.n_results == 1:
            return call
        return tuple(graphs[0].node("item", call, i) for i in range(self.n_results))

    @cached_property
    def truths(self):
        """Which of the results are truth values."""
        results = self.function(*Graph().inputs(*range(self.function.__code__.co_argcount)))
        results = results if isinstance(results, tuple) else (results,)
        return [isinstance(result, Node) and result.is_truth for result in results]


def formula(rule, n_results=1):
    """Make a function a `Formula`, as a decorator."""
    return lambda function: Formula(function, rule, n_results)


def differentiate(outputs, seeds):
    """Directional derivatives of ``outputs``, nodes or numbers, by forward differentiation.

    ``seeds`` maps nodes to their rates, nodes or numbers; the rates of all other inputs are zero.
    Where a square root is zero its rate is taken as zero, the limit for rows that coincide.
    """
    graph = next(iter(seeds)).graph
    rates = {node.index: rate for node, rate in seeds.items()}
    for node in graph.nodes[: max((node.index for node in nodes_of(outputs)), default=-1) + 1]:
        if node.operation not in ("constant", "input") and node.index not in rates:
            inner_rates = [rates.get(a.index, 0.0) for a in node.arguments if isinstance(a, Node)]
            is_moving = any(isinstance(rate, Node) or np.any(rate != 0.0) for rate in inner_rates)
            rates[node.index] = _rate(node, inner_rates, rates) if is_moving else 0.0
    return [rates.get(getattr(output, "index", None), 0.0) for output in outputs]


def _rate(node, inner_rates, rates):
    """Rate of a node from the rates of its arguments."""
    operation, arguments = node.operation, node.arguments
    if isinstance(operation, Formula):
        return operation.rule(arguments, inner_rates, node)
    if operation == "item":
        return rates[arguments[0].index][arguments[1]]
    if operation in _COMPARISONS:
        return 0.0
    return _RULES[operation](node, *arguments, *inner_rates)


_RULES = {
    "add": lambda z, x, y, dx, dy: dx + dy,
    "subtract": lambda z, x, y, dx, dy: dx - dy,
    "multiply": lambda z, x, y, dx, dy: dx * y + x * dy,
    "divide": lambda z, x, y, dx, dy: (dx - z * dy) / y,
    "sqrt": lambda z, x, dx: (z > 0.0) * (0.5 * dx / (z + TINY)),
    "exp": lambda z, x, dx: z * dx,
    "expm1": lambda z, x, dx: (z + 1.0) * dx,
    "log": lambda z, x, dx: dx / x,
    "cos": lambda z, x, dx: -np.sin(x) * dx,
    "sin": lambda z, x, dx: np.cos(x) * dx,
    "abs": lambda z, x, dx: (1.0 - 2.0 * (x < 0.0)) * dx,
    "arctan2": lambda z, y, x, dy, dx: (
        (np.cos(z) * dy - np.sin(z) * dx) / (np.cos(z) * x + np.sin(z) * y + TINY)
    ),
    "maximum": lambda z, x, y, dx, dy: (x > y) * dx + (x <= y) * dy,
    "minimum": lambda z, x, y, dx, dy: (x < y) * dx + (x >= y) * dy,
}


def nodes_of(outputs):
    """List of all nodes in nested tuples or lists."""
    if isinstance(outputs, (tuple, list)):
        return [node for output in outputs for node in nodes_of(output)]
    return [outputs] if isinstance(outputs, Node) else []
