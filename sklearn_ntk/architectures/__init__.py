"""Families of networks: functions that return a tuple of layers, which users may edit.

Networks on images and sequences begin with the shape of the rows, ``(height, width, channels)`` or
``(time, channels)``, in the order of ``ravel()``; volumes have an axis more.
"""

from .._values import publish
from ._images import cnn, myrtle, resnet
from ._sequences import recurrent, transformer
from ._tables import column_mlp, mlp, resmlp

__all__ = ["cnn", "column_mlp", "mlp", "myrtle", "recurrent", "resmlp", "resnet", "transformer"]

publish(__name__, globals())
