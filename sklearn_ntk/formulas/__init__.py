"""The recursions of variances, covariances and tangent kernels, each formula once. Internal.

`tracing` records a formula and differentiates it, `writing` makes source code of it;
`special` has the functions that formulas are made of; `gaps` says what instructions do to rows and
pairs of rows, `distances` what they do to pairs of positions, `series` and `attention` what needs
sums. `tile_traces` and `line_traces` trace them, with `inputs` of fixed names.
"""
