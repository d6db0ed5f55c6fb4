// Operations of schedules on lines, in CUDA C++: a launch for each operation.
//
// `cuda_lines.py` puts types and constants before this text, the parameters of all kernels for
// PARAMETERS, for MAPS the kernels that are written from traced formulas, and what begins a
// kernel. A line is (PARTS, n_lanes), one number for each pair of rows (lane) and part of the
// state; a thread computes one lane of one of the `SIZE` lines of an operation, whose row in
// `ops` has the fields that the constants name. Threads share nothing, but for those of the
// kernel `field`, which is right for any number of them in a block: a program of C++ for one
// processor defines STRIDE as 1.

#define EACH_PART for (int part = 0; part < PARTS; ++part)

// The thread's line `e` and pair of rows (i, j); AT is a number of a line.
#define BEGIN                                                 \
  const int lane = blockIdx.y * COLUMNS + threadIdx.x;        \
  const int e = blockIdx.x * WARPS + threadIdx.y;             \
  const place_t *op = ops + (place_t)o * FIELDS;              \
  if (lane >= n_pairs || e >= op[SIZE]) return;               \
  [[maybe_unused]] const int i = left[lane], j = right[lane]; \
  T s[PARTS];
#define AT(line, part) lines[((place_t)(line) * PARTS + (part)) * n_lanes + lane]
#define TABLE(field, place) tables[op[field] + (place)]

// A step: where its records begin, its positions, the length of a record.
#define STEP_OF(place)                                                                    \
  const place_t k = place, *layout = steps + 4 * k;                                       \
  [[maybe_unused]] const place_t first = layout[0], count = layout[1], width = layout[2]; \
  [[maybe_unused]] const T *number = numbers + k * n_numbers;                             \
  [[maybe_unused]] const place_t dx = count * left_n, dy = count * right_n;

// Records of the positions p of row i and q of row j; entries are `dx` and `dy` apart.
#define RECORDS                                                                     \
  [[maybe_unused]] const T *x = left_records + (first + p) * left_n + i * left_row; \
  [[maybe_unused]] const T *y = right_records + (first + q) * right_n + j * right_row;

#define POSITIONS const int p = TABLE(LEFT, e), q = TABLE(RIGHT, e);

// The state: the sum of the lines of the table `SOURCES`, or the line itself if it has no terms.
#define TAKE                                                                  \
  const int terms = (int)op[TERMS];                                           \
  if (terms == 0) {                                                           \
    EACH_PART s[part] = AT(op[OUT] + e, part);                                \
  } else {                                                                    \
    const int *source = &TABLE(SOURCES, (place_t)terms * e);                  \
    EACH_PART s[part] = AT(source[0], part);                                  \
    for (int t = 1; t < terms; ++t) EACH_PART s[part] += AT(source[t], part); \
  }

#define PUT EACH_PART AT(op[OUT] + e, part) = s[part];

// A position of a row paired with itself: distance zero, and the NTK of a signal with shared noise.
#define EQUAL(kept)                                               \
  if (own && p == q) {                                            \
    EACH_PART s[part] = IS_NTK(part) ? s[part] / (kept) : T(0.0); \
  }
#define IS_NTK(part) ((part) == 1 || (part) > 3)

// Squared distance of the inputs at the positions p and q, and zero NTKs.
#define INPUT                                                               \
  const T *x = left_X + (place_t)p * channels * left_n + i * left_X_row;    \
  const T *y = right_X + (place_t)q * channels * right_n + j * right_X_row; \
  const T scale = T(1.0) / T(channels);                                     \
  EACH_PART s[part] = T(0.0);                                               \
  for (int c = 0; c < channels; ++c) {                                      \
    const T difference = x[c * left_n] - y[c * right_n];                    \
    s[0] += scale * difference * difference;                                \
  }

// Variances at a position of one row, the distances of pairs with the other position outside, and
// their rates; they are stored behind a record and its rates.
#define OUTSIDE(is_right, position)                                                          \
  const T *records = is_right ? right_records + j * right_row : left_records + i * left_row; \
  const place_t n = is_right ? right_n : left_n;                                             \
  const place_t place = first + count * width * (PARTS > 2 ? 3 : 1) + position;              \
  EACH_PART s[part] = IS_NTK(part) ? T(0.0) : records[(place + RATE(part) * count) * n];
#define RATE(part) ((part) > 0 ? (part)-1 : 0)

KERNEL clear(PARAMETERS) {
  BEGIN
  EACH_PART s[part] = T(0.0);
  PUT
}

KERNEL begin(PARAMETERS) {
  BEGIN
  POSITIONS
  INPUT
  PUT
}

KERNEL extend(PARAMETERS) {
  BEGIN
  STEP_OF(op[STEP])
  const bool is_right = TABLE(LEFT, e);
  OUTSIDE(is_right, TABLE(RIGHT, e))
  PUT
}

KERNEL gather(PARAMETERS) {
  BEGIN
  TAKE
  PUT
}

// Sums of lines: the line with the number e of the table `LEFT` is the sum of the lines with the
// places RIGHT[e] .. RIGHT[e + 1] of the table `SOURCES`, and of what it was if there are `TERMS`.
#define SUM(...)                                                \
  const place_t target = TABLE(LEFT, e);                        \
  EACH_PART s[part] = op[TERMS] ? AT(target, part) : T(0.0);    \
  T total[PARTS];                                               \
  EACH_PART total[part] = T(0.0);                               \
  for (int t = TABLE(RIGHT, e); t < TABLE(RIGHT, e + 1); ++t) { \
    const place_t source = TABLE(SOURCES, t);                   \
    __VA_ARGS__                                                 \
  }                                                             \
  EACH_PART AT(target, part) = s[part] + total[part];

KERNEL scatter(PARAMETERS) {
  BEGIN
  SUM(EACH_PART total[part] += AT(source, part);)
}

MAPS

// --- Fields --------------------------------------------------------------------------------------
//
// A block of threads carries the pairs of positions of one difference, for one pair of rows, through
// the convolutions of a segment. They are cells in shared memory, a grid on which the left position
// moves, with a margin. For the table of the operation see `_field` in `packing/launches.py`.

#ifndef STRIDE
#define STRIDE blockDim.x
#define BARRIER __syncthreads();
#define SHARED_MEMORY(name) extern __shared__ double name[];
#endif

enum { SAVE = -2, SWAP = -3, ADD = -4 };

// The places of a field on a grid: `size_u` x `size_v` cells, which begin at a position of the grid.
// From `end_u` and `end_v` on, the right position of a place is beyond the end of a ring.
struct Grid {
  int height, across, start_u, start_v, shift_u, shift_v, size_u, size_v, end_u, end_v, step;
  float inverse;
};

// `numbers` are the shape of the grid and the strides from there to the end, where shifts are given.
__device__ __forceinline__ Grid grid_of(const int *numbers, const int *shift, const int *table) {
  Grid grid;
  const bool is_ring = table[1];
  grid.height = numbers[0], grid.across = numbers[1];
  grid.shift_u = shift[0] * numbers[2], grid.shift_v = shift[1] * numbers[3];
  grid.start_u = is_ring || grid.shift_u > 0 ? 0 : -grid.shift_u;
  grid.start_v = is_ring || grid.shift_v > 0 ? 0 : -grid.shift_v;
  grid.size_u = grid.height - (is_ring ? 0 : abs(grid.shift_u));
  grid.size_v = grid.across - (is_ring ? 0 : abs(grid.shift_v));
  grid.end_u = is_ring ? grid.height - grid.shift_u : grid.size_u;
  grid.end_v = is_ring ? grid.across - grid.shift_v : grid.size_v;
  grid.step = grid.size_v + table[6] + table[7];
  grid.inverse = 1.0f / grid.size_v;
  return grid;
}

// Places t of the field: coordinates (u, v), positions (p, q), and the cell.
#define EACH_PLACE(grid)                                                                    \
  for (int t = threadIdx.x; t < grid.size_u * grid.size_v; t += STRIDE) {                   \
    const int u = int((t + 0.5f) * grid.inverse), v = t - u * grid.size_v;                  \
    [[maybe_unused]] const int p = (u + grid.start_u) * grid.across + v + grid.start_v;     \
    [[maybe_unused]] int q = p + grid.shift_u * grid.across + grid.shift_v;                 \
    if (u >= grid.end_u) q -= grid.height * grid.across;                                    \
    if (v >= grid.end_v) q -= grid.across;                                                  \
    const int cell = (u + above) * grid.step + v + before;

// The state of a cell: the sum over the window, of which `size` cells are `apart`, most often 3.
#define TAKE_WINDOW                                                                       \
  const T *window = source + (u * stride_u + above) * old.step + v * stride_v + before + from; \
  EACH_PART s[part] = window[part * n_cells];                                             \
  if (size == 3) {                                                                        \
    EACH_PART s[part] += window[part * n_cells + apart];                                  \
    EACH_PART s[part] += window[part * n_cells + 2 * apart];                              \
  } else {                                                                                \
    for (int w = 1; w < size; ++w)                                                        \
      EACH_PART s[part] += window[part * n_cells + w * apart];                            \
  }

#define PUT_CELL EACH_PART target[part * n_cells + cell] = s[part];

extern "C" __global__ void __launch_bounds__(THREADS) field(PARAMETERS) {
  if (threadIdx.x >= STRIDE) return;
  SHARED_MEMORY(memory)
  const int lane = blockIdx.x, e = blockIdx.y;
  const place_t *op = ops + (place_t)o * FIELDS;
  const int i = left[lane], j = right[lane];
  const int *table = &TABLE(LEFT, 0), *shift = &TABLE(RIGHT, 2 * e);
  const int above = table[4], before = table[6];
  const Grid first_grid = grid_of(table + 8, shift, table);
  const int n_cells = (first_grid.size_u + above + table[5]) * first_grid.step;
  T *const cells = (T *)memory, *source = cells, *target = cells;
  T s[PARTS];
  int order[MOST_FIELDS], n_saved = 0;  // of fields: the state, the next one, and saved ones
  for (int f = 0; f < MOST_FIELDS; ++f) order[f] = f;
#define FIELD(f) (cells + PARTS * n_cells * order[f])
#define EXCHANGE(f, g)        \
  {                           \
    const int one = order[f]; \
    order[f] = order[g];      \
    order[g] = one;           \
  }

  {
    const int left_n = 1, right_n = 1;  // with fields, the numbers of a row are adjacent
    EACH_PLACE(first_grid)
      if (table[2]) {
        const place_t n_positions = first_grid.height * first_grid.across;
        const int line = TABLE(SOURCES, p * n_positions + q);
        EACH_PART s[part] = AT(line, part);
      } else {
        INPUT
      }
      EACH_PART source[part * n_cells + cell] = s[part];
    }
    for (int c = 0; c < table[0]; ++c) {
      const int *code = table + HEAD + CODE * c;
      if (code[0] == SWAP) {
        EXCHANGE(0, 1 + n_saved)
        continue;
      }
      const int axis = code[2], size = code[3];
      const Grid old = grid_of(code + 7, shift, table), grid = grid_of(code + 11, shift, table);
      const int apart = axis == 0 ? old.step : 1, from = -code[4] * apart;
      const int stride_u = axis == 0 ? code[5] : 1, stride_v = axis == 0 ? 1 : code[5];
      BARRIER
      target = source = FIELD(0);
      if (code[0] == SAVE) {
        target = FIELD(2 + n_saved);
        ++n_saved;
      }
      if (axis >= 0) {
        // The margin along the axis: coordinates `at` before 0 and from `length` on. The pair there
        // has one position outside the grid, or both, or on a ring it is one of the field.
        target = FIELD(1);
        EXCHANGE(0, 1)
        STEP_OF(code[6])
        const int length = axis == 0 ? old.size_u : old.size_v;
        const int others = axis == 0 ? old.size_v : old.size_u;
        const int start = axis == 0 ? old.start_u : old.start_v;
        const int shifted = axis == 0 ? old.shift_u : old.shift_v;
        const int whole = axis == 0 ? old.height : old.across;
        const int other_apart = axis == 0 ? 1 : old.step, corner = above * old.step + before;
        for (int t = threadIdx.x; t < (size - 1) * others; t += STRIDE) {
          const int margin = t / others, other = t - margin * others;
          const int at = margin < code[4] ? margin - code[4] : margin - code[4] + length;
          if (at >= length + table[axis == 0 ? 5 : 7]) continue;
          const int cell = corner + at * apart + other * other_apart;
          const int a = at + start, b = a + shifted;
          const bool left_is_in = a >= 0 && a < whole, right_is_in = b >= 0 && b < whole;
          if (table[1]) {
            const int inside = ((at % length) + length) % length;
            const int like = corner + inside * apart + other * other_apart;
            EACH_PART s[part] = source[part * n_cells + like];
          } else if (left_is_in != right_is_in) {
            const int left_other = other + (axis == 0 ? old.start_v : old.start_u);
            const int right_other = left_other + (axis == 0 ? old.shift_v : old.shift_u);
            const int along = right_is_in ? b : a, beside = right_is_in ? right_other : left_other;
            const int position = axis == 0 ? along * old.across + beside : beside * old.across + along;
            OUTSIDE(right_is_in, position)
          } else {
            EACH_PART s[part] = T(0.0);
          }
          EACH_PART source[part * n_cells + cell] = s[part];
        }
        BARRIER
      }
      switch (code[0] < 0 ? code[0] : cases[code[0]]) {
CASES
        case ADD: {
          --n_saved;
          const T *saved = FIELD(2 + n_saved);
          EACH_PLACE(grid)
            EACH_PART source[part * n_cells + cell] += saved[part * n_cells + cell];
          }
        } break;
        default: {
          EACH_PLACE(grid)
            TAKE_WINDOW
            PUT_CELL
          }
        }
      }
    }
  }
  source = FIELD(0);

  const Grid end = grid_of(table + 12, shift, table);
  if (table[3]) {
    const place_t n_positions = end.height * end.across;
    EACH_PLACE(end)
      const int line = TABLE(OTHERS, p * n_positions + q);
      if (line >= 0) EACH_PART AT(line, part) = source[part * n_cells + cell];
    }
    return;
  }
  EACH_PART s[part] = T(0.0);
  EACH_PLACE(end)
    EACH_PART s[part] += source[part * n_cells + cell];
  }
  BARRIER
  T *sums = cells;
  EACH_PART sums[part * STRIDE + threadIdx.x] = s[part];
  for (int half = STRIDE / 2; half > 0; half /= 2) {
    BARRIER
    if (threadIdx.x < half) EACH_PART {
        T *sum = sums + part * STRIDE + threadIdx.x;
        sum[0] += sum[half];
      }
  }
  if (threadIdx.x == 0) EACH_PART AT(op[OUT] + e, part) = sums[part * STRIDE];
}
