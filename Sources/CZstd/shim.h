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

/// The same for a chunk of less than 4 GiB whose first `raw` parts are noise, which are stored as they are: RFC 8878, with a frame
/// of a single segment. `checksum` is the lower half of XXH64 over all parts.
///
/// The blocks of the other parts are cut out of a frame of their own, whose matches reach no further back than itself. Returns 0 too
/// if that frame's header is not the one that is expected.
static inline size_t ef_zstd_compress_rest(ZSTD_CCtx *context, const void *source, size_t raw, size_t count, size_t length,
                                           uint32_t checksum, void *target, size_t capacity) {
  // A magic number and two bytes: the descriptor, which tells neither size nor dictionary nor checksum, and the window.
  enum { OWN_HEADER = 6, HEADER = 9, BLOCK_HEADER = 3, BLOCK = 1 << 17, CHECKSUM = 4 };
  const size_t blocks = (length + BLOCK - 1) / BLOCK;
  const size_t start = HEADER + raw * (length + blocks * BLOCK_HEADER);
  if (capacity < start + CHECKSUM) return 0;
  uint8_t *const frame = (uint8_t *)target;
  size_t status = ef_zstd_begin(context, (count - raw) * length, 0);
  if (ZSTD_isError(status)) return status;
  status = ef_zstd_stream(context, (const uint8_t *)source + raw * length, count - raw, length, frame + start - OWN_HEADER,
                          capacity - start - CHECKSUM + OWN_HEADER);
  if (status == 0 || ZSTD_isError(status)) return status;
  static const uint8_t own[] = {0x28, 0xB5, 0x2F, 0xFD, 0};
  if (memcmp(frame + start - OWN_HEADER, own, sizeof own) != 0) return 0;
  const size_t end = start - OWN_HEADER + status;
  ef_zstd_put(frame, ZSTD_MAGICNUMBER, 4);
  frame[4] = 0xA4;  // A size of four bytes, a single segment, and a checksum.
  ef_zstd_put(frame + 5, (uint32_t)(count * length), 4);
  uint8_t *block = frame + HEADER;
  for (size_t part = 0; part < raw; part++)
    for (size_t at = 0; at < length; at += BLOCK) {
      const size_t size = length - at < BLOCK ? length - at : BLOCK;
      ef_zstd_put(block, (uint32_t)size << 3, BLOCK_HEADER);
      memcpy(block + BLOCK_HEADER, (const uint8_t *)source + part * length + at, size);
      block += BLOCK_HEADER + size;
    }
  ef_zstd_put(frame + end, checksum, CHECKSUM);
  return end + CHECKSUM;
}

/// True if samples of a part look like noise, of which entropy coding would save no more than a hundredth.
static inline int ef_zstd_is_noise(const void *part, size_t length) {
  enum { WINDOWS = 32, WINDOW = 64, SAMPLES = WINDOWS * WINDOW };
  if (length < 16 * SAMPLES) return 0;
  const uint8_t *const bytes = (const uint8_t *)part;
  uint32_t counts[256] = {0};
  for (size_t w = 0; w < WINDOWS; w++)
    for (size_t i = 0; i < WINDOW; i++) counts[bytes[(length - WINDOW) / (WINDOWS - 1) * w + i]]++;
  // The expected sum of squares is that of the means and of the variances, nearly one for each sample.
  uint64_t squares = 0;
  for (size_t v = 0; v < 256; v++) squares += (uint64_t)counts[v] * counts[v];
  return squares < SAMPLES * (SAMPLES / 256) * 23 / 20 + SAMPLES;
}
#endif
