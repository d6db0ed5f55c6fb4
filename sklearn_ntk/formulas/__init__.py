"""The recursions of variances, covariances and tangent kernels, each formula once. Internal.

`tracing` records a formula and differentiates it, `writing` writes it as source code. `special` has
the functions that formulas are made of. `gaps` has the recursions of all instructions for rows and
for pairs of rows, `distances` those for positions and for pairs of positions, `series` those of
activations given by Hermite coefficients, and `attention` those of attention. `tile_traces` traces
`gaps`, `line_traces` traces `distances`, and `inputs` names the inputs of traces. Engines call the
formulas, or compile the source that is written from their traces.
"""
