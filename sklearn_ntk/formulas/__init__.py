"""The recursions of variances, covariances and tangent kernels, each formula once. Internal.

`tracing` records a formula, differentiates it and writes it as source code. `special` has the
functions that formulas are made of. `gaps` has the recursions of all instructions for rows and for
pairs of rows, `distances` those for pairs of positions, `series` those of activations given by
Hermite coefficients, and `attention` those of attention. Engines call them, or compile the source
that is written from them.
"""
