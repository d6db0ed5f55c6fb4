// Gram matrices of rows without positions, in CUDA C++: one launch for each block of pairs of rows.
//
// `cuda.py` puts types and constants before this text, the parameters of the kernel for
// PARAMETERS, and for CASES the steps of a program, written from the traced formulas. A thread
// carries ROWS adjacent rows, paired with one column, through the whole program; the threads of
// a warp have the same rows and LANES adjacent columns. No memory is shared, so that the text is
// right for any number of lanes and runs on a processor with one (a program of C++ then defines
// the macros of lanes).

#ifndef LANES
#define LANES 32
#define BALLOT(truth) __ballot_sync(0xffffffffu, truth)
#define SHUFFLE(number, lane) __shfl_sync(0xffffffffu, number, lane)
#define SHUFFLE_XOR(number, bits) __shfl_xor_sync(0xffffffffu, number, bits)
#define FIRST(bits) (__ffs(bits) - 1)
#endif

// Whether the pair of a row and the thread's column is in the block, and to be computed.
#define WANTED(row) ((row) < i1 && column < j1 && (!symmetric || column <= (row)))

// Sum of a number over the lanes of a warp, which all get it.
__device__ __forceinline__ double sum_of_lanes(double number) {
  for (int bits = LANES / 2; bits > 0; bits /= 2) number += SHUFFLE_XOR(number, bits);
  return number;
}

// Squared distance of the directions of x (d) and sign * y (d), as in `reference.tiles`, by all
// lanes of a warp together. `inverse` is 1 / |x|, `ratio` is |y| / |x|.
__device__ double squared_distance(const double *x, const double *y, int d, double inverse,
                                   double ratio, double sign, int lane) {
  const double scale = exp2(-rint(log2(ratio)));
  const double factor = sign * scale;
  ratio *= scale;
  double longer = 0.0, total = 0.0;
  for (int k = lane; k < d; k += LANES) {
    const double other = factor * y[k];
    longer += ((x[k] - other) * inverse) * ((x[k] + other) * inverse);
  }
  const double share = sum_of_lanes(longer) / ((1.0 + ratio) * ratio);
  for (int k = lane; k < d; k += LANES) {
    const double other = factor * y[k];
    const double apart = (x[k] - other) * inverse - share * (other * inverse);
    total += apart * apart;
  }
  return sum_of_lanes(total);
}

// Where entries of the block with the rows from i0 and the columns from j0 are stored: in `out`,
// and of a symmetric matrix also, mirrored, in the rows of the block if it has them, else in
// `mirror`.
struct Places {
  int i0, j0;
  place_t out_step, mirror_step, out_plane, mirror_plane;
  int symmetric;

  // Store entry `p` of the `unit` numbers of the pair (i, j) in the matrix `plane`.
  __device__ __forceinline__ void put(T *out, T *mirror, place_t plane, int i, int j, int unit,
                                      int p, T number) const {
    out += unit * (plane * out_plane) + p;
    out[unit * ((i - i0) * out_step + (j - j0))] = number;
    if (!symmetric || i == j) return;
    if (j >= i0) {
      out[unit * ((j - i0) * out_step + (i - j0))] = number;
    } else {
      mirror[unit * (plane * mirror_plane + (j - j0) * mirror_step + (i - i0)) + p] = number;
    }
  }
};

extern "C" __global__ void __launch_bounds__(COLUMNS * WARPS) fill_tiles(PARAMETERS) {
  const int lane = threadIdx.x % LANES;
  const int column = j0 + blockIdx.x * COLUMNS + threadIdx.x;
  const int top = i0 + (blockIdx.y * WARPS + threadIdx.y) * ROWS;
  // the lanes of a warp return together
  if (top >= i1 || (symmetric && column - lane > top + ROWS - 1)) return;

  const int j = column < j1 ? column : j1 - 1;
  const Places places = {i0, j0, out_step, mirror_step, out_plane, mirror_plane, symmetric};
  T s[ROWS][PARTS];
#if STACK
  T stack[STACK][ROWS][PARTS];
  int height = 0;
#endif
  int output = 0;

  // Gaps of the inputs, |x| |y| / d |u - v|^2 for directions u and v, zero NTKs, and rates. Gaps
  // come from inner products; where directions are close or nearly opposite, from differences.
  const T norm = right_norms[j], scale = right_scales[j], square = right_squares[j];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const int i = top + r < i1 ? top + r : i1 - 1;
    const T size = left_squares[i] + square, both = left_norms[i] * norm;
    const T product = products[(place_t)(i - i0) * (j1 - j0) + (j - j0)];
    const T value = larger(size - (product * (T(2.0) * left_scales[i])) * scale, T(0.0));
    const bool is_near = value <= T(0.5) * near * size;
    const bool is_apart = !is_near && value < T(4.0) - near;
    const bool is_itself = symmetric && i == j;  // the diagonal is that of single rows
    T gap = both * value;
    unsigned waiting = BALLOT(WANTED(top + r) && !is_apart && !is_itself && both > T(0.0));
    while (waiting) {
      const int other = FIRST(waiting);
      waiting &= waiting - 1;
      const int mate = column - lane + other;
      const double inverse = left_inverse[i], sign = SHUFFLE(is_near ? 1.0 : -1.0, other);
      const double *x = left_X + (place_t)i * d, *y = right_X + (place_t)mate * d;
      const double ratio = inverse / right_inverse[mate];
      const double total = squared_distance(x, y, d, inverse, ratio, sign, lane);
      if (lane == other) gap = both * T(is_near ? total : 4.0 - total);
    }
    s[r][0] = gap;
#pragma unroll
    for (int part = 1; part < PARTS; ++part) s[r][part] = T(0.0);
#if GRADIENT
    s[r][2] = scaled * gap;
    s[r][3] = moved;
#endif
  }

  for (int k = 0; k < n_steps; ++k) {
    const T *number = numbers + (place_t)k * n_numbers;
    const place_t head = (place_t)k * WIDTH;
    const T *left = left_heads + head * left_n, *right = right_heads + head * right_n;
#if GRADIENT
    const place_t rate = ((place_t)n_steps + k) * WIDTH;
    const T *left_0 = left_rates + head * left_n, *left_1 = left_rates + rate * left_n;
    const T *right_0 = right_rates + head * right_n, *right_1 = right_rates + rate * right_n;
#endif
    switch (kinds[k]) {
CASES
    }
  }
}
