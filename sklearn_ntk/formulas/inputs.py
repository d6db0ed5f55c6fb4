"""Inputs of traces by their names, and rates along two directions.

Derivatives are taken along two directions, log weight_var and log bias_var. Traces have inputs of
fixed names. ``s0`` and ``s1`` are the state: the gap, for positions the squared distance, for rows
the variance, and the NTK; ``s2`` and ``s3`` are the rates of the former along both directions,
``s4`` and ``s5`` those of the NTK. ``d0`` to ``d5`` are sums, or what an activation passes on, and
``z0`` to ``z5`` the state taken from the stack. ``x0``, ``x1`` ... is the record of the first row
of a pair and ``x0_0``, ``x0_1`` its rates along the directions, ``y0`` ... that of the second.
``weight_rate`` and ``bias_rate`` are the rates of the variances of a layer, each along its own
direction.

For programs ``by_rows`` the directions are the standard deviation of the first row as it enters the
network, at the same gap, and the gap: nothing else moves there.
"""

from functools import cache
from inspect import signature

from .tracing import Graph, differentiate

_STATES = {
    "variance": "s0", "gap": "s0", "distance": "s0", "covariance": "s0", "score": "s0", "ntk": "s1",
    "saved_variance": "z0", "saved_gap": "z0", "inputs": "z0", "saved_ntk": "z1", "input_ntk": "z1",
    "passed": "d0", "std": "d0", "total": "d0", "factor": "d0", "slope": "d1", "cross": "d1",
}  # fmt: skip
"""Inputs by the names of parameters: what changes from step to step."""


def state_names(letter):
    """Names of a state and its rates."""
    return [f"{letter}{i}" for i in range(6)]


def record_names(letter, n, p=None):
    """Names of a record of ``n`` entries, or of its rates along direction ``p``."""
    rate = "" if p is None else f"_{p}"
    return [f"{letter}{i}{rate}" for i in range(n)]


def parameter_names(cls):
    """Names of the parameters of an activation class."""
    return [f"self_{field}" for field in cls._fields]


@cache
def count_features(cls):
    """Number of features of a row that an activation class asks for."""
    graph = Graph()
    return len(cls(*graph.inputs(*parameter_names(cls))).features(*graph.inputs("s0")))


def rates_of(outputs, states, numbers=(), records=(), by_rows=False):
    """Rates of the outputs along both directions, one pair for each of them.

    ``numbers`` holds the rates of inputs along each direction, ``records`` letters and lengths.
    With ``by_rows`` of these only the first record moves, along the first direction.
    """
    graph = next(output.graph for output in outputs if hasattr(output, "graph"))
    rates = []
    for p in range(2):
        seeds = {} if by_rows else dict(*numbers[p : p + 1])
        for letter in states:
            s = graph.inputs(*state_names(letter))
            seeds.update({s[0]: s[2 + p], s[1]: s[4 + p]})
        for letter, n in records[: 1 - p] if by_rows else records:
            values, moves = (graph.inputs(*record_names(letter, n, q)) for q in (None, p))
            seeds.update(zip(values, moves, strict=True))
        rates.append(differentiate(outputs, seeds))
    return tuple(zip(*rates, strict=True))


def sides(n, gradient):
    """Parameters of a function of two records, and what they unpack to."""
    found = {"left": record_names("x", n), "right": record_names("y", n)}
    for name, letter in (("dleft", "x"), ("dright", "y")) if gradient else ():
        found |= {f"{name}{p}": record_names(letter, n, p) for p in range(2)}
    return found


def trace(formula, names, cls=None, n=0, noise=0.0):
    """Outputs of a formula for inputs by the names of its parameters, and the rates of numbers.

    ``names`` are those of numbers; records have ``n`` entries. For ``noise`` see `Graph`.
    """
    graph = Graph(noise)
    known = dict(zip(names, graph.inputs(*names), strict=True))
    known |= {
        side: graph.inputs(*record_names(letter, n))
        for side, letter in (("left", "x"), ("right", "y"))
    }
    arguments = {
        name: known[name] if name in known else graph.inputs(_STATES.get(name, name))[0]
        for name in signature(formula).parameters
        if name != "act"
    }
    if cls is not None:
        arguments["act"] = cls(*graph.inputs(*parameter_names(cls)))
    tied = [name for name in names if f"{name}_rate" in names]
    rates = [
        {known[name]: known[f"{name}_rate"] for name in tied if (name == "bias") == p}
        for p in range(2)
    ]
    return formula(**arguments), rates


def trace_state(formula, names, cls, n, gradient, noise=0.0, by_rows=False):
    """The new state of a pair by a formula, with rates if wanted; for the others see `trace`."""
    outputs, rates = trace(formula, names, cls, n, noise)
    if not gradient:
        return outputs
    records = ("x", n), ("y", n)
    return *outputs, *sum(rates_of(outputs, "sdz", rates, records, by_rows), ())
