// What CUDA C++ needs to run on a processor. With one lane, the threads run one after the other;
// with more, the lanes of a warp are threads of the processor, and the warps run one after another; in
// kernels with shared memory, those of the first warp do all.
#include <math.h>
#include <stddef.h>

#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
static thread_local uint3 blockIdx, threadIdx;

#if LANES == 1
#define BALLOT(truth) ((unsigned)(truth))
#define SHUFFLE(number, lane) (number)
#define SHUFFLE_XOR(number, bits) (number)
#define FIRST(bits) 0
#define BARRIER
#else
#include <barrier>
#include <thread>
#include <vector>

static std::barrier<> meeting(LANES);
static double slots[LANES];
static thread_local int own_lane;

// The numbers of all lanes meet in `slots`; each lane gets what `take` makes of them.
template <class F>
static auto exchange(double number, F take) {
  slots[own_lane] = number;
  meeting.arrive_and_wait();
  auto taken = take();
  meeting.arrive_and_wait();
  return taken;
}

static unsigned ballot(bool truth) {
  return exchange(truth, [] {
    unsigned bits = 0;
    for (int lane = 0; lane < LANES; ++lane) bits |= unsigned(slots[lane]) << lane;
    return bits;
  });
}

static double shuffle(double number, int lane) {
  return exchange(number, [lane] { return slots[lane]; });
}

#define BALLOT(truth) ballot(truth)
#define SHUFFLE(number, lane) shuffle(number, lane)
#define SHUFFLE_XOR(number, bits) shuffle(number, own_lane ^ (bits))
#define FIRST(bits) __builtin_ctz(bits)
#define BARRIER meeting.arrive_and_wait();
#endif

// Shared memory of a block, at first full of NaN, and the number of threads that share it.
#define STRIDE LANES
#define SHARED_MEMORY(name)                    \
  static double name[29056];                   \
  BARRIER                                      \
  if (threadIdx.x == 0)                        \
    for (double &number : name) number = NAN;  \
  BARRIER

// Call a kernel with the arguments at these addresses, as a driver does.
template <class... A, size_t... I>
static void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
  kernel(*(A *)arguments[I]...);
}

// Run lane `lane` of all warps.
template <class... A>
static void run_lane(void (*kernel)(A...), const unsigned *grid, const unsigned *block,
                     void **arguments, unsigned lane) {
  for (unsigned z = 0; z < grid[2]; ++z)
    for (unsigned y = 0; y < grid[1]; ++y)
      for (unsigned x = 0; x < grid[0]; ++x)
        for (unsigned v = 0; v < block[1]; ++v)
          for (unsigned u = lane; u < block[0]; u += LANES) {
            blockIdx = {x, y, z};
            threadIdx = {u, v, 0};
            call(kernel, arguments, std::index_sequence_for<A...>());
          }
}

template <class... A>
static void run_grid(void (*kernel)(A...), const unsigned *grid, const unsigned *block,
                     void **arguments) {
#if LANES == 1
  run_lane(kernel, grid, block, arguments, 0);
#else
  std::vector<std::thread> threads;
  for (unsigned lane = 0; lane < LANES; ++lane)
    threads.emplace_back([=] {
      own_lane = lane;
      run_lane(kernel, grid, block, arguments, lane);
    });
  for (auto &thread : threads) thread.join();
#endif
}
