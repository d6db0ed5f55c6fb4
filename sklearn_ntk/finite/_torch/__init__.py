"""Finite networks of torch; the only package that imports it.

`_rules` has what each kind of module says of its parameters, `_record` runs a module and records
signals, `_reader` checks a module and chooses for each parameter between its rule and the general
route of `_jacobians`; `_refusals` are modules whose rows would depend on each other or on chance.
`_drawn` has drawn networks as modules.
"""

from ._drawn import Drawn
from ._reader import Reader

__all__ = ["Drawn", "Reader"]
