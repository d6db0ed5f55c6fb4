"""The pass over single rows: variances at every step, diagonals, and the records that pairs read.

`tiles` is for rows without positions, `lines` and `blocks` for rows with positions.
"""
