"""Source code of compiled loops, written from the traces of the formulas.

`tiles` writes loops over pairs of rows; `lines`, `line_series` and `attention` those over pairs of
positions.
"""
