// The HDF5 calls that embedfuse makes.
//
// The program isn't linked with the library, which brings thirty others along: `ef_h5_load` loads it when it is first
// needed, and must have come back with 0 before any other of these is called; that and `ef_h5_load_early` may be called by
// any thread, all others by one at a time. A negative handle, htri_t or herr_t means failure.
#ifndef EMBEDFUSE_CHDF5_H
#define EMBEDFUSE_CHDF5_H
#include <stddef.h>
#include <stdint.h>
#if __has_include(<hdf5.h>)
#include <hdf5.h>
#elif __has_include(<hdf5/serial/hdf5.h>)  // Debian's place for one of several builds.
#include <hdf5/serial/hdf5.h>
#else
#error "HDF5's headers are missing: install libhdf5-dev (Debian, Ubuntu) or hdf5-devel (Fedora)"
#endif

// MARK: - The library itself

/// Loads the library if that wasn't done yet: 0, or -1 if it can't be, for the reason that `ef_h5_load_problem` gives.
int ef_h5_load(void);
/// Begins to load the library on a thread of its own, so that it is there when it is needed.
void ef_h5_load_early(void);
/// Why the library could not be loaded.
const char *ef_h5_load_problem(void);
/// Prepares the loaded library for the calling thread: it prints no messages.
herr_t ef_h5_enter(void);
/// Writes the innermost messages of the calling thread's error stack to `text`, then clears the stack.
void ef_h5_error_text(char *text, size_t capacity);
/// True if the library has a filter.
htri_t ef_h5_has_filter(int number);
/// How many files, and objects in them, the library has open. The fuzz target alone asks.
int64_t ef_h5_open_count(void);

// MARK: - Describing

/// How much of a file is described.
typedef struct {
  /// Bytes of an attribute at most.
  size_t text;
  /// Chunks of a dataset that are listed at most: the library takes time in the square of their number.
  uint64_t chunks;
  /// Groups within groups at most.
  int depth;
} ef_h5_limits;

/// What a dataset's element type is made of.
typedef struct {
  H5T_class_t kind;
  size_t size;
  int big_endian, other_order, is_signed;
  size_t sign, exponent_at, exponent, mantissa_at, mantissa, bias, precision;
  int is_complex;
} ef_h5_type;

/// Exit codes of the process that describes a file, besides 0: it took too much memory, had too much to say, or waited
/// for nothing, as did two others before it.
enum { EF_H5_TOO_LARGE = 2, EF_H5_TOO_LONG = 3, EF_H5_STUCK = 4 };

/// Bytes that are the caller's to free. If there are none, `error` is the system's error by which they could not be had,
/// ECANCELED if the caller wanted them no longer; where that is 0, `status` is what waitpid(2) tells of the process that
/// was to hand them over. It is ended by SIGXCPU if it computes too long.
typedef struct {
  void *bytes;
  size_t count;
  int status, error;
} ef_h5_description;

/// Describes the file of `size` bytes at `path`, or where that is NULL, the one in mapped `bytes`. The result has the
/// form that Description.h tells; none if the library fails on the file.
///
/// A process of its own does it. It gets 4 seconds of computing and one more for every 4 MB, 256 MiB of memory besides
/// the file's size, and may say 64 MiB and four times the file's size. Nothing that it says can be relied on: a hostile
/// file may have changed what it does. `is_cancelled` is asked every tenth of a second, by the calling thread; where it
/// returns other than 0, the process is ended.
ef_h5_description ef_h5_describe(const char *path, void *bytes, size_t size, ef_h5_limits limits,
                                 int (*is_cancelled)(void));

// MARK: - Reading

/// Opens a file for reading, without locks, which some network file systems lack.
hid_t ef_h5_open_file(const char *path);
/// Opens for reading what `size` mapped bytes hold, without copying them; they must outlast the file.
hid_t ef_h5_open_image(void *bytes, size_t size);
herr_t ef_h5_close_file(hid_t file);
hid_t ef_h5_open_dataset(hid_t file, const char *path);
herr_t ef_h5_close_dataset(hid_t dataset);
/// Bytes of the stored chunk at a corner of 32 coordinates, whatever the rank; 0 where it was never written, negative on
/// failure.
int64_t ef_h5_chunk_size(hid_t dataset, const hsize_t *corner);
/// Reads the stored bytes of the chunk at such a corner, as many as `ef_h5_chunk_size` tells.
herr_t ef_h5_read_chunk(hid_t dataset, const hsize_t *corner, unsigned *mask, void *bytes);
/// Reads a chunk of a chunked dataset, or a whole dataset where rank is 0, through the library's own filters.
/// `extents` is what of the chunk lies within the dataset; the chunk's other bytes are left alone. A dataset of another
/// rank, or whose elements don't have `size` bytes, is a failure.
herr_t ef_h5_read(hid_t dataset, size_t size, int rank, const hsize_t *corner, const hsize_t *extents,
                  const hsize_t *chunk, void *target);

// MARK: - Writing

/// Creates a file whose bytes depend on its contents alone, for readers of HDF5 1.10 and later.
hid_t ef_h5_create_file(const char *path);
herr_t ef_h5_flush_file(hid_t file);
/// Creates the group at the end of a path.
hid_t ef_h5_create_group(hid_t file, const char *path);
hid_t ef_h5_open_group(hid_t file, const char *path);
herr_t ef_h5_close_group(hid_t group);
/// Creates a dataset of a simple extent (a scalar where rank is 0).
/// With chunk dimensions it is chunked and takes zstd frames, shuffled where `shuffle` is true.
hid_t ef_h5_create_dataset(hid_t file, const char *path, hid_t type, int rank, const hsize_t *dimensions,
                           const hsize_t *chunk, int shuffle, int level);
/// Writes the whole of a dataset, in the dataset's own type.
herr_t ef_h5_write(hid_t dataset, const void *values);
/// Writes the stored bytes of the chunk at a corner, and tells where in the file they stand.
herr_t ef_h5_write_chunk(hid_t dataset, unsigned mask, const hsize_t *corner, size_t size, const void *bytes,
                         haddr_t *address);
/// Attaches a UTF-8 text of `length` bytes.
herr_t ef_h5_write_text(hid_t object, const char *name, const char *text, size_t length);
/// Attaches unsigned 64-bit integers.
herr_t ef_h5_write_integers(hid_t object, const char *name, const uint64_t *values, hsize_t count);

// Element types, the caller's to close.

/// A little-endian floating-point type with an implied leading bit, from its fields' positions and sizes.
hid_t ef_h5_float_type(size_t bytes, size_t exponent, size_t mantissa, size_t bias);
hid_t ef_h5_f32(void);
hid_t ef_h5_f64(void);
/// A complex number as h5py writes it: a compound of two binary32 fields.
hid_t ef_h5_complex_type(void);
/// A two's complement integer type, little-endian.
hid_t ef_h5_integer_type(size_t bytes, int is_signed);
herr_t ef_h5_close_type(hid_t type);
#endif
