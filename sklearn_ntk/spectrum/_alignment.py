"""Cosine between a kernel and the kernel of targets."""

import numpy as np


def alignment(K, Y, is_centred):
    """`Spectrum.alignment` of a kernel (n, n) and targets (n, k), of sizes about one."""
    if is_centred:
        Y = Y - Y.mean(axis=0)
        K = K - K.mean(axis=0)
        K = K - K.mean(axis=1)[:, None]
    size = np.linalg.norm(K) * np.linalg.norm(Y.T @ Y)
    return float(np.sum(Y * (K @ Y)) / size) if size > 0.0 else 0.0
