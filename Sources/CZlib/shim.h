#ifndef EMBEDFUSE_CZLIB_SHIM_H
#define EMBEDFUSE_CZLIB_SHIM_H
#include <zlib.h>
/* inflateInit2 is a macro with a cast, which Swift can't see. */
static inline int embedfuse_inflate_init(z_stream *stream, int window_bits) {
  return inflateInit2(stream, window_bits);
}
#endif
