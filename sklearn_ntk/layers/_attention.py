"""Self-attention and positional embeddings."""

from typing import NamedTuple

from .. import program
from .._values import value
from ..activations import Identity
from ..formulas import attention
from ..formulas.special import is_variance
from ..program import Pointwise
from ._windows import need_positions

MECHANISMS = tuple(attention.MECHANISMS)
SCALINGS = ("linear", "sqrt")


@value
class SelfAttention(NamedTuple):
    """Self-attention over all positions with infinitely many heads.

    J. Hron et al., "Infinite attention: NNGP and NTK for deep attention networks", ICML 2020. With
    linear scaling, queries and keys share their weights, and the scores of a row are
    ``sqrt(query_var key_var) K(x, x)``, a multiple of its own covariances. With the scaling "sqrt",
    scores stay random, and only the identity has a closed form. Like `Dense` and `Conv`, the layer
    may follow the input or an activation.

    Parameters
    ----------
    query_var, key_var, value_var, out_var : float
        Variances of the weights that make queries, keys, values and the output.
    bias_var : float or None
        Variance of the bias of the output; None takes the kernel's.
    mechanism : {"softmax", "identity", "relu", "abs"}
        Function that maps the scores to attention weights.
    scaling : {"linear", "sqrt"}
        Whether the inner products of queries and keys are divided by the width or by its square
        root.
    frozen : bool
        A frozen layer is not trained and adds nothing to the NTK.

    Examples
    --------
    >>> from sklearn_ntk.layers import SelfAttention
    >>> SelfAttention().mechanism
    'softmax'
    """

    query_var: float = 1.0
    key_var: float = 1.0
    value_var: float = 1.0
    out_var: float = 1.0
    bias_var: float | None = 0.0
    mechanism: str = "softmax"
    scaling: str = "linear"
    frozen: bool = False

    def lower(self, context):
        """Instructions of this layer: attention, values, output."""
        need_positions(context, "SelfAttention")
        for name, known in (("mechanism", MECHANISMS), ("scaling", SCALINGS)):
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in known:
                context.fail(
                    f"{name} must be one of {known}; got {getattr(self, name)!r}", "Correct it"
                )
        if self.scaling == "sqrt" and self.mechanism != "identity":
            context.fail(
                f"the scaling 'sqrt' has no closed form with the mechanism {self.mechanism!r}",
                "Take the mechanism 'identity', or the scaling 'linear'",
            )
        names = ("query_var", "key_var", "value_var", "out_var")
        if not all(is_variance(getattr(self, name)) for name in names):
            context.fail(f"the variances must be numbers >= 0; got {self!r}", "Correct them")
        bias, bias_tied = context.variance(self, "bias_var")
        is_trained = context.is_trained(self)
        scale = float((self.query_var * self.key_var) ** 0.5)
        yield program.Attend(context.grid, self.mechanism, self.scaling, scale, is_trained)
        yield Pointwise(Identity(), float(self.value_var), 0.0, is_trained)
        yield Pointwise(Identity(), float(self.out_var), bias, is_trained, bias_tied=bias_tied)
        context.weigh()


@value
class PositionalEmbedding(NamedTuple):
    """Add a Gaussian vector to each position, the same for all rows.

    Parameters
    ----------
    var : float
        Variance of its entries.
    length_scale : float or None
        Positions ``p`` and ``q`` have the covariance ``var exp(-|p - q|^2 / (2 length_scale^2))``;
        None makes them independent.
    frozen : bool
        A frozen embedding is not trained and adds nothing to the NTK.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.layers import Dense, Flatten, Input, PositionalEmbedding
    >>> start = (Input(3, 1), Dense(1.0, 0.0), PositionalEmbedding(0.5))
    >>> NNGPKernel(architecture=(*start, Flatten(), Dense(1.0, 0.0))).diag([[0.0, 0.0, 0.0]])
    array([0.5])
    """

    var: float = 1.0
    length_scale: float | None = None
    frozen: bool = False

    def lower(self, context):
        """Instructions of this layer."""
        need_positions(context, "PositionalEmbedding")
        if not context.signal.wide:
            context.fail(
                "PositionalEmbedding must follow a layer with weights: in the few channels of the "
                "rows themselves its products would not average out",
                "Put Dense() before it",
            )
        scale = 0.0 if self.length_scale is None else self.length_scale
        if not is_variance(self.var) or not is_variance(scale):
            context.fail(f"var and length_scale must be numbers >= 0; got {self!r}", "Correct them")
        is_trained = context.is_trained(self)
        yield program.Embed(context.grid, float(self.var), float(scale), is_trained)
