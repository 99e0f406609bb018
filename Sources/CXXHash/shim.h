#ifndef EMBEDFUSE_CXXHASH_SHIM_H
#define EMBEDFUSE_CXXHASH_SHIM_H
#include <xxhash.h>
#endif
