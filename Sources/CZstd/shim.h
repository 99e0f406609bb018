#ifndef EMBEDFUSE_CZSTD_SHIM_H
#define EMBEDFUSE_CZSTD_SHIM_H
#include <zstd.h>
#include <zstd_errors.h>
#endif
