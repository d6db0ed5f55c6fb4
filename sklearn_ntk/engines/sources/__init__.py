"""Source code of compiled loops, written from the traces of the formulas.

`tiles` writes loops over pairs of rows; `lines`, `line_series` and `attention` those over pairs of
positions, which begin as `line_loops` says. `cuda`, `cuda_rows` and `cuda_lines` write kernels in
CUDA C++ for pairs of rows, single rows and pairs of positions, by the pieces of `cuda_text`.
"""
