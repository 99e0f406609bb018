// The bits of numbers: looked at as integers, rounded to narrower types, and put into order.
#ifndef EMBEDFUSE_BITS_H
#define EMBEDFUSE_BITS_H
#include <stdint.h>
#include <string.h>

static const uint64_t F64_EXPONENT = 0x7FF0000000000000u;

static inline float float_of(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}

static inline uint32_t bits_of(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

static inline uint64_t bits_of_double(double d) {
  uint64_t u;
  memcpy(&u, &d, 8);
  return u;
}

static inline double double_of(uint64_t u) {
  double d;
  memcpy(&d, &u, 8);
  return d;
}

// The bits of v rounded to a binary type with `mantissa` stored bits and the least normal exponent
// `min_exponent`; values that round past the largest finite one become `overflow`. Branch-free, so that loops
// over it vectorise.
//
// A normal result is rounded by an integer addition that carries into the exponent; a subnormal one by adding the
// power of two whose last place is the type's least value, which leaves the count of such values in the low bits.
__attribute__((always_inline)) static inline uint64_t rounded(double v, int mantissa, int min_exponent,
                                                              int sign_bit, uint64_t overflow, uint64_t nan) {
  const uint64_t u = bits_of_double(v), sign = u >> 63, magnitude = u & ~(1ull << 63);
  const int drop = 52 - mantissa;
  const uint64_t half = (1ull << (drop - 1)) - 1, odd = (magnitude >> drop) & 1;
  const uint64_t bias = (uint64_t)(1023 + min_exponent - 1) << mantissa;
  const uint64_t normal = ((magnitude + half + odd) >> drop) - bias;
  const double magic = double_of((uint64_t)(1023 + min_exponent + drop) << 52);
  const uint64_t subnormal = bits_of_double(double_of(magnitude) + magic) - bits_of_double(magic);
  const int small = magnitude < (uint64_t)(1023 + min_exponent) << 52;
  uint64_t result = small ? subnormal : normal;
  result = !small && normal > overflow - 1 ? overflow : result;
  result = magnitude > F64_EXPONENT ? nan : result;
  // NaN loses its sign, and a FNUZ type's zero has none: its NaN stands where -0 would.
  const int unsigned_zero = nan == 1ull << sign_bit;
  const int keeps_sign = (magnitude <= F64_EXPONENT) & (unsigned_zero ? result != 0 && result != nan : 1);
  return result | (keeps_sign ? sign << sign_bit : 0);
}

// Bits that order as the numbers do.
static inline uint64_t ordered_bits(double v) {
  const uint64_t u = bits_of_double(v);
  return u ^ ((uint64_t)((int64_t)u >> 63) | (1ull << 63));
}

// The bits of stored numbers as integers that order as the numbers do, -0 just below 0, and back: without a sign the
// sign bit is flipped, with it all bits.
#define ORDERED(BITS, U)                                                                                 \
  static inline U ordered##BITS(U u) {                                                                   \
    const U negative = (U)(u >> (BITS - 1)), sign = (U)((U)1 << (BITS - 1));                             \
    return (U)(u ^ ((U)(0 - negative) | sign));                                                          \
  }                                                                                                      \
  static inline U unordered##BITS(U u) {                                                                 \
    const U positive = (U)(u >> (BITS - 1)), sign = (U)((U)1 << (BITS - 1));                             \
    return (U)(u ^ ((U)(positive - 1) | sign));                                                          \
  }

ORDERED(8, uint8_t)
ORDERED(16, uint16_t)
ORDERED(32, uint32_t)
ORDERED(64, uint64_t)
#undef ORDERED
#endif
