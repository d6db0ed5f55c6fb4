// Operations of schedules on lines, in CUDA C++: a launch for each operation.
//
// `cuda_lines.py` puts constants before this text, the parameters of all kernels for PARAMETERS,
// for MAPS the kernels that are written from traced formulas, and what begins a kernel. A line is (PARTS, n_lanes), one
// number for each pair of rows (lane) and part of the state; a thread computes one lane of one of
// the `SIZE` lines of an operation, whose row in `ops` has the fields that the constants name.
// Threads share nothing.

typedef long long place_t;

__device__ __forceinline__ T larger(T x, T y) { return y > x ? y : x; }
__device__ __forceinline__ T smaller(T x, T y) { return y < x ? y : x; }

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

// The step of the operation: where its records begin, its positions, the length of a record.
#define STEP_OF                                                                           \
  const place_t k = op[STEP], *layout = steps + 4 * k;                                    \
  [[maybe_unused]] const place_t first = layout[0], count = layout[1], width = layout[2]; \
  [[maybe_unused]] const T *number = numbers + k * n_numbers;

// Records of the positions p of row i and q of row j; entries are `dx` and `dy` apart.
#define RECORDS                                                            \
  STEP_OF                                                                  \
  const int p = TABLE(LEFT, e), q = TABLE(RIGHT, e);                       \
  [[maybe_unused]] const T *x = left_records + (first + p) * left_n + i;   \
  [[maybe_unused]] const T *y = right_records + (first + q) * right_n + j; \
  [[maybe_unused]] const place_t dx = count * left_n, dy = count * right_n;

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

KERNEL clear(PARAMETERS) {
  BEGIN
  EACH_PART s[part] = T(0.0);
  PUT
}

KERNEL begin(PARAMETERS) {
  BEGIN
  const T *x = left_X + (place_t)TABLE(LEFT, e) * channels * left_n + i;
  const T *y = right_X + (place_t)TABLE(RIGHT, e) * channels * right_n + j;
  const T scale = T(1.0) / T(channels);
  EACH_PART s[part] = T(0.0);
  for (int c = 0; c < channels; ++c) {
    const T difference = x[c * left_n] - y[c * right_n];
    s[0] += scale * difference * difference;
  }
  PUT
}

// Variances and their rates are stored behind a record and its rates.
KERNEL extend(PARAMETERS) {
  BEGIN
  STEP_OF
  const bool is_right = TABLE(LEFT, e);
  const T *records = is_right ? right_records + j : left_records + i;
  const place_t n = is_right ? right_n : left_n;
  const place_t place = first + count * width * (PARTS > 2 ? 3 : 1) + TABLE(RIGHT, e);
  s[0] = records[place * n];
  s[1] = T(0.0);
#if GRADIENT
  s[2] = records[(place + count) * n];
  s[3] = records[(place + 2 * count) * n];
  s[4] = s[5] = T(0.0);
#endif
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
