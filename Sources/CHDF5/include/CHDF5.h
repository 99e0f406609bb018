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
/// How many files, and objects in them, the library has open.
int64_t ef_h5_open_count(void);

// MARK: - Reading

/// Opens a file for reading, without locks, which some network file systems lack.
hid_t ef_h5_open_file(const char *path);
/// Opens for reading what `size` mapped bytes hold, without copying them; they must outlast the file.
hid_t ef_h5_open_image(void *bytes, size_t size);
/// Bytes before the HDF5 data proper, which chunk addresses don't count; negative on failure.
int64_t ef_h5_userblock(hid_t file);
herr_t ef_h5_close_file(hid_t file);
/// Opens what stands at a path.
hid_t ef_h5_open_object(hid_t file, const char *path);
/// The kind of an opened object, `g`roup, `d`ataset or `o`ther, and its address in the file; 0 on failure.
char ef_h5_object_kind(hid_t object, uint64_t *address);
herr_t ef_h5_close_object(hid_t object);
herr_t ef_h5_close_group(hid_t group);
hid_t ef_h5_open_dataset(hid_t file, const char *path);
herr_t ef_h5_close_dataset(hid_t dataset);

/// Names gathered by an iteration: each a kind byte, the text and a NUL.
typedef struct {
  char *bytes;
  size_t count, capacity;
} ef_h5_names;

/// Gathers the links of a group in the order of their names: kind `h` for hard links, `s` for all others.
/// The bytes are the caller's to free, also on failure.
herr_t ef_h5_links(hid_t group, ef_h5_names *names);
/// Gathers the names of an object's attributes, kind `a`.
herr_t ef_h5_attributes(hid_t object, ef_h5_names *names);
/// A text attribute of at most `limit` bytes, fixed or variable in length, the caller's to free; NULL where
/// there is none.
char *ef_h5_read_text(hid_t object, const char *name, size_t limit, size_t *length);
/// The texts of an attribute that holds a row of them, fixed or variable in length, as kind `t`; their bytes and
/// those of the attribute are at most `limit`. 1, or 0 where there is no such attribute, or negative on failure.
int ef_h5_read_texts(hid_t object, const char *name, size_t limit, ef_h5_names *names);
/// How many integers an attribute holds, or -1 where there is none of integers.
int64_t ef_h5_count_integers(hid_t object, const char *name);
/// Reads the integers of an attribute, which must be exactly `count`.
herr_t ef_h5_read_integers(hid_t object, const char *name, uint64_t *values, hsize_t count);

/// What a dataset's element type is made of.
typedef struct {
  H5T_class_t kind;
  size_t size;
  int big_endian, other_order, is_signed;
  size_t sign, exponent_at, exponent, mantissa_at, mantissa, bias, precision;
  int is_complex;
} ef_h5_type;

herr_t ef_h5_describe_type(hid_t dataset, ef_h5_type *result);
/// A dataset's extents as an object of the library, the caller's to close.
hid_t ef_h5_space(hid_t dataset);
herr_t ef_h5_close_space(hid_t space);
/// The extents of a dataset, at most 32; the number of them, or -1 for a dataset without values.
int ef_h5_extents(hid_t dataset, hsize_t *extents);

/// How a dataset is stored: `c`ontiguous, in c`h`unks, `i`n its header, or `o`ther (also in external files).
/// With chunks, their extents; with filters, up to 8 of their numbers, first parameters and names.
typedef struct {
  char layout;
  hsize_t chunk[32];
  int filters;
  int filter[8];
  unsigned parameter[8];
  char filter_names[8][64];
} ef_h5_storage;

herr_t ef_h5_describe_storage(hid_t dataset, ef_h5_storage *result);
/// Writes the element that stands for all that was never written to `value`, in the dataset's own type of `size`
/// bytes: 1, or 0 where there is none, or negative on failure.
int ef_h5_fill_value(hid_t dataset, size_t size, void *value);
/// Where the values of a contiguous dataset stand; HADDR_UNDEF if they were never written.
haddr_t ef_h5_offset(hid_t dataset);
/// How many of a dataset's chunks were written.
herr_t ef_h5_chunk_count(hid_t dataset, hid_t space, hsize_t *count);
/// The corner, filter mask, address and bytes of the chunk at `index` among those that were written.
herr_t ef_h5_chunk_info(hid_t dataset, hid_t space, hsize_t index, hsize_t *corner, unsigned *mask, haddr_t *address,
                        hsize_t *size);
/// Bytes of the stored chunk at a corner; 0 where it was never written, negative on failure.
int64_t ef_h5_chunk_size(hid_t dataset, const hsize_t *corner);
/// Reads the stored bytes of the chunk at a corner, as many as `ef_h5_chunk_size` tells.
herr_t ef_h5_read_chunk(hid_t dataset, const hsize_t *corner, unsigned *mask, void *bytes);
/// Reads a chunk of a chunked dataset, or a whole dataset where rank is 0, through the library's own filters.
/// `extents` is what of the chunk lies within the dataset; the chunk's other bytes are left alone.
herr_t ef_h5_read(hid_t dataset, int rank, const hsize_t *corner, const hsize_t *extents, const hsize_t *chunk,
                  void *target);

/// Tries out a file of `size` bytes at `path`, or where that is NULL, the one in mapped `bytes`. The library gets so many
/// seconds of computing, and 256 MiB of memory besides the file's size: 1 if it came through, also with an error, 0 if
/// it did not, -1 if no process could be started.
int ef_h5_probe(const char *path, void *bytes, size_t size, unsigned seconds, size_t text_limit, uint64_t chunks);

// MARK: - Writing

/// Creates a file whose bytes depend on its contents alone, for readers of HDF5 1.10 and later.
hid_t ef_h5_create_file(const char *path);
herr_t ef_h5_flush_file(hid_t file);
/// Creates the group at the end of a path.
hid_t ef_h5_create_group(hid_t file, const char *path);
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
