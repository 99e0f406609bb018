#include "CBenchmarks.h"

__attribute__((noinline)) void benchmark_mark(void) { __asm__ volatile(""); }
