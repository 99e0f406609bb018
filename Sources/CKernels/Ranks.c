// Elements at a rank, and the ranks of elements by size: the same on every instruction set.
#include "CKernels.h"

#include <math.h>

#include "Bits.h"

// Quickselect (Hoare, 1961), the pivot being the median of three.
uint64_t ck_select(uint64_t *v, size_t n, size_t rank) {
  ptrdiff_t low = 0, high = (ptrdiff_t)n - 1;
  const ptrdiff_t place = (ptrdiff_t)rank;
  while (low < high) {
    const uint64_t a = v[low], b = v[low + (high - low) / 2], c = v[high];
    const uint64_t least = a < b ? a : b, most = a < b ? b : a, pivot = c < least ? least : c > most ? most : c;
    ptrdiff_t i = low, j = high;
    while (i <= j) {
      while (v[i] < pivot) i++;
      while (v[j] > pivot) j--;
      if (i > j) break;
      const uint64_t other = v[i];
      v[i++] = v[j];
      v[j--] = other;
    }
    if (place <= j)
      high = j;
    else if (place >= i)
      low = i;
    else
      break;
  }
  return v[rank];
}

void ck_ranks(const double *v, size_t n, uint64_t *room, double *places) {
  // The upper half of the bits of |v| with the place below; from the last place to the first, which a stable sort
  // keeps for equal ones.
  uint64_t *from = room, *to = room + n;
  for (size_t i = 0; i < n; i++) {
    const uint64_t size = bits_of_double(v[n - 1 - i]) & ~(1ull << 63);
    from[i] = (size >> 32 << 32) | (uint64_t)(n - 1 - i);
  }
  for (int shift = 32; shift < 64; shift += 8) {
    size_t start[256] = {0};
    for (size_t i = 0; i < n; i++) start[from[i] >> shift & 0xFF]++;
    size_t sum = 0;
    for (int bin = 0; bin < 256; bin++) {
      const size_t count = start[bin];
      start[bin] = sum;
      sum += count;
    }
    for (size_t i = 0; i < n; i++) to[start[from[i] >> shift & 0xFF]++] = from[i];
    uint64_t *const other = from;
    from = to;
    to = other;
  }
  // Where the upper halves are equal the numbers themselves are compared, by insertion.
  for (size_t i = 1; i < n; i++) {
    const uint64_t entry = from[i];
    const double size = fabs(v[entry & 0xFFFFFFFFu]);
    size_t j = i;
    while (j > 0 && from[j - 1] >> 32 == entry >> 32 && fabs(v[from[j - 1] & 0xFFFFFFFFu]) > size) {
      from[j] = from[j - 1];
      j--;
    }
    from[j] = entry;
  }
  const double step = n > 1 ? 1.0 / (double)(n - 1) : 0;
  for (size_t rank = 0; rank < n; rank++)
    places[from[rank] & 0xFFFFFFFFu] = n > 1 ? (double)rank * step : 0.5;
}
