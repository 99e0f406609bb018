#include "CKernels.h"

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

#include "Bits.h"
#include "Series.h"

// Elements that a loop over several inputs takes at a time, so that its partial results stay in the first-level
// cache. A multiple of CK_LANES.
enum { STRIP = 256 };

// From one widened source's strip to the next: no power of two, so that they don't meet in the same lines of the cache.
enum { STRIDE = STRIP + CK_LANES };

// Eight elements at once, one of each lane, where a loop over inputs should keep its results in registers. Comparisons give
// masks of all or no bits.
typedef double vector __attribute__((vector_size(8 * CK_LANES)));
typedef int64_t mask __attribute__((vector_size(8 * CK_LANES)));
typedef uint64_t longs __attribute__((vector_size(8 * CK_LANES)));
// The bits of as many elements stored in 32 and in 16 bits.
typedef float floats __attribute__((vector_size(4 * CK_LANES)));
typedef uint32_t words __attribute__((vector_size(4 * CK_LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * CK_LANES)));
typedef int16_t signed_halves __attribute__((vector_size(2 * CK_LANES)));
typedef int32_t signed_words __attribute__((vector_size(4 * CK_LANES)));
typedef int8_t flags __attribute__((vector_size(CK_LANES)));
#define LOAD(p) ({ vector v_; memcpy(&v_, (p), sizeof v_); v_; })
#define STORE(v, p) do { const vector v_ = (v); memcpy((p), &v_, sizeof v_); } while (0)
#define SELECT(m, a, b) ((vector)(((mask)(a) & (m)) | ((mask)(b) & ~(m))))

#define LANES_FUNCTION static inline __attribute__((always_inline))

// Calls a LANES_FUNCTION for a constant number of inputs: a few have loops of their own.
#define BY_COUNT(f, ...)                          \
  switch (count) {                                \
    case 2: return NAME(f)(2, __VA_ARGS__);       \
    case 3: return NAME(f)(3, __VA_ARGS__);       \
    case 4: return NAME(f)(4, __VA_ARGS__);       \
    case 5: return NAME(f)(5, __VA_ARGS__);       \
    default: return NAME(f)(count, __VA_ARGS__);  \
  }

// Calls the function of a type of 16 or 32 bits.
#define FOR_TYPE(f, ...)                           \
  (type == CK_F32   ? NAME(f##_F32)(__VA_ARGS__)   \
   : type == CK_F16 ? NAME(f##_F16)(__VA_ARGS__)   \
                    : NAME(f##_BF16)(__VA_ARGS__))

static size_t width_of(ck_type type) { return type == CK_F64 ? 8 : type == CK_F32 ? 4 : type <= CK_BF16 ? 2 : 1; }

// The reciprocal of a power of two, which is exact; else 0.
static double exact_reciprocal(double divisor) {
  int exponent;
  return frexp(divisor, &exponent) == 0.5 ? 1 / divisor : 0;
}

// log2 and exp2 from their series: libm's pow may differ in the last bit between processors, since it picks
// variants with fused multiply-adds.
static double log2_of(double v) {
  int exponent;
  double m = frexp(v, &exponent);  // 0.5 <= m < 1
  if (m < 0.70710678118654752) m *= 2, exponent -= 1;
  const double s = (m - 1) / (m + 1), q = s * s;  // log(m) = 2 atanh(s), |s| < 0.1716
  double series = 0;
  for (int n = 23; n >= 1; n -= 2) series = series * q + 1.0 / n;
  return exponent + 2 * s * series * 1.4426950408889634;
}

static double exp2_of(double v) {
  if (v > 1100) return INFINITY;
  if (v < -1100) return 0;
  const double whole = nearbyint(v), x = (v - whole) * 0.69314718055994531;  // |x| < 0.3466
  double series = 1;
  for (int n = 15; n >= 1; n--) series = series * x / n + 1;
  return ldexp(series, (int)whole);
}

double ck_power(double base, double exponent) {
  if (exponent == 0 || base == 1) return 1;
  if (exponent == 1) return base;
  if (base == 0) return exponent > 0 ? 0 : INFINITY;
  if (exponent == 2) return base * base;
  if (exponent == 0.5) return sqrt(base);
  if (exponent == -1) return 1 / base;
  return exp2_of(exponent * log2_of(base));
}

#define NAME(f) f##_baseline
#include "Loops.inc"
#undef NAME

#if defined(__x86_64__)
typedef _Float16 half_floats __attribute__((vector_size(2 * CK_LANES)));
#undef HAS_HALF
#define HAS_HALF 1
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#define NAME(f) f##_v3
#include "Loops.inc"
#undef NAME
#pragma clang attribute pop
// Without the second attribute a vector of eight elements would be split into two.
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"), min_vector_width(512))), apply_to = function)
#define NAME(f) f##_v4
#include "Loops.inc"
#undef NAME
#pragma clang attribute pop
#endif

// MARK: Types with 256 values

// The value of a byte with `mantissa` stored bits and this exponent bias. `extremes` says what the largest
// exponent means: 0 numbers only, with -0 for NaN (FNUZ); 1 NaN where all bits are set (E4M3FN); 2 infinity and
// NaN, as IEEE 754 has it.
static double byte_value(unsigned byte, int mantissa, int bias, int extremes) {
  const unsigned sign = byte >> 7, bits = byte & 0x7F;
  const unsigned fraction = bits & ((1u << mantissa) - 1), exponent = bits >> mantissa;
  if (extremes == 0 && byte == 0x80) return NAN;
  if (extremes == 1 && bits == 0x7F) return NAN;
  if (extremes == 2 && exponent == 31) return fraction ? NAN : sign ? -INFINITY : INFINITY;
  const uint64_t power = (uint64_t)(1023 + (exponent ? (int)exponent : 1) - bias - mantissa) << 52;
  const double value = (double)(fraction + (exponent ? 1u << mantissa : 0)) * double_of(power);
  return sign ? -value : value;
}

static int widen_bytes(const uint8_t *source, double *target, size_t n, int mantissa, int bias, int extremes) {
  double values[256];
  for (unsigned byte = 0; byte < 256; byte++) values[byte] = byte_value(byte, mantissa, bias, extremes);
  int found = 0;
  for (size_t i = 0; i < n; i++) {
    target[i] = values[source[i]];
    found |= !isfinite(target[i]);
  }
  return found;
}

// MARK: The table

typedef struct {
  int (*widen_f64)(const uint8_t *, double *, size_t);
  int (*widen_f32)(const uint8_t *, double *, size_t);
  int (*widen_f16)(const uint8_t *, double *, size_t);
  int (*widen_bf16)(const uint8_t *, double *, size_t);
  void (*narrow_f64)(const double *, uint8_t *, size_t);
  void (*narrow_f32)(const double *, uint8_t *, size_t);
  void (*narrow_f16)(const double *, uint8_t *, size_t);
  void (*narrow_bf16)(const double *, uint8_t *, size_t);
  void (*narrow_e4m3)(const double *, uint8_t *, size_t);
  void (*narrow_e5m2)(const double *, uint8_t *, size_t);
  void (*narrow_e4m3fnuz)(const double *, uint8_t *, size_t);
  void (*narrow_e5m2fnuz)(const double *, uint8_t *, size_t);
  void (*count_rounding)(ck_type, const double *, const uint8_t *, const double *, const uint8_t *, size_t, uint64_t *);
  void (*mean)(const double *, size_t, const double *, size_t, double, int, double *, size_t);
  void (*deltas)(const double *, size_t, const double *, size_t, double, int, double *, size_t);
  void (*delta_sums)(ck_sums, const double *, size_t, size_t, double *, size_t);
  void (*norms)(const double *, size_t, size_t, const double *, size_t, double *, size_t);
  void (*element_weights)(const double *, size_t, size_t, const double *, const double *, double, double *, size_t);
  void (*element_combine)(const double *, size_t, size_t, const double *, double, double *, double *, size_t);
  void (*interval)(const double *, const double *, double, double, double *, size_t);
  void (*keep)(double *, uint64_t, uint64_t, uint64_t, size_t);
  void (*keep_each)(double *, uint64_t, uint64_t, const double *, size_t);
  void (*vote)(const double *, const double *, size_t, const double *, const double *, size_t, int, double, int,
               double, double *, size_t);
  void (*keep_above)(double *, const double *, double, size_t);
  void (*sizes)(const double *, const double *, double *, size_t);
  void (*variances)(const double *, size_t, size_t, double *, size_t);
  void (*magnitudes)(const double *, double *, size_t);
  size_t (*histogram)(const double *, size_t, int, int, uint64_t, uint32_t *);
  size_t (*window_histogram)(const double *, size_t, uint32_t *);
  void (*place_histogram)(const double *, size_t, uint64_t, uint64_t, int, uint64_t, uint32_t *);
  size_t (*collect)(const double *, size_t, uint64_t, uint64_t, uint64_t, uint64_t *, uint64_t *, uint64_t *);
  void (*products)(const double *, size_t, size_t, const double *, double *, size_t);
  void (*compare)(const double *, size_t, size_t, double *, size_t);
  void (*add_product)(const double *, const double *, size_t, size_t, double, double *, size_t, size_t);
  void (*exponentials)(const double *, double, double, double, double *, size_t);
  void (*divergence)(const double *, const double *, double *, size_t);
  void (*fma_mean)(const double *, size_t, const double *, size_t, double, double *, size_t);
  int (*combine)(const ck_combination *, const ck_source *, size_t, size_t, double *, ck_type, void *, size_t, uint64_t *);
  int (*stored_delta_sums)(ck_sums, const ck_source *, size_t, size_t, double *, size_t);
  int (*stored_collect)(const ck_source *, size_t, ck_keys, size_t, uint64_t, ck_range *, size_t, size_t);
  int (*stored_vote)(const ck_consensus *, const ck_source *, size_t, size_t, uint64_t, ck_type, void *, size_t,
                     uint64_t *);
  int (*stored_kept_squares)(const ck_source *, size_t, size_t, size_t, double, double, double *, size_t);
  // By the logarithm of the elements' bytes.
  void (*encode_differences[4])(const uint8_t *, const uint8_t *, uint8_t *, size_t);
  void (*decode_differences[4])(uint8_t *, const uint8_t *, size_t);
} table;

#define TABLE(s)                                                                                               \
  {                                                                                                            \
    widen_f64##s, widen_f32##s, widen_f16##s, widen_bf16##s, narrow_f64##s, narrow_f32##s, narrow_f16##s,      \
    narrow_bf16##s, narrow_e4m3##s, narrow_e5m2##s, narrow_e4m3fnuz##s, narrow_e5m2fnuz##s, count_rounding##s, \
    mean##s, deltas##s, delta_sums##s, norms##s, element_weights##s, element_combine##s, interval##s, keep##s, \
    keep_each##s, vote##s, keep_above##s, sizes##s, variances##s, magnitudes##s, histogram##s,                 \
    window_histogram##s, place_histogram##s, collect##s, products##s, compare##s, add_product##s,              \
    exponentials##s, divergence##s, fma_mean##s, combine##s, stored_delta_sums##s, stored_collect##s,         \
    stored_vote##s, stored_kept_squares##s,                                                                    \
    {encode_differences8##s, encode_differences16##s, encode_differences32##s, encode_differences64##s},       \
    {decode_differences8##s, decode_differences16##s, decode_differences32##s, decode_differences64##s}        \
  }

static const table tables[] = {
    TABLE(_baseline),
#if defined(__x86_64__)
    TABLE(_v3),
    TABLE(_v4),
#endif
};

ck_level ck_best_level(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("x86-64-v4")) return CK_X86_64_V4;
  if (__builtin_cpu_supports("x86-64-v3")) return CK_X86_64_V3;
#endif
  return CK_BASELINE;
}

// -1 until first asked for. Racing threads would store the same value.
static _Atomic int chosen = -1;

ck_level ck_current_level(void) {
  int level = chosen;
  if (level < 0) chosen = level = (int)ck_best_level();
  return (ck_level)level;
}

void ck_use_level(ck_level level) {
  if (level <= ck_best_level()) chosen = (int)level;
}

static const table *current(void) { return &tables[ck_current_level()]; }

int ck_widen(ck_type type, const void *source, double *target, size_t n) {
  const table *t = current();
  switch (type) {
    case CK_F64: return t->widen_f64(source, target, n);
    case CK_F32: return t->widen_f32(source, target, n);
    case CK_F16: return t->widen_f16(source, target, n);
    case CK_BF16: return t->widen_bf16(source, target, n);
    case CK_F8_E4M3: return widen_bytes(source, target, n, 3, 7, 1);
    case CK_F8_E5M2: return widen_bytes(source, target, n, 2, 15, 2);
    case CK_F8_E4M3FNUZ: return widen_bytes(source, target, n, 3, 8, 0);
    case CK_F8_E5M2FNUZ: return widen_bytes(source, target, n, 2, 16, 0);
  }
  return 0;
}

void ck_narrow(ck_type type, const double *source, void *target, size_t n) {
  const table *t = current();
  switch (type) {
    case CK_F64: t->narrow_f64(source, target, n); return;
    case CK_F32: t->narrow_f32(source, target, n); return;
    case CK_F16: t->narrow_f16(source, target, n); return;
    case CK_BF16: t->narrow_bf16(source, target, n); return;
    case CK_F8_E4M3: t->narrow_e4m3(source, target, n); return;
    case CK_F8_E5M2: t->narrow_e5m2(source, target, n); return;
    case CK_F8_E4M3FNUZ: t->narrow_e4m3fnuz(source, target, n); return;
    case CK_F8_E5M2FNUZ: t->narrow_e5m2fnuz(source, target, n); return;
  }
}

void ck_count_rounding(ck_type type, const double *exact, const void *rounded, const double *base,
                       const void *rounded_base, size_t n, uint64_t *counts) {
  current()->count_rounding(type, exact, rounded, base, rounded_base, n, counts);
}

void ck_mean(const double *x, size_t stride, const double *c, size_t count, double divisor, int whole, double *target,
             size_t n) {
  current()->mean(x, stride, c, count, divisor, whole, target, n);
}

void ck_deltas(const double *x, size_t stride, const double *w, size_t count, double scale, int whole, double *target,
               size_t n) {
  current()->deltas(x, stride, w, count, scale, whole, target, n);
}

void ck_delta_sums(ck_sums sums, const double *x, size_t stride, size_t count, double *lanes, size_t n) {
  current()->delta_sums(sums, x, stride, count, lanes, n);
}

void ck_weighted_norms(const double *x, size_t stride, size_t count, const double *w, double *lanes, size_t n) {
  current()->norms(x, stride, count, w, 0, lanes, n);
}

void ck_element_weights(const double *x, size_t stride, size_t count, const double *scale, const double *prior,
                        double power, double *w, size_t n) {
  current()->element_weights(x, stride, count, scale, prior, power, w, n);
}

void ck_element_combine(const double *x, size_t stride, size_t count, const double *w, double lambda,
                        double *lanes, double *target, size_t n) {
  current()->element_combine(x, stride, count, w, lambda, lanes, target, n);
}

void ck_element_norms(const double *x, size_t stride, size_t count, const double *w, double *lanes, size_t n) {
  current()->norms(x, stride, count, w, n, lanes, n);
}

void ck_interval(const double *model, const double *base, double least, double greatest, double *target, size_t n) {
  current()->interval(model, base, least, greatest, target, n);
}

void ck_keep(double *v, uint64_t key, uint64_t start, double p, size_t n) {
  current()->keep(v, key, start, (uint64_t)(p * 0x1p53), n);
}

void ck_keep_each(double *v, uint64_t key, uint64_t start, const double *p, size_t n) {
  current()->keep_each(v, key, start, p, n);
}

void ck_vote(const double *base, const double *s, size_t stride, const double *votes, const double *w, size_t count,
             int elects, double zero_sign, int normalize, double scale, double *target, size_t n) {
  current()->vote(base, s, stride, votes, w, count, elects, zero_sign, normalize, scale, target, n);
}

void ck_keep_above(double *v, const double *keys, double least, size_t n) {
  current()->keep_above(v, keys, least, n);
}

void ck_sizes(const double *model, const double *base, double *target, size_t n) {
  current()->sizes(model, base, target, n);
}

void ck_variances(const double *x, size_t stride, size_t count, double *target, size_t n) {
  current()->variances(x, stride, count, target, n);
}

void ck_magnitudes(const double *v, double *lanes, size_t n) { current()->magnitudes(v, lanes, n); }

void ck_place_histogram(const double *keys, size_t n, uint64_t key, uint64_t start, int shift, uint64_t prefix,
                        uint32_t *bins) {
  current()->place_histogram(keys, n, key, start, shift, prefix, bins);
}

size_t ck_histogram(const double *keys, size_t n, int shift, int width, uint64_t prefix, uint32_t *bins) {
  return current()->histogram(keys, n, shift, width, prefix, bins);
}

size_t ck_window_histogram(const double *keys, size_t n, uint32_t *bins) {
  return current()->window_histogram(keys, n, bins);
}

size_t ck_collect(const double *keys, size_t n, uint64_t low, uint64_t high, uint64_t start, uint64_t *found_keys,
                  uint64_t *found_places, uint64_t *counts) {
  return current()->collect(keys, n, low, high, start, found_keys, found_places, counts);
}

int ck_stored_collect(const ck_source *x, size_t count, ck_keys keys, size_t first, uint64_t start, ck_range *ranges,
                      size_t range_count, size_t n) {
  return current()->stored_collect(x, count, keys, first, start, ranges, range_count, n);
}

int ck_stored_vote(const ck_consensus *way, const ck_source *x, size_t count, size_t first, uint64_t start,
                   ck_type type, void *target, size_t n, uint64_t *counts) {
  return current()->stored_vote(way, x, count, first, start, type, target, n, counts);
}

int ck_stored_kept_squares(const ck_source *x, size_t count, size_t first, size_t cut, double least, double least_after,
                           double *lanes, size_t n) {
  return current()->stored_kept_squares(x, count, first, cut, least, least_after, lanes, n);
}

void ck_products(const double *x, size_t stride, size_t count, const double *base, double *lanes, size_t n) {
  current()->products(x, stride, count, base, lanes, n);
}

void ck_compare(const double *x, size_t stride, size_t count, double *lanes, size_t n) {
  current()->compare(x, stride, count, lanes, n);
}

void ck_add_product(const double *b, const double *a, size_t rank, size_t stride, double scale, double *target,
                    size_t rows, size_t n) {
  current()->add_product(b, a, rank, stride, scale, target, rows, n);
}

void ck_exponentials(const double *x, double shift, double factor, double offset, double *target, size_t n) {
  current()->exponentials(x, shift, factor, offset, target, n);
}

void ck_divergence(const double *p, const double *q, double *target, size_t n) {
  current()->divergence(p, q, target, n);
}

void ck_fma_mean(const double *x, size_t stride, const double *c, size_t count, double divisor, double *target,
                 size_t n) {
  current()->fma_mean(x, stride, c, count, divisor, target, n);
}

int ck_combine(const ck_combination *way, const ck_source *x, size_t count, size_t first, double *lanes, ck_type type,
               void *target, size_t n, uint64_t *counts) {
  return current()->combine(way, x, count, first, lanes, type, target, n, counts);
}

int ck_stored_delta_sums(ck_sums sums, const ck_source *x, size_t count, size_t first, double *lanes, size_t n) {
  return current()->stored_delta_sums(sums, x, count, first, lanes, n);
}

static int width_index(size_t width) { return width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3; }

void ck_encode_differences(const void *source, const void *base, void *target, size_t width, size_t n) {
  current()->encode_differences[width_index(width)](source, base, target, n);
}

void ck_decode_differences(void *bytes, const void *base, size_t width, size_t n) {
  current()->decode_differences[width_index(width)](bytes, base, n);
}

double ck_exponential(double v) { return exponential(v); }

double ck_logarithm(double v) { return logarithm(v); }

double ck_random(uint64_t key, uint64_t place) { return (double)random_bits(key, place) * 0x1p-53; }

uint64_t ck_ordered_bits(double v) { return ordered_bits(v); }
