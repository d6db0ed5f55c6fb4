"""Engines, which run programs on rows and pairs of rows. Internal.

`_work` is their interface to `gram`. `reference` is the readable engine, on NumPy arrays, `numba`
the compiled one. They share `rows` (the pass over single rows, which pairs read), `schedule` (the
order of the work on pairs of positions), `packing` (programs, rows and records as flat arrays) and
`sources` (the code of compiled loops, written from traced formulas).
"""
