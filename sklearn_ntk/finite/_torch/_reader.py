"""Reader of a torch module, which sends to the general route what its hooks would see wrongly."""

import numpy as np
import torch

from .._readers import OtherRoutes, chosen, with_rows
from .._signals import Signal, as_numpy
from ._check import are_right, weighted_gradients, wrong_parameters
from ._drawn import Drawn
from ._graph import is_chain
from ._hidden import hidden
from ._jacobians import by_rows, gradients, jacobians, real
from ._join import join
from ._record import called, differentiate, measured, run
from ._refusals import (
    refuse,
    refuse_constant,
    refuse_dependent,
    refuse_hooks,
    refuse_infinite,
    refuse_moved,
    refuse_width,
    refuse_wrong,
)
from ._rows import read_rows, tells_of_rows
from ._state import copied, forget, leaves_model, plain


class Reader:
    """Reader of a ``torch.nn.Module``: see `sklearn_ntk.finite._readers`.

    All parameters are read by hooks at first. Those without a rule, and those that a run finds to
    be seen wrongly, take the general route from then on, in all copies of the model: then
    `OtherRoutes` is raised, as signals that were read before have another form.
    """

    def __init__(self, model, layers=None, check=True):
        model = plain(model)
        refuse(model)
        every = dict(model.named_parameters(remove_duplicate=False))
        trained = {
            name: each for name, each in every.items() if each.requires_grad and each.numel()
        }
        if not trained and layers is not False:
            raise ValueError(
                f"A kernel needs trained parameters; got {type(model).__name__} with none: set "
                f"requires_grad of some."
            )
        first = {id(each): name for name, each in reversed(trained.items())}
        names = [first[id(trained[name])] for name in chosen(list(trained), layers)]
        self.model, self.layers, self._check = model, list(dict.fromkeys(names)), check
        self._trained = {name: trained[name] for name in self.layers}
        refuse_hooks(self._trained)
        self._routes, self._last = None, None
        if isinstance(model, Drawn):
            self._last = model.operations[-1]
            self.weight_var, self.bias_var = self._last.weight_var, self._last.bias_var

    def prepare(self, X):
        """Rows as a tensor on the model's device: see `read_rows`."""
        if self.layers and torch.is_inference_mode_enabled():
            raise RuntimeError("A kernel needs gradients: leave torch.inference_mode() for it.")
        rows = with_rows(read_rows(X, list(self.model.parameters())))
        if self._routes is None:
            with tells_of_rows(rows):
                self._measure(rows[:1])
        return rows

    @leaves_model
    def _measure(self, row):
        """Set the number of outputs, sizes in bytes, and the parameters that no rule reads."""
        names = {id(p): name for name, p in self._trained.items() if not p.is_complex()}
        buffers = {
            name: (each, each.clone())
            for name, each in self.model.named_buffers()
            if each.layout == torch.strided  # torch does not compare sparse ones
        }
        outputs, seen, saved = measured(self.model, row, names)
        refuse_moved(self.model, buffers)
        refuse_infinite(outputs)
        if names:
            refuse_constant(self.model, outputs)
        self.n_outputs, self._like = outputs.shape[1], outputs.detach()[:0]
        uses, unread = differentiate(outputs, seen, None)
        entries = join(uses, names)
        read = {id(each) for entry in entries for each in entry.parameters} - unread
        self._routes = _Routes(
            {name for name, each in self._trained.items() if id(each) not in read}
        )
        self._sizes = (
            sum(each.inputs.nbytes for each in entries if each.inputs is not None),
            sum(each.gradients.nbytes for each in entries),
            saved,
        )

    @property
    def general(self):
        """The parameters of the general route, by name."""
        return {n: each for n, each in self._trained.items() if n in self._routes.general}

    @leaves_model
    def signals(self, rows, seeds):
        """Outputs (n, k), and signals of all layers; on the CPU as NumPy arrays."""
        like, general, found = self._like, self.general, []
        seeds = torch.as_tensor(seeds, dtype=like.dtype, device=like.device)
        outputs, entries, expected = self._entries(rows, seeds)
        for (names, *_), entry in entries:
            inputs = entry.inputs
            if inputs is None:
                inputs = entry.gradients.new_ones((len(rows), 1, 1))
            g = entry.gradients
            # of convolutions, positions come last in memory: as products over positions want it
            g = g if g.permute(0, 2, 3, 1).is_contiguous() else g.contiguous()
            found.append(Signal(names[0], _array(inputs), _array(g)))
        if general:
            J = jacobians(self.model, rows, seeds, general, self._chunk(len(seeds)))
            if expected is not None and not are_right(J, general.values(), *expected):
                del J
                J = by_rows(self.model, rows, seeds, general)
                if not are_right(J, general.values(), *expected):
                    refuse_wrong(general)
            ones = J.new_ones((len(rows), 1, 1))
            found.append(Signal("others", _array(ones), _array(J[:, None])))
        return _array(outputs), found

    def _entries(self, rows, seeds):
        """Outputs, pairs of names, with what else tells entries apart, and `Joined` entries.

        Last comes what the check compares with, or None if it is not needed.
        """
        general = self._routes.general
        names = {id(each): name for name, each in self._trained.items() if name not in general}
        outputs, seen = run(self.model, rows, names)
        refuse_width(outputs, self.n_outputs)
        refuse_infinite(outputs)
        is_as_seen = not self._check or is_chain(outputs, seen)
        expected = None
        if not is_as_seen:
            expected = weighted_gradients(outputs, seeds, list(self._trained.values()))
        uses, wrong = differentiate(outputs, seen, seeds)
        outputs = outputs.detach()  # and what autograd keeps goes
        entries = join(uses, names)
        if self._check:
            with torch.enable_grad():  # as above: without, some modules take another way
                refuse_dependent(self.model, rows, outputs)
        if not is_as_seen:
            wrong |= wrong_parameters(entries, *expected)
        wrong = {names[key] for key in wrong & names.keys()}
        found = []
        for entry in entries:
            own = tuple(names[id(each)] for each in entry.parameters)
            found.append(((own, entry.use.kind, entry.use.part), entry))
        order = self._routes.confirmed([key for key, _ in found], set(names.values()), wrong)
        return outputs, sorted(found, key=lambda pair: order.index(pair[0])), expected

    def row_bytes(self, rows, seeds):
        """Memory of the signals of a row, with what autograd keeps on the way."""
        (inputs, gradients, saved), general = self._sizes, self._general_bytes()
        return float(inputs + 2 * saved + len(seeds) * (2 * gradients + 2 * general) + 64)

    def _chunk(self, r):
        """Rows that the general route takes at a time: what it keeps has about 4 MB."""
        (_, gradients, saved), general = self._sizes, self._general_bytes()
        return int(np.clip(2**22 / (r * (saved + gradients + general) + 1), 1, 256))

    def _general_bytes(self):
        return sum(each.nbytes for each in self.general.values())

    def copy(self):
        """Reader of a copy of the module, with which it shares its routes."""
        other = Reader(copied(self.model), self.layers, self._check)
        other.n_outputs, other._like, other._sizes = self.n_outputs, self._like, self._sizes
        other._routes = self._routes
        return other

    def in_double(self, X):
        """The reader itself, or that of a copy of the module in float64 if it takes rows there."""
        if all(each.dtype == torch.float64 for each in self.model.parameters()):
            return self
        try:
            other = Reader(copied(self.model).double(), self.layers, self._check)
            other.prepare(X)
        except (RuntimeError, ValueError):  # no copies, or numbers of a certain precision
            return self
        return other

    def parameters(self):
        """Copies of the chosen parameters."""
        return {name: as_numpy(_array(real(each).clone())) for name, each in self._trained.items()}

    def outputs(self, rows):
        """Outputs (n, k) as an array, of so many rows at a time that activations take 64 MB."""
        try:
            with torch.enable_grad():  # without, some modules compute something else
                parts = [called(self.model, part).detach() for part in self._parts(rows)]
        finally:
            forget(self.model)
        return _in_double(torch.cat(parts))

    def _parts(self, rows):
        return rows.split(int(np.clip(2**26 / (self._sizes[2] + 1), 1, len(rows))))

    def move(self, rows, weigh):
        """Add gradients to the chosen parameters: see `sklearn_ntk.finite._readers`."""
        with torch.enable_grad():
            outputs = called(self.model, rows)
            before = _in_double(outputs)
            delta = torch.as_tensor(weigh(before), dtype=outputs.dtype, device=outputs.device)
            moves = gradients((outputs * delta).sum(), self._trained.values())
        with torch.no_grad():
            for parameter, move in zip(self._trained.values(), moves, strict=True):
                parameter += move
        return before

    @leaves_model
    def hidden(self, rows):
        """Inputs (n, p) of the linear module whose outputs are those of the model."""
        with torch.enable_grad():  # as above
            parts = [hidden(self.model, part, self._check) for part in self._parts(rows)]
        found = torch.cat(parts)
        return _array(found if self._last is None else self._last.features(found))


class _Routes:
    """Names of the parameters of the general route, and which entries hooks have read of others."""

    def __init__(self, general):
        self.general, self._keys = general, None

    def confirmed(self, keys, names, wrong):
        """Keys of entries in the order of the first run.

        Raises `OtherRoutes`, and sends hooked names to the general route: those that are wrong,
        those without an entry, and those of entries that not all runs have had, as of a module that
        runs for some rows only.
        """
        known = keys if self._keys is None else self._keys
        read = {name for own, *_ in keys for name in own}
        others = {name for own, *_ in set(keys) ^ set(known) for name in own}
        leaving = wrong | names - read | others
        self._keys = None if leaving else known
        if leaving:
            self.general |= leaving
            raise OtherRoutes
        return known


def _array(tensor):
    """NumPy array of a tensor on the CPU, in single precision for half; other tensors as is."""
    tensor = tensor.detach()
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def _in_double(tensor):
    """NumPy array of a tensor in float64."""
    return as_numpy(_array(tensor)).astype(np.float64)
