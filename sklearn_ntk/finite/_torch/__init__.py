"""Finite networks of torch; the only package that imports it.

`_rules` has what each kind of module says of its parameters, `_record` runs a module and records
signals, which `_check` compares with autograd; `_reader` chooses for each parameter between its
rule and the general route of `_jacobians`; `_rows` makes tensors of rows, `_hidden` has what the
last layer takes in. `_refusals` are models whose rows depend on each other or on chance, or whose
outputs are not finite, `_state` has copies of modules and leaves them as they were. `_drawn` has
drawn networks as modules, `_linear` linear models of modules, `_tasks` task vectors.
"""

from ..._values import publish
from ._drawn import Drawn
from ._linear import Linearized
from ._reader import Reader
from ._tasks import TaskAddition, TaskVector, normalized_accuracy

__all__ = ["Drawn", "Linearized", "Reader", "TaskAddition", "TaskVector", "normalized_accuracy"]

publish("sklearn_ntk.finite", globals())
