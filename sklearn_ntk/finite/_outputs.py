"""Functions of the outputs of a network, whose gradients empirical kernels compare."""

import numbers
import reprlib
from typing import NamedTuple

import numpy as np

from .._runtime.memory import check_memory

FORMULAS = {
    "sgd": (False, False),
    "signgd": (True, True),
    "asymmetric_signgd": (False, True),
}
"""By name whether gradients of the rows ``X``, and of ``Y``, are replaced by their signs."""

OUTPUTS = ("mean", "trace", "sum", "blocks")
SINGLE = OUTPUTS[:-1]
"""Those with one number for each pair of rows."""


class Functions(NamedTuple):
    """Functions of k outputs whose kernels are wanted, and what divides the sum of these.

    ``places`` are the outputs that are such functions; without, it is the sum of all.
    """

    n_outputs: int
    places: range | None
    divisor: int = 1

    @property
    def number(self):
        """How many there are."""
        return 1 if self.places is None else len(self.places)

    def seeds(self, part=slice(None)):
        """Coefficients (r, k) of some of the functions."""
        if self.places is None:
            return np.ones((1, self.n_outputs))
        places = self.places[part]
        what = f"A function for each of {len(places)} outputs"
        check_memory(16.0 * len(places) * self.n_outputs, what, "take one output, or 'sum'")
        found = np.zeros((len(places), self.n_outputs))
        found[np.arange(len(places)), places] = 1.0
        return found

    def numbers(self):
        """How many to take at a time: all, or half of them, and so on."""
        found = [self.number]
        while found[-1] > 1:
            found.append(-(-found[-1] // 2))
        return found

    def parts(self, number):
        """Yield `seeds` of so many functions at a time."""
        for start in range(0, self.number, number):
            yield self.seeds(slice(start, start + number))


def functions_for(outputs, k, names=OUTPUTS):
    """`Functions` of k outputs for the argument ``outputs``; ``names`` are those allowed."""
    if isinstance(outputs, numbers.Integral) and not isinstance(outputs, bool):
        if not -k <= outputs < k:
            raise ValueError(f"outputs must be a number from 0 to {k - 1}; got {outputs}.")
        place = int(outputs) % k
        return Functions(k, range(place, place + 1))
    if not isinstance(outputs, str) or outputs not in names:
        raise ValueError(
            f"outputs must be one of {', '.join(names)} or the number of an output; got "
            f"{reprlib.repr(outputs)}."
        )
    if outputs == "sum":
        return Functions(k, None)
    return Functions(k, range(k), k if outputs == "mean" else 1)


def signs_for(formula):
    """Entry of `FORMULAS`; raises ValueError."""
    if not isinstance(formula, str) or formula not in FORMULAS:
        raise ValueError(
            f"formula must be one of {', '.join(FORMULAS)}; got {reprlib.repr(formula)}."
        )
    return FORMULAS[formula]
