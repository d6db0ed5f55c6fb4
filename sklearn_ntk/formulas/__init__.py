"""Formulas, each once: tracing, special functions, and what instructions do to rows and pairs.

Internal. `tracing` records a formula, differentiates it and writes it as source code; `special` has
the functions that formulas are made of; `gaps` says what instructions do to rows and pairs of rows,
`distances` what they do to pairs of positions, `series` and `attention` what needs sums.
"""
