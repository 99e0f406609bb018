// The byte shuffle of HDF5's filter 2: plane b holds byte b of every element. Each width that checkpoints use has
// its own loop with constant strides, which compilers vectorise.
#include "CKernels.h"
#include <string.h>

// Elements are taken in tiles that stay in the first-level cache while each plane is written.
enum { TILE = 2048 };

#define SHUFFLE(WIDTH)                                                                                          \
  static void shuffle##WIDTH(const uint8_t *restrict source, uint8_t *restrict target, size_t first,           \
                             size_t count, size_t n, size_t stride) {                                          \
    for (size_t start = 0; start < n; start += TILE) {                                                          \
      size_t length = n - start < TILE ? n - start : TILE;                                                      \
      for (size_t b = 0; b < count; b++) {                                                                      \
        const uint8_t *from = source + start * WIDTH + first + b;                                               \
        uint8_t *plane = target + b * stride + start;                                                           \
        for (size_t i = 0; i < length; i++) plane[i] = from[i * WIDTH];                                         \
      }                                                                                                         \
    }                                                                                                           \
  }

SHUFFLE(2)
SHUFFLE(4)
SHUFFLE(8)

static void unshuffle2(const uint8_t *restrict source, uint8_t *restrict target, size_t n) {
  const uint8_t *a = source, *b = source + n;
  for (size_t i = 0; i < n; i++) {
    target[2 * i] = a[i];
    target[2 * i + 1] = b[i];
  }
}

static void unshuffle4(const uint8_t *restrict source, uint8_t *restrict target, size_t n) {
  const uint8_t *a = source, *b = a + n, *c = b + n, *d = c + n;
  for (size_t i = 0; i < n; i++) {
    target[4 * i] = a[i];
    target[4 * i + 1] = b[i];
    target[4 * i + 2] = c[i];
    target[4 * i + 3] = d[i];
  }
}

static void unshuffle8(const uint8_t *restrict source, uint8_t *restrict target, size_t n) {
  const uint8_t *p = source;
  for (size_t i = 0; i < n; i++) {
    uint8_t *to = target + 8 * i;
    to[0] = p[i], to[1] = p[n + i], to[2] = p[2 * n + i], to[3] = p[3 * n + i];
    to[4] = p[4 * n + i], to[5] = p[5 * n + i], to[6] = p[6 * n + i], to[7] = p[7 * n + i];
  }
}

void ck_shuffle(const void *source, void *target, size_t width, size_t first, size_t count, size_t n,
                size_t stride) {
  const uint8_t *from = source;
  uint8_t *to = target;
  switch (width) {
    case 1: memcpy(to, from, count * n); return;
    case 2: shuffle2(from, to, first, count, n, stride); return;
    case 4: shuffle4(from, to, first, count, n, stride); return;
    case 8: shuffle8(from, to, first, count, n, stride); return;
    default:
      for (size_t b = 0; b < count; b++)
        for (size_t i = 0; i < n; i++) to[b * stride + i] = from[i * width + first + b];
  }
}

void ck_unshuffle(const void *source, void *target, size_t width, size_t n) {
  const uint8_t *from = source;
  uint8_t *to = target;
  switch (width) {
    case 1: memcpy(to, from, n); return;
    case 2: unshuffle2(from, to, n); return;
    case 4: unshuffle4(from, to, n); return;
    case 8: unshuffle8(from, to, n); return;
    default:
      for (size_t b = 0; b < width; b++)
        for (size_t i = 0; i < n; i++) to[i * width + b] = from[b * n + i];
  }
}
