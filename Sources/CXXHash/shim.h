#ifndef EMBEDFUSE_CXXHASH_SHIM_H
#define EMBEDFUSE_CXXHASH_SHIM_H
#include <xxhash.h>
// On x86-64 the library has the same functions for each instruction set, and picks the best.
#if defined(__x86_64__) && defined(__has_include)
#if __has_include(<xxh_x86dispatch.h>)
#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>
#define EMBEDFUSE_XXH3(name) name##_dispatch
#endif
#endif
#ifndef EMBEDFUSE_XXH3
#define EMBEDFUSE_XXH3(name) name
#endif

static inline XXH128_hash_t cxxhash_digest(const void *bytes, size_t count) {
  return EMBEDFUSE_XXH3(XXH3_128bits)(bytes, count);
}

static inline XXH_errorcode cxxhash_update(XXH3_state_t *state, const void *bytes, size_t count) {
  return EMBEDFUSE_XXH3(XXH3_128bits_update)(state, bytes, count);
}
#endif
