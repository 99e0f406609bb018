// What the benchmarks need in C.
#ifndef EMBEDFUSE_CBENCHMARKS_H
#define EMBEDFUSE_CBENCHMARKS_H
#include <stddef.h>
#include <stdint.h>

/// Does nothing; calls of it tell a program that counts instructions where to start and to end.
void benchmark_mark(void);

// The mean of four inputs with sums in binary32 and in binary64, each in one loop from stored elements to stored
// elements: what the width of the accumulator alone costs.

/// target[i] = the mean of x[i], x[i + stride], x[i + 2 * stride] and x[i + 3 * stride].
void mean_f32_in_binary32(const float *x, size_t stride, float *target, size_t n);
void mean_f32_in_binary64(const float *x, size_t stride, float *target, size_t n);
/// The same for bfloat16.
void mean_bf16_in_binary32(const uint16_t *x, size_t stride, uint16_t *target, size_t n);
void mean_bf16_in_binary64(const uint16_t *x, size_t stride, uint16_t *target, size_t n);
#endif
