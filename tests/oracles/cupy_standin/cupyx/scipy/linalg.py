import cupy
from scipy import linalg


def solve_triangular(
    a, b, trans=0, lower=False, unit_diagonal=False, overwrite_b=False, check_finite=False
):
    return cupy.ndarray(
        linalg.solve_triangular(a._host, b._host, trans, lower, unit_diagonal, check_finite=False)
    )
