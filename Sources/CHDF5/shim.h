// The HDF5 calls that embedfuse makes, where C macros hide them from Swift or a few calls belong together.
// The numbered functions are called throughout: distributions map the plain names to different versions.
#ifndef EMBEDFUSE_CHDF5_SHIM_H
#define EMBEDFUSE_CHDF5_SHIM_H
#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Prepares the library for the calling thread: opened, silent, and not flushing files at exit.
static inline herr_t ef_h5_enter(void) {
  static int opened = 0;
  if (!opened) {
    H5dont_atexit();
    if (H5open() < 0) return -1;
    opened = 1;
  }
  return H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

typedef struct {
  char *text;
  size_t capacity;
  int depth;
} ef_h5_messages;

static inline herr_t ef_h5_collect(unsigned n, const H5E_error2_t *error, void *context) {
  ef_h5_messages *messages = (ef_h5_messages *)context;
  size_t used = strlen(messages->text);
  // The operating system's reason may stand anywhere.
  if (error->desc != NULL && (messages->depth++ < 3 || strstr(error->desc, "errno = ")))
    snprintf(messages->text + used, messages->capacity - used, "%s%s", used ? "; " : "", error->desc);
  return 0;
}

/// Writes the innermost messages of the calling thread's error stack to `text`, then clears the stack.
static inline void ef_h5_error_text(char *text, size_t capacity) {
  ef_h5_messages messages = {text, capacity, 0};
  text[0] = 0;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, ef_h5_collect, &messages);
  H5Eclear2(H5E_DEFAULT);
}

/// Closes a property list or a data space, and keeps the messages of the failure before it.
static inline void ef_h5_release(hid_t id, herr_t (*close)(hid_t)) {
  if (id < 0) return;
  hid_t messages = H5Eget_current_stack();
  close(id);
  if (messages >= 0) H5Eset_current_stack(messages);
}

/// Creates a file whose bytes depend on its contents alone, for readers of HDF5 1.10 and later.
static inline hid_t ef_h5_create_file(const char *path) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE), file = -1;
  if (access >= 0 && creation >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_LATEST) >= 0 &&
      H5Pset_file_locking(access, 0, 1) >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
      H5Pset_obj_track_times(creation, 0) >= 0)
    file = H5Fcreate(path, H5F_ACC_EXCL, creation, access);
  ef_h5_release(access, H5Pclose);
  ef_h5_release(creation, H5Pclose);
  return file;
}

/// Lets the library keep no more than 1 MiB of a file's metadata, which is read once; by itself it takes up to 32.
static inline herr_t ef_h5_limit_cache(hid_t access) {
  H5AC_cache_config_t cache = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
  if (H5Pget_mdc_config(access, &cache) < 0) return -1;
  cache.set_initial_size = 1;
  cache.initial_size = cache.min_size = 1 << 18;
  cache.max_size = 1 << 20;
  return H5Pset_mdc_config(access, &cache);
}

/// Opens a file for reading, without locks, which some network file systems lack.
static inline hid_t ef_h5_open_file(const char *path) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
  if (access >= 0 && H5Pset_file_locking(access, 0, 1) >= 0 &&
      H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 && ef_h5_limit_cache(access) >= 0)
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
  ef_h5_release(access, H5Pclose);
  return file;
}

// What opening a file within another needs of the library's memory: nothing, since the bytes are mapped already.
static inline void *ef_h5_image_same(size_t size, H5FD_file_image_op_t op, void *image) { return image; }
static inline void *ef_h5_image_nocopy(void *target, const void *source, size_t size, H5FD_file_image_op_t op,
                                       void *image) {
  return target;
}
static inline void *ef_h5_image_noresize(void *bytes, size_t size, H5FD_file_image_op_t op, void *image) {
  return NULL;
}
static inline herr_t ef_h5_image_keep(void *bytes, H5FD_file_image_op_t op, void *image) { return 0; }
static inline void *ef_h5_image_share(void *image) { return image; }
static inline herr_t ef_h5_image_unshare(void *image) { return 0; }

/// Opens for reading what `size` mapped bytes hold, without copying them; they must outlast the file.
static inline hid_t ef_h5_open_image(void *bytes, size_t size) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
  H5FD_file_image_callbacks_t callbacks = {ef_h5_image_same,   ef_h5_image_nocopy, ef_h5_image_noresize,
                                           ef_h5_image_keep,   ef_h5_image_share,  ef_h5_image_unshare,
                                           bytes};
  if (access >= 0 && H5Pset_fapl_core(access, 1 << 16, 0) >= 0 &&
      H5Pset_file_image_callbacks(access, &callbacks) >= 0 && H5Pset_file_image(access, bytes, size) >= 0 &&
      H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 && ef_h5_limit_cache(access) >= 0)
    file = H5Fopen("image", H5F_ACC_RDONLY, access);
  ef_h5_release(access, H5Pclose);
  return file;
}

/// Bytes before the HDF5 data proper, which chunk addresses don't count; negative on failure.
static inline int64_t ef_h5_userblock(hid_t file) {
  hsize_t size = 0;
  hid_t creation = H5Fget_create_plist(file);
  herr_t status = creation < 0 ? -1 : H5Pget_userblock(creation, &size);
  ef_h5_release(creation, H5Pclose);
  return status < 0 ? -1 : (int64_t)size;
}

/// Creates a dataset of a simple extent (a scalar where rank is 0).
/// With chunk dimensions it is chunked and takes zstd frames, shuffled where `shuffle` is true.
static inline hid_t ef_h5_create_dataset(hid_t file, const char *path, hid_t type, int rank,
                                         const hsize_t *dimensions, const hsize_t *chunk, int shuffle, int level) {
  hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, dimensions, NULL);
  hid_t link = H5Pcreate(H5P_LINK_CREATE), creation = H5Pcreate(H5P_DATASET_CREATE), dataset = -1;
  const unsigned values[1] = {(unsigned)level};
  int ok = space >= 0 && link >= 0 && creation >= 0 &&
           H5Pset_char_encoding(link, H5T_CSET_UTF8) >= 0 && H5Pset_obj_track_times(creation, 0) >= 0 &&
           H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0;
  if (ok && chunk != NULL)
    // Optional, or the library would refuse to create the dataset where it lacks the filter.
    ok = H5Pset_chunk(creation, rank, chunk) >= 0 && (!shuffle || H5Pset_shuffle(creation) >= 0) &&
         H5Pset_filter(creation, 32015, H5Z_FLAG_OPTIONAL, 1, values) >= 0;
  if (ok) dataset = H5Dcreate2(file, path, type, space, link, creation, H5P_DEFAULT);
  ef_h5_release(space, H5Sclose);
  ef_h5_release(link, H5Pclose);
  ef_h5_release(creation, H5Pclose);
  return dataset;
}

/// Creates the group at the end of a path.
static inline hid_t ef_h5_create_group(hid_t file, const char *path) {
  hid_t link = H5Pcreate(H5P_LINK_CREATE), creation = H5Pcreate(H5P_GROUP_CREATE), group = -1;
  if (link >= 0 && creation >= 0 && H5Pset_char_encoding(link, H5T_CSET_UTF8) >= 0 &&
      H5Pset_obj_track_times(creation, 0) >= 0)
    group = H5Gcreate2(file, path, link, creation, H5P_DEFAULT);
  ef_h5_release(link, H5Pclose);
  ef_h5_release(creation, H5Pclose);
  return group;
}

/// Attaches a UTF-8 text of `length` bytes.
static inline herr_t ef_h5_write_text(hid_t object, const char *name, const char *text, size_t length) {
  hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), creation = H5Pcreate(H5P_ATTRIBUTE_CREATE);
  hid_t attribute = -1;
  herr_t status = -1;
  if (type >= 0 && space >= 0 && creation >= 0 && H5Tset_size(type, length ? length : 1) >= 0 &&
      H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0 &&
      H5Pset_char_encoding(creation, H5T_CSET_UTF8) >= 0)
    attribute = H5Acreate2(object, name, type, space, creation, H5P_DEFAULT);
  if (attribute >= 0) {
    status = H5Awrite(attribute, type, length ? text : "");
    H5Aclose(attribute);
  }
  if (type >= 0) H5Tclose(type);
  ef_h5_release(space, H5Sclose);
  ef_h5_release(creation, H5Pclose);
  return status;
}

/// Attaches unsigned 64-bit integers.
static inline herr_t ef_h5_write_integers(hid_t object, const char *name, const uint64_t *values, hsize_t count) {
  hid_t space = H5Screate_simple(1, &count, NULL), attribute = -1;
  herr_t status = -1;
  if (space >= 0)
    attribute = H5Acreate2(object, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT);
  if (attribute >= 0) {
    status = H5Awrite(attribute, H5T_NATIVE_UINT64, values);
    H5Aclose(attribute);
  }
  ef_h5_release(space, H5Sclose);
  return status;
}

/// A little-endian floating-point type with an implied leading bit, from its fields' positions and sizes.
/// The order of the calls is the one that HDF5 accepts for narrower types than the one it starts from.
static inline hid_t ef_h5_float_type(size_t bytes, size_t exponent, size_t mantissa, size_t bias) {
  hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  size_t bits = bytes * 8;
  if (type >= 0 && H5Tset_fields(type, bits - 1, mantissa, exponent, 0, mantissa) >= 0 &&
      H5Tset_ebias(type, bias) >= 0 && H5Tset_precision(type, bits) >= 0 && H5Tset_size(type, bytes) >= 0)
    return type;
  if (type >= 0) H5Tclose(type);
  return -1;
}

/// A complex number as h5py writes it: a compound of two binary32 fields.
static inline hid_t ef_h5_complex_of(hid_t part) {
  hid_t type = H5Tcreate(H5T_COMPOUND, 8);
  if (type >= 0 && H5Tinsert(type, "r", 0, part) >= 0 && H5Tinsert(type, "i", 4, part) >= 0) return type;
  if (type >= 0) H5Tclose(type);
  return -1;
}
static inline hid_t ef_h5_complex_type(void) { return ef_h5_complex_of(H5T_IEEE_F32LE); }
static inline int ef_h5_is_complex(hid_t type, hid_t part) {
  hid_t complex_type = ef_h5_complex_of(part);
  int result = complex_type >= 0 && H5Tequal(type, complex_type) > 0;
  if (complex_type >= 0) H5Tclose(complex_type);
  return result;
}

static inline hid_t ef_h5_f32(void) { return H5Tcopy(H5T_IEEE_F32LE); }
static inline hid_t ef_h5_f64(void) { return H5Tcopy(H5T_IEEE_F64LE); }

/// A two's complement integer type, little-endian.
static inline hid_t ef_h5_integer_type(size_t bytes, int is_signed) {
  hid_t type = H5Tcopy(is_signed ? H5T_STD_I64LE : H5T_STD_U64LE);
  if (type >= 0 && H5Tset_size(type, bytes) < 0) {
    H5Tclose(type);
    return -1;
  }
  return type;
}

#include "reading.h"
#include "probe.h"
#endif
