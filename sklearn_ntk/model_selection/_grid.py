"""Candidates of a search: points of its grid with all parameters, ridges and training times."""

import numbers

import numpy as np
from sklearn.model_selection import ParameterGrid

from ..activations import as_activation
from ..estimators._checks import is_auto
from ..estimators._choice import are_few
from ..estimators._places import check_device

NETWORK = (
    "kernel",
    "depth",
    "activation",
    "weight_var",
    "bias_var",
    "n_frozen",
    "column_layers",
    "architecture",
)
"""Parameters that ``param_grid`` may have."""

FIXED = {"kernel": "ntk", "activation": "relu", "column_layers": 0}
"""Values of parameters that ``param_grid`` does not name, where estimators of one network would
choose; the other defaults are theirs."""

COLUMNS = ("squash", "features", "n_feature_steps")
"""Parameters of what is done to columns, the same for all candidates."""

REMEDIES = {
    "alpha": " Ridges are alphas.",
    "training_time": " Times are training_times.",
    **{name: f" {name} is a parameter of the search." for name in COLUMNS},
}
"""Advice for parameters that ``param_grid`` may not have."""


def column(name, params):
    """Masked array of a parameter for ``cv_results_``, of numbers if all its values are."""
    values = [point[name] for point in params if name in point]
    are_numbers = all(isinstance(value, numbers.Real) for value in values)
    masked = np.ma.masked_all(len(params), np.array(values).dtype if are_numbers else object)
    for k, point in enumerate(params):
        if name in point:
            masked[k] = point[name]
    return masked


def _numbers(name, values):
    """Increasing array of ``alphas`` or ``training_times``; empty for None, None for "auto"."""
    if values is None:
        return np.empty(0)
    if isinstance(values, str):
        return None
    try:
        numbers = np.unique(np.asarray(values, dtype=np.float64).ravel())
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if not len(numbers) or not np.all(np.isfinite(numbers)) or numbers[0] < 0.0:
        raise ValueError(f"{name} must be finite numbers >= 0; got {values!r}.")
    return numbers


def candidates_of(search, n, d):
    """List of pairs (point of the grid, all network parameters), without duplicates.

    Points of perceptrons have what is `FIXED`, too, so that nothing is left to choose. The default
    grid depends on the number of rows and columns, n and d.
    """
    grid = search.param_grid
    if grid is None:
        grid = [*search._grid, *(search._grid_of_columns if are_few(n, d) else ())]
    points = list(ParameterGrid(grid))
    if not points:
        raise ValueError("param_grid has no candidates: give it values, or None for the default.")
    candidates, seen = [], set()
    for point in points:
        unknown = sorted(set(point).difference(NETWORK))
        if unknown:
            remedy = REMEDIES.get(unknown[0], "")
            raise ValueError(
                f"param_grid has the unknown parameter {unknown[0]!r}: choose among "
                f"{', '.join(NETWORK)}.{remedy}"
            )
        settings = _settings_of(search, point)
        if isinstance(settings["kernel"], str) and settings["architecture"] is None:
            point = FIXED | point
            settings["activation"] = as_activation(settings["activation"])
            key = tuple(settings[name] for name in NETWORK if name != "architecture")
            least = max(settings["n_frozen"], settings["column_layers"])
            if least > settings["depth"] or key in seen:
                continue
            seen.add(key)
        candidates.append((point, settings))
    if not candidates:
        raise ValueError(
            "All candidates of param_grid have n_frozen > depth or column_layers > depth: take "
            "smaller ones."
        )
    return candidates


def _settings_of(search, point):
    """Dictionary of all network parameters, checked, for a point of the grid."""
    model = search._base(**(FIXED | point), device=search.device)
    model._validate_params()
    for name in FIXED:
        if is_auto(getattr(model, name)):
            raise ValueError(f"param_grid has {name}='auto': name what to choose from.")
    if isinstance(model.kernel, str) and model.kernel == "precomputed":
        raise ValueError(
            "kernel='precomputed' is nothing to choose from: use "
            f"{search._base.__name__}(kernel='precomputed')."
        )
    check_device(model, model._make_kernel())
    settings = {name: getattr(model, name) for name in (*NETWORK, "device")}
    return settings if settings["kernel"] == "ntk" else settings | {"n_frozen": 0}


def paths_of(search):
    """Increasing ridges and decreasing times; None for the default, empty for none to try."""
    ridges, times = (
        _numbers("alphas", search.alphas),
        _numbers("training_times", search.training_times),
    )
    if search.alphas is None and search.training_times is None:
        raise ValueError("alphas and training_times must not both be None: give one of them.")
    if search.training_times is not None and search.scoring == "log_marginal_likelihood":
        raise ValueError(
            "scoring='log_marginal_likelihood' is not defined for training_times: choose "
            "another one, or leave training_times at None."
        )
    return ridges, times if times is None else times[::-1]
