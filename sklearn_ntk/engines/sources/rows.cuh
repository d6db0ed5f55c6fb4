// The pass over single rows without positions, in CUDA C++: variances, NTKs, records for pairs.
//
// `cuda_rows.py` puts types and constants before this text, the parameters of the kernel for
// PARAMETERS, and for CASES the steps of a program, written from the traced formulas. A thread
// carries one row through the whole program in double precision, T; records have the precision R
// of the pairs.

// Entry of a record: those that overflow become the largest number.
__device__ __forceinline__ R clipped(double x, double most) {
  return R(x > most ? most : (x < -most ? -most : x));
}

// Entry `f` of the record of step `k`; its square, times that of its factor, is compared with the
// largest number so far, which stays NaN once it is.
#define RECORD(f, number)                                                        \
  {                                                                              \
    const double entry = number, factor = factors[(place_t)k * WIDTH + f];       \
    heads[((place_t)k * WIDTH + f) * n + i] = clipped(entry, most);              \
    const double square = (factor * entry) * (factor * entry);                   \
    if (factor != 0.0 && worst == worst && !(square <= worst)) worst = square;   \
  }

// Rate of entry `f` along direction `p`.
#define RATE(p, f, number) \
  rates[(((place_t)p * n_steps + k) * WIDTH + f) * n + i] = clipped(number, most);

extern "C" __global__ void __launch_bounds__(THREADS) scan_rows(PARAMETERS) {
  const int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= n) return;
  double s[PARTS], worst = variances[i];
  s[0] = worst;
#pragma unroll
  for (int part = 1; part < PARTS; ++part) s[part] = 0.0;
#if GRADIENT
  s[2] = variance_rates[i];
#endif
#if STACK
  double stack[STACK][PARTS];
  int height = 0;
#endif
  int output = 0;
  for (int k = 0; k < n_steps; ++k) {
    const double *number = numbers + (place_t)k * n_numbers;
    switch (kinds[k]) {
CASES
    }
  }
  largest[i] = worst;
}
