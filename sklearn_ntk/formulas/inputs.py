"""Names of the inputs of traces, and rates of formulas along two directions.

Derivatives are taken along two directions, log weight_var (0) and log bias_var (1). Inputs:

- ``s0`` is the gap of a pair of rows, the squared distance of a pair of positions, or the variance
  of a row, and ``s1`` its NTK; ``s2`` and ``s3`` are the rates of ``s0`` along both directions,
  ``s4`` and ``s5`` those of ``s1``.
- ``d0`` to ``d5``, in the same order: gap (for rows, standard deviation) and slope behind an
  activation, or sums of attention, or an attention weight.
- ``z0`` to ``z5``, in the same order: a state popped from the stack, or the input of a recurrence.
- ``x0``, ``x1``, ... are the record of the left row of a pair, ``x0_0``, ``x0_1`` the rates of
  ``x0`` along both directions; ``y0``, ... are those of the right row.
- ``weight_rate`` and ``bias_rate`` are the derivatives of the variances of a layer, each along its
  own direction, and ``self_...`` the parameters of an activation.

For traces ``by_rows`` the directions are a change of the left row as it enters the network (0), and
of the gap there (1); all else is constant.
"""

from functools import cache
from inspect import signature

from .tracing import Graph, differentiate

_STATES = {
    "variance": "s0", "gap": "s0", "distance": "s0", "covariance": "s0", "score": "s0", "ntk": "s1",
    "saved_variance": "z0", "saved_gap": "z0", "inputs": "z0", "saved_ntk": "z1", "input_ntk": "z1",
    "passed": "d0", "std": "d0", "total": "d0", "factor": "d0", "slope": "d1", "cross": "d1",
}  # fmt: skip
"""Names of inputs by the parameters of formulas; other parameters are inputs of the same name."""


def state_names(letter):
    """Names of the six inputs of a state and its rates, such as ``s0`` to ``s5``."""
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
    """Number of features of a row that the dual of an activation class reads."""
    graph = Graph()
    return len(cls(*graph.inputs(*parameter_names(cls))).features(*graph.inputs("s0")))


def rates_of(outputs, states, numbers=(), records=(), by_rows=False):
    """Rates of the outputs along both directions: a pair of nodes or numbers for each output.

    ``states`` are the letters of the states that have rates; ``numbers[p]`` maps nodes to their
    rates along direction ``p``; ``records`` are pairs (letter, length). With ``by_rows`` only the
    first record has rates, along direction 0.
    """
    graph = next(output.graph for output in outputs if hasattr(output, "graph"))
    rates = []
    for p in range(2):
        seeds = {} if by_rows else dict(*numbers[p : p + 1])
        for letter in states:
            s = graph.inputs(*state_names(letter))
            seeds.update({s[0]: s[2 + p], s[1]: s[4 + p]})
        for letter, n in records[: 1 - p] if by_rows else records:
            values, value_rates = (graph.inputs(*record_names(letter, n, q)) for q in (None, p))
            seeds.update(zip(values, value_rates, strict=True))
        rates.append(differentiate(outputs, seeds))
    return tuple(zip(*rates, strict=True))


def sides(n, gradient):
    """Names of the inputs by parameter, for a function of two records of ``n`` entries.

    The parameters are the records ``left`` and ``right``, with ``gradient`` then their rates.
    """
    names = {"left": record_names("x", n), "right": record_names("y", n)}
    for side, letter in (("dleft", "x"), ("dright", "y")) if gradient else ():
        names |= {f"{side}{p}": record_names(letter, n, p) for p in range(2)}
    return names


def trace(formula, names, cls=None, n=0, noise=0.0):
    """Outputs of a formula, called with one input node for each parameter, and rates of numbers.

    ``names`` are the parameters that are numbers of the instruction, ``act`` is of the class
    ``cls``, and records have ``n`` entries; for ``noise`` see `Graph`. Entry ``p`` of the rates
    maps nodes to their rates along direction ``p``.
    """
    graph = Graph(noise)
    nodes = dict(zip(names, graph.inputs(*names), strict=True))
    nodes |= {
        side: graph.inputs(*record_names(letter, n))
        for side, letter in (("left", "x"), ("right", "y"))
    }
    arguments = {
        name: nodes[name] if name in nodes else graph.inputs(_STATES.get(name, name))[0]
        for name in signature(formula).parameters
        if name != "act"
    }
    if cls is not None:
        arguments["act"] = cls(*graph.inputs(*parameter_names(cls)))
    variances = [name for name in names if f"{name}_rate" in names]
    rates = [
        {nodes[name]: nodes[f"{name}_rate"] for name in variances if (name == "bias") == p}
        for p in range(2)
    ]
    return formula(**arguments), rates


def trace_state(formula, names, cls, n, gradient, noise=0.0, by_rows=False):
    """Nodes of the new state of a pair and, with ``gradient``, of its rates.

    For ``by_rows`` see `rates_of`, for the other arguments `trace`.
    """
    outputs, rates = trace(formula, names, cls, n, noise)
    if not gradient:
        return outputs
    records = ("x", n), ("y", n)
    return *outputs, *sum(rates_of(outputs, "sdz", rates, records, by_rows), ())
