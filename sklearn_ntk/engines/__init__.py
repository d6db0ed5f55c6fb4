"""How programs run. Internal.

`schedule` orders the work on pairs of positions, `rows` carries single rows, `packing` and
`sources` make arrays and code of programs. `reference` is the readable engine, `numba` the
compiled one.
"""
