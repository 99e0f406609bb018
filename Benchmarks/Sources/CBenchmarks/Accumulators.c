#include "CBenchmarks.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES
#endif

static inline float of_bf16(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

// Of finite numbers. A sum in binary64 is rounded to binary32 first; here only the time matters.
static inline uint16_t to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

static inline float same(float value) { return value; }

#define MEAN(NAME, STORED, SUM, WIDEN, NARROW)                                                              \
  CLONES void NAME(const STORED *x, size_t stride, STORED *restrict target, size_t n) {                     \
    const STORED *restrict a = x, *restrict b = a + stride, *restrict c = b + stride, *restrict d = c + stride; \
    for (size_t i = 0; i < n; i++) {                                                                        \
      const SUM sum = ((SUM)WIDEN(a[i]) + (SUM)WIDEN(b[i])) + ((SUM)WIDEN(c[i]) + (SUM)WIDEN(d[i]));        \
      target[i] = NARROW((float)(sum * (SUM)0.25));                                                         \
    }                                                                                                       \
  }

MEAN(mean_f32_in_binary32, float, float, same, same)
MEAN(mean_f32_in_binary64, float, double, same, same)
MEAN(mean_bf16_in_binary32, uint16_t, float, of_bf16, to_bf16)
MEAN(mean_bf16_in_binary64, uint16_t, double, of_bf16, to_bf16)
