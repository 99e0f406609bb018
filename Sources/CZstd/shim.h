#ifndef EMBEDFUSE_CZSTD_SHIM_H
#define EMBEDFUSE_CZSTD_SHIM_H
#include <stdint.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

/// Compresses `count` parts of `length` bytes each, one after the other in `source`, into blocks of a frame. A block
/// ends with each part, so that each is coded with statistics of its own. Returns the size, 0 if it would not fit into `capacity`, or a
/// zstd error code.
static inline size_t ef_zstd_stream(ZSTD_CCtx *context, const void *source, size_t count, size_t length, void *target,
                                    size_t capacity) {
  ZSTD_outBuffer output = {target, capacity, 0};
  ZSTD_inBuffer input = {source, 0, 0};
  for (size_t part = 0; part < count; part++) {
    input.size += length;
    for (size_t status = 1; status > 0;) {
      status = ZSTD_compressStream2(context, &output, &input, part + 1 < count ? ZSTD_e_flush : ZSTD_e_end);
      if (ZSTD_isError(status)) return status;
      if (status > 0 && output.pos == capacity) return 0;
    }
  }
  return output.pos;
}

/// Begins a frame of `size` bytes, with or without its size and checksum.
static inline size_t ef_zstd_begin(ZSTD_CCtx *context, size_t size, int tells) {
  size_t status = ZSTD_CCtx_reset(context, ZSTD_reset_session_only);
  if (!ZSTD_isError(status)) status = ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, tells);
  if (!ZSTD_isError(status)) status = ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, tells);
  return ZSTD_isError(status) ? status : ZSTD_CCtx_setPledgedSrcSize(context, size);
}

/// Compresses the parts into one frame with its content size and checksum.
static inline size_t ef_zstd_compress(ZSTD_CCtx *context, const void *source, size_t count, size_t length,
                                      void *target, size_t capacity) {
  const size_t status = ef_zstd_begin(context, count * length, 1);
  return ZSTD_isError(status) ? status : ef_zstd_stream(context, source, count, length, target, capacity);
}

static inline void ef_zstd_put(uint8_t *target, uint32_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) target[i] = (uint8_t)(value >> (8 * i));
}

// A frame whose first parts stand in it as they are (RFC 8878): a header of a single segment with a size of four bytes, each of
// these parts in raw blocks, the blocks of the others, and a checksum.
enum {
  EF_ZSTD_HEADER = 9,
  EF_ZSTD_BLOCK_HEADER = 3,
  EF_ZSTD_BLOCK = 1 << 17,
  EF_ZSTD_CHECKSUM = 4,
  // What zstd puts before blocks that are cut out of a frame of its own: a magic number, and two bytes for the descriptor,
  // which tells neither size nor dictionary nor checksum, and the window.
  EF_ZSTD_OWN_HEADER = 6
};

/// Where byte `at` of the first part stands in a frame.
static inline size_t ef_zstd_raw_place(size_t at) {
  return EF_ZSTD_HEADER + (at / EF_ZSTD_BLOCK + 1) * EF_ZSTD_BLOCK_HEADER + at;
}

/// Bytes from one part of `length` bytes to the next in a frame.
static inline size_t ef_zstd_raw_stride(size_t length) {
  return length + (length + EF_ZSTD_BLOCK - 1) / EF_ZSTD_BLOCK * EF_ZSTD_BLOCK_HEADER;
}

/// Completes a frame of `count` parts in which the first `raw` stand already. `rest` are the others, one after the other, and
/// `checksum` is the lower half of XXH64 over all. Returns the size, 0 if it would not fit into `capacity` (the first parts are
/// left as they are then), or a zstd error code.
///
/// The blocks of the rest are cut out of a frame of their own, whose matches reach no further back than itself. Returns 0 too
/// if that frame's header is not the one that is expected.
static inline size_t ef_zstd_compress_rest(ZSTD_CCtx *context, uint8_t *frame, size_t capacity, size_t raw, size_t count,
                                           size_t length, const void *rest, uint32_t checksum) {
  const size_t start = EF_ZSTD_HEADER + raw * ef_zstd_raw_stride(length);
  if (capacity < start + EF_ZSTD_CHECKSUM) return 0;
  size_t status = ef_zstd_begin(context, (count - raw) * length, 0);
  if (ZSTD_isError(status)) return status;
  uint8_t *const own = frame + start - EF_ZSTD_OWN_HEADER, kept[EF_ZSTD_OWN_HEADER];
  memcpy(kept, own, sizeof kept);
  status = ef_zstd_stream(context, rest, count - raw, length, own, capacity - start - EF_ZSTD_CHECKSUM + EF_ZSTD_OWN_HEADER);
  static const uint8_t expected[] = {0x28, 0xB5, 0x2F, 0xFD, 0};
  const int is_expected = memcmp(own, expected, sizeof expected) == 0;
  memcpy(own, kept, sizeof kept);
  if (status == 0 || ZSTD_isError(status)) return status;
  if (!is_expected) return 0;
  const size_t end = start - EF_ZSTD_OWN_HEADER + status;
  ef_zstd_put(frame, ZSTD_MAGICNUMBER, 4);
  frame[4] = 0xA4;  // A size of four bytes, a single segment, and a checksum.
  ef_zstd_put(frame + 5, (uint32_t)(count * length), 4);
  uint8_t *block = frame + EF_ZSTD_HEADER;
  for (size_t part = 0; part < raw; part++)
    for (size_t at = 0; at < length; at += EF_ZSTD_BLOCK) {
      const size_t size = length - at < EF_ZSTD_BLOCK ? length - at : EF_ZSTD_BLOCK;
      ef_zstd_put(block, (uint32_t)size << 3, EF_ZSTD_BLOCK_HEADER);
      block += EF_ZSTD_BLOCK_HEADER + size;
    }
  ef_zstd_put(frame + end, checksum, EF_ZSTD_CHECKSUM);
  return end + EF_ZSTD_CHECKSUM;
}
#endif
