// e^v, ln v and random numbers, inlined into loops that vectorise.
#ifndef EMBEDFUSE_SERIES_H
#define EMBEDFUSE_SERIES_H
#include "Bits.h"

// e^v and ln v by their series, without branches, so that loops over them vectorise: within two units in the last
// place, for |v| < 700 and for normal v > 0.
static inline double exponential(double v) {
  v = v < -708 ? -708 : v > 709 ? 709 : v;
  const double magic = 0x1.8p52, scaled = v * 1.4426950408889634 + magic, whole = scaled - magic;
  const double x = (v - whole * 0.693147180369123816490) - whole * 1.90821492927058770002e-10;
  double series = 1.0 / 6227020800;
  series = series * x + 1.0 / 479001600;
  series = series * x + 1.0 / 39916800;
  series = series * x + 1.0 / 3628800;
  series = series * x + 1.0 / 362880;
  series = series * x + 1.0 / 40320;
  series = series * x + 1.0 / 5040;
  series = series * x + 1.0 / 720;
  series = series * x + 1.0 / 120;
  series = series * x + 1.0 / 24;
  series = series * x + 1.0 / 6;
  series = series * x + 0.5;
  series = series * x + 1;
  series = series * x + 1;
  const uint64_t exponent = (bits_of_double(scaled) - bits_of_double(magic) + 1023) << 52;
  return series * double_of(exponent);
}

static inline double logarithm(double v) {
  const uint64_t u = bits_of_double(v), offset = u - 0x3FE6A09E667F3BCDu;  // sqrt(1/2)
  const int64_t exponent = (int64_t)offset >> 52;
  const double m = double_of(u - ((uint64_t)exponent << 52));
  const double s = (m - 1) / (m + 1), q = s * s;
  double series = 1.0 / 21;
  series = series * q + 1.0 / 19;
  series = series * q + 1.0 / 17;
  series = series * q + 1.0 / 15;
  series = series * q + 1.0 / 13;
  series = series * q + 1.0 / 11;
  series = series * q + 1.0 / 9;
  series = series * q + 1.0 / 7;
  series = series * q + 1.0 / 5;
  series = series * q + 1.0 / 3;
  series = series * q + 1;
  return (double)exponent * 0.69314718055994531 + 2 * s * series;
}

// Element `place` of the stream that `key` names: the top 53 bits of SplitMix64 (Steele, Lea and Flood, 2014), which
// is a function of a counter.
static inline uint64_t random_bits(uint64_t key, uint64_t place) {
  uint64_t z = key + (place + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (z ^ (z >> 31)) >> 11;
}

// HAS_HALF: instructions widen binary16.
#if defined(__x86_64__)
#define HAS_HALF 0
#else
typedef _Float16 half_floats __attribute__((vector_size(2 * CK_LANES)));
#define HAS_HALF 1
#endif
#endif
