// What CUDA C++ needs to run on a processor, one thread after the other: warps have one lane, and
// in kernels with shared memory, which is full of NaN, the first thread of a block does all.
#include <math.h>
#include <stddef.h>

#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define LANES 1
#define BALLOT(truth) ((unsigned)(truth))
#define SHUFFLE(number, lane) (number)
#define SHUFFLE_XOR(number, bits) (number)
#define FIRST(bits) 0
#define STRIDE 1
#define BARRIER
#define SHARED_MEMORY(name)        \
  static double name[29056];       \
  for (double &cell : name) cell = NAN;

struct uint3 {
  unsigned x, y, z;
};
static uint3 blockIdx, threadIdx, blockDim, gridDim;

// Call a kernel with the arguments at these addresses, as a driver does.
template <class... A, size_t... I>
static void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
  kernel(*(A *)arguments[I]...);
}

template <class... A>
static void run_grid(void (*kernel)(A...), const unsigned *grid, const unsigned *block,
                     void **arguments) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  for (unsigned z = 0; z < grid[2]; ++z)
    for (unsigned y = 0; y < grid[1]; ++y)
      for (unsigned x = 0; x < grid[0]; ++x)
        for (unsigned v = 0; v < block[1]; ++v)
          for (unsigned u = 0; u < block[0]; ++u) {
            blockIdx = {x, y, z};
            threadIdx = {u, v, 0};
            call(kernel, arguments, std::index_sequence_for<A...>());
          }
}
