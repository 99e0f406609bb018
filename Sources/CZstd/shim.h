#ifndef EMBEDFUSE_CZSTD_SHIM_H
#define EMBEDFUSE_CZSTD_SHIM_H
#include <zstd.h>
#include <zstd_errors.h>

/// Compresses `count` parts of `length` bytes each, one after the other in `source`, into one frame with its
/// content size. A block of the frame ends with each part, so that each is coded with statistics of its own.
/// Returns the frame's size, 0 if it would not fit into `capacity`, or a zstd error code.
static inline size_t ef_zstd_compress(ZSTD_CCtx *context, const void *source, size_t count, size_t length,
                                      void *target, size_t capacity) {
  size_t status = ZSTD_CCtx_reset(context, ZSTD_reset_session_only);
  if (!ZSTD_isError(status)) status = ZSTD_CCtx_setPledgedSrcSize(context, count * length);
  if (ZSTD_isError(status)) return status;
  ZSTD_outBuffer output = {target, capacity, 0};
  ZSTD_inBuffer input = {source, 0, 0};
  for (size_t part = 0; part < count; part++) {
    input.size += length;
    do {
      status = ZSTD_compressStream2(context, &output, &input, part + 1 < count ? ZSTD_e_flush : ZSTD_e_end);
      if (ZSTD_isError(status)) return status;
      if (status > 0 && output.pos == capacity) return 0;
    } while (status > 0);
  }
  return output.pos;
}
#endif
