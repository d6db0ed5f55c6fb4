"""The kernel of a finite network from what its layers see, without the Jacobian.

A layer ``y_t = W a_t`` at positions ``t`` adds ``sum_ts (a_it . a_js) (g_it . g_js)`` to the kernel
of rows i and j, for its inputs ``a`` and the gradients ``g`` of the outputs with respect to ``y``.
Everything here works on such pairs `Signal`, whether they come from torch or NumPy: arrays have the
methods that both share.

For several positions a term is computed in one of two ways, whichever takes fewer operations: by
the products of all pairs of positions ("ghost"), or by the gradients ``sum_t g_it a_it'`` of each
row ("explicit"). Signs of gradients need the latter, but for a single position, where ``sign(g a')
= sign(g) sign(a)'``, and for tokens.
"""

from math import prod
from typing import NamedTuple

import numpy as np

GHOST_COST = 64
"""Operations on each pair of positions, beside the products, that cost as much as memory does."""


class Signal(NamedTuple):
    """Inputs (n, T, p) and gradients (n, T, r, q) of a layer, for r functions of the outputs.

    Inputs (n, T) of whole numbers are tokens, whose vectors are the columns of a unit matrix. A
    parameter whose gradients J (n, r, q) are given has inputs (n, 1, 1) of ones.
    """

    name: str
    inputs: object
    gradients: object

    @property
    def is_tokens(self):
        """Whether inputs are tokens."""
        return self.inputs.ndim == 2

    @property
    def n_bytes(self):
        """Memory of both arrays."""
        return sum(prod(x.shape) * x.dtype.itemsize for x in (self.inputs, self.gradients))

    def rows(self, index):
        """The signals of a slice of the rows."""
        return self._replace(inputs=self.inputs[index], gradients=self.gradients[index])

    def merged(self):
        """The r functions as one, which gives the sum of their kernels: gradients (n, T, 1, rq)."""
        n, n_positions = self.gradients.shape[:2]
        return self._replace(gradients=self.gradients.reshape(n, n_positions, 1, -1))


def product(left, right, signs=(False, False), most=2**26):
    """Kernel (n, r, m, r) of a layer between its signals for two sets of rows.

    ``signs`` tells of each side whether the signs of its gradients take their place; at most about
    ``most`` bytes are taken beside the result.
    """
    left, right, signs = _signed(left, right, signs)
    (n, _, r, _), m = left.gradients.shape, len(right.gradients)
    if not any(signs) and _is_ghost_cheaper(left, right, n * m, r * r):
        return _ghost(left, right, most)
    return _explicit(left, right, signs, most)


def diagonal(signal, signs=(False, False), most=2**26, other=None):
    """Kernel (n, r) of a layer between each row and itself; arguments as those of `product`.

    ``other`` are the signals of the same rows in a network with other parameters, for the kernel
    between both networks.
    """
    left, right, signs = _signed(signal, signal if other is None else other, signs)
    n, n_positions, r, q = left.gradients.shape
    is_ghost = not any(signs) and _is_ghost_cheaper(left, right, n, r)
    size = 2 * (r + 1) * n_positions**2 if is_ghost else 3 * r * q * left.inputs.shape[-1]
    step, found = max(1, int(most / (size * left.gradients.dtype.itemsize))), []
    for start in range(0, n, step):
        sides = [side.rows(slice(start, start + step)) for side in (left, right)]
        if is_ghost:
            found.append(as_numpy(_own_kernel(*sides)))
        else:
            J, H = (_gradients(side, is_sign=s) for side, s in zip(sides, signs, strict=True))
            found.append(as_numpy((J * H).sum((2, 3))))
    return np.concatenate(found)


def _own_kernel(left, right):
    """Kernel (n, r) of each row with itself by products of all pairs of positions."""
    (a, g), (b, h) = ((side.inputs, side.gradients) for side in (left, right))
    if g.shape[1] == 1:
        return (1.0 if left.is_tokens else (a * b).sum(-1)) * (g * h).sum(-1)[:, 0]
    products = a[:, :, None] == b[:, None] if left.is_tokens else a @ b.swapaxes(1, 2)
    return (products[:, None] * (g.swapaxes(1, 2) @ h.swapaxes(1, 2).swapaxes(2, 3))).sum((2, 3))


def as_numpy(array):
    """NumPy array of an array, from whatever device."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def _is_ghost_cheaper(left, right, n_pairs, n_kernels):
    """Whether products of pairs of positions cost less than the gradients of each row.

    They are for so many pairs of rows, and kernels between functions.
    """
    (n, n_left, r, q), (m, n_right) = left.gradients.shape, right.gradients.shape[:2]
    if left.is_tokens or n_left == n_right == 1:
        return True
    p = left.inputs.shape[-1]
    ghost = n_pairs * n_left * n_right * (p + n_kernels * (q + GHOST_COST))
    return ghost < (n * n_left + m * n_right) * r * p * q + n_pairs * n_kernels * p * q


def _ghost(left, right, most):
    """Products of inputs times products of gradients, summed over pairs of positions."""
    (n, n_left, r, _), (m, n_right) = left.gradients.shape, right.gradients.shape[:2]
    fitting = most / (2 * n_left * n_right * r * r * right.gradients.dtype.itemsize)
    columns = max(1, min(m, int(fitting)))
    step, found = max(1, int(fitting / columns)), []
    for start in range(0, n, step):
        part = left.rows(slice(start, start + step))
        parts = (right.rows(slice(j, j + columns)) for j in range(0, m, columns))
        found.append(_joined([_ghost_of_all(part, each) for each in parts], 2))
    return _joined(found, 0)


def _joined(parts, axis):
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def _ghost_of_all(left, right):
    """`_ghost` of all pairs of rows at once."""
    (_, n_left, r, q), n_right = left.gradients.shape, right.gradients.shape[1]
    K = left.gradients.reshape(-1, q) @ right.gradients.reshape(-1, q).swapaxes(0, 1)
    K = K.reshape(-1, n_left, r, len(right.gradients), n_right, r)
    K *= _products(left.inputs, right.inputs)[:, :, None, :, :, None]
    return as_numpy(K.sum((1, 4)) if n_left * n_right > 1 else K[:, 0, :, :, 0])


def _products(a, b):
    """Inner products (n, T, m, S) of inputs, or whether tokens are the same."""
    shape = (*a.shape[:2], *b.shape[:2])
    if a.ndim == 2:
        return (a.reshape(-1, 1) == b.reshape(1, -1)).reshape(shape)
    return (a.reshape(-1, a.shape[2]) @ b.reshape(-1, b.shape[2]).swapaxes(0, 1)).reshape(shape)


def _explicit(left, right, signs, most):
    """Products of gradients with respect to the weights, some outputs of the layer at a time."""
    (n, _, r, q), m = left.gradients.shape, len(right.gradients)
    p = left.inputs.shape[-1]
    step = max(1, int(most / (2 * (n + m) * r * p * right.gradients.dtype.itemsize)))
    total = 0.0
    for start in range(0, q, step):
        J = H = _gradients(left, slice(start, start + step), signs[0])
        if right is not left or signs[0] != signs[1]:
            H = _gradients(right, slice(start, start + step), signs[1])
        K = J.reshape(n * r, -1) @ H.reshape(m * r, -1).swapaxes(0, 1)
        total = total + as_numpy(K.reshape(n, r, m, r))
    return total


def _gradients(signal, columns=slice(None), is_sign=False):
    """Gradients (n, r, q, p), or their signs, by the weights of some outputs of the layer."""
    g = signal.gradients[..., columns]
    n, n_positions, r, q = g.shape
    J = g.reshape(n, n_positions, r * q).swapaxes(1, 2) @ signal.inputs
    return (_sign(J) if is_sign else J).reshape(n, r, q, -1)


def _signed(left, right, signs):
    """Both sides, with signs of signals where these have the signs of gradients, and other signs.

    The latter are still to be taken, of gradients that are sums over positions. Those by tokens
    have one term each, once equal tokens of a row are joined.
    """
    if any(signs) and left.is_tokens:
        left, right = _by_token(left), _by_token(right)
    sides, rest = [], []
    for side, is_sign in zip((left, right), signs, strict=True):
        is_single = side.is_tokens or side.inputs.shape[1] == 1
        sides.append(_signs_of(side) if is_sign and is_single else side)
        rest.append(is_sign and not is_single)
    return *sides, tuple(rest)


def _by_token(signal):
    """Signals, in NumPy, whose gradients at the first of equal tokens of a row are their sum."""
    g, tokens = as_numpy(signal.gradients), as_numpy(signal.inputs)
    keys = (np.arange(len(tokens))[:, None] * (tokens.max() + 1) + tokens).ravel()
    order = keys.argsort(kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    flat = g.reshape(-1, *g.shape[2:])
    total = np.zeros_like(flat)
    total[order[starts]] = np.add.reduceat(flat[order], starts)
    return signal._replace(inputs=tokens, gradients=total.reshape(g.shape))


def _signs_of(signal):
    inputs = signal.inputs if signal.is_tokens else _sign(signal.inputs)
    return signal._replace(inputs=inputs, gradients=_sign(signal.gradients))


def _sign(array):
    return np.sign(array) if isinstance(array, np.ndarray) else array.sign()
