"""Passes of candidate networks: Gram matrices that share a recursion, computed together."""

from ..architectures import column_mlp
from ..estimators._base import NetworkEstimator, is_on_columns, takes_learned
from ..estimators._checks import mixes_columns
from ..estimators._features import project
from ..gram import gram
from ..gram._kernel_operator import placed
from ..layers import Dense, Output, lower

PASS_BYTES = 2**28
"""Largest memory of the Gram matrices of a pass that has several."""


def families(settings):
    """Families of candidates whose kernels share a recursion, lists of pairs (index, parameters).

    ``settings`` are the parameters of the candidates, as of `NTKRegressor`. Members of a family are
    perceptrons that differ in depth, frozen layers, or NTK and NNGP only; those that take
    columns one by one have positions, and differ in the latter only.
    """
    by_key = {}
    for index, parameters in enumerate(settings):
        if isinstance(parameters["kernel"], str) and parameters["architecture"] is None:
            names = ["activation", "weight_var", "bias_var", "column_layers"]
            if parameters["column_layers"]:
                names += ["depth", "n_frozen"]
            key = tuple(parameters[name] for name in names)
        else:
            key = index
        by_key.setdefault(key, []).append((index, parameters))
    return list(by_key.values())


def passes(family, n):
    """Split a family into lists of members whose Gram matrices of n rows share a pass.

    The matrices of each take about `PASS_BYTES` at most.
    """
    most, members = max(1, int(PASS_BYTES // (8.0 * n * n))), []
    for member in sorted(family, key=lambda member: (member[1]["n_frozen"], member[1]["depth"])):
        if members and _count_matrices([*members, member]) > most:
            yield members
            members = []
        members.append(member)
    yield members


def _axes(members):
    """Sorted depths, numbers of frozen layers of NTKs, and names of kernels of a pass."""
    settings = [parameters for _, parameters in members]
    depths, names = (sorted({one[name] for one in settings}) for name in ("depth", "kernel"))
    frozen = sorted({one["n_frozen"] for one in settings if one["kernel"] == "ntk"})
    return depths, tuple(frozen) or (0,), tuple(names)


def _count_matrices(members):
    """Number of Gram matrices that a pass for these members computes."""
    depths, frozen, names = _axes(members)
    return len(depths) * (len(frozen) * ("ntk" in names) + ("nngp" in names))


def grams(members, problem):
    """Yield (index, Gram matrix) of the members of a pass, in the memory of their device."""
    index, parameters = members[0]
    model = NetworkEstimator(**parameters)
    kernel, X = model._make_kernel(), problem.X
    has_columns = is_on_columns(model, kernel)
    if has_columns and problem.columns is not None:
        X = problem.columns.apply(X)
    if takes_learned(model, kernel) or problem.features_of_all:
        X = project(X, problem.features)
    (X,) = placed(kernel, X)
    if not isinstance(parameters["kernel"], str) or parameters["architecture"] is not None:
        yield index, kernel(X)
        return
    depths, frozen, names = _axes(members)
    if mixes_columns(kernel):
        n_frozen, layers = frozen, [Dense()]
        for depth in range(depths[-1]):
            layers += [Output()] * (depth in depths) + [parameters["activation"], Dense()]
    else:  # one network, as positions have no kernels of hidden layers
        n_frozen, network = frozen[0], (depths[0], parameters["activation"])
        layers = column_mlp(X.shape[1], *network, parameters["column_layers"])
    program = lower(tuple(layers), parameters["weight_var"], parameters["bias_var"], n_frozen)
    matrices, n = gram(program, X, get=names, device=parameters["device"]), len(X)
    grams = dict(zip(names, matrices, strict=True))
    for index, parameters in members:
        # the matrices of a kernel by depth, NTKs first by number of frozen layers
        matrices, place = grams[parameters["kernel"]], depths.index(parameters["depth"])
        if parameters["kernel"] == "ntk":
            place += len(depths) * frozen.index(parameters["n_frozen"])
        yield index, matrices.reshape(-1, n, n)[place]
