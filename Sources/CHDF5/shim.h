// The HDF5 calls that embedfuse makes, where C macros hide them from Swift or a few calls belong together.
// The numbered functions are called throughout: distributions map the plain names to different versions.
#ifndef EMBEDFUSE_CHDF5_SHIM_H
#define EMBEDFUSE_CHDF5_SHIM_H
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
  if (messages->depth++ < 3 && error->desc != NULL)
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

/// Creates a file whose bytes depend on its contents alone, for readers of HDF5 1.10 and later.
static inline hid_t ef_h5_create_file(const char *path) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE), file = -1;
  if (access >= 0 && creation >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_LATEST) >= 0 &&
      H5Pset_file_locking(access, 0, 1) >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
      H5Pset_obj_track_times(creation, 0) >= 0)
    file = H5Fcreate(path, H5F_ACC_EXCL, creation, access);
  if (access >= 0) H5Pclose(access);
  if (creation >= 0) H5Pclose(creation);
  return file;
}

/// Opens a file for reading, without locks, which some network file systems lack.
static inline hid_t ef_h5_open_file(const char *path) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
  if (access >= 0 && H5Pset_file_locking(access, 0, 1) >= 0 &&
      H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0)
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
  if (access >= 0) H5Pclose(access);
  return file;
}

/// Bytes before the HDF5 data proper, which chunk addresses don't count; negative on failure.
static inline int64_t ef_h5_userblock(hid_t file) {
  hsize_t size = 0;
  hid_t creation = H5Fget_create_plist(file);
  herr_t status = creation < 0 ? -1 : H5Pget_userblock(creation, &size);
  if (creation >= 0) H5Pclose(creation);
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
  if (space >= 0) H5Sclose(space);
  if (link >= 0) H5Pclose(link);
  if (creation >= 0) H5Pclose(creation);
  return dataset;
}

/// Creates the group at the end of a path.
static inline hid_t ef_h5_create_group(hid_t file, const char *path) {
  hid_t link = H5Pcreate(H5P_LINK_CREATE), creation = H5Pcreate(H5P_GROUP_CREATE), group = -1;
  if (link >= 0 && creation >= 0 && H5Pset_char_encoding(link, H5T_CSET_UTF8) >= 0 &&
      H5Pset_obj_track_times(creation, 0) >= 0)
    group = H5Gcreate2(file, path, link, creation, H5P_DEFAULT);
  if (link >= 0) H5Pclose(link);
  if (creation >= 0) H5Pclose(creation);
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
  if (space >= 0) H5Sclose(space);
  if (creation >= 0) H5Pclose(creation);
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
  if (space >= 0) H5Sclose(space);
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
static inline hid_t ef_h5_complex_type(void) {
  hid_t type = H5Tcreate(H5T_COMPOUND, 8);
  if (type >= 0 && H5Tinsert(type, "r", 0, H5T_IEEE_F32LE) >= 0 && H5Tinsert(type, "i", 4, H5T_IEEE_F32LE) >= 0)
    return type;
  if (type >= 0) H5Tclose(type);
  return -1;
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

/// Names gathered by an iteration: each a kind byte, the text and a NUL.
typedef struct {
  char *bytes;
  size_t count, capacity;
} ef_h5_names;

static inline herr_t ef_h5_append_name(ef_h5_names *names, char kind, const char *name) {
  size_t length = strlen(name) + 2;
  if (names->count + length > names->capacity) {
    size_t capacity = 2 * (names->count + length);
    char *bytes = (char *)realloc(names->bytes, capacity);
    if (bytes == NULL) return -1;
    names->bytes = bytes;
    names->capacity = capacity;
  }
  names->bytes[names->count] = kind;
  memcpy(names->bytes + names->count + 1, name, length - 1);
  names->count += length;
  return 0;
}

static inline herr_t ef_h5_link_visitor(hid_t group, const char *name, const H5L_info_t *info, void *context) {
  return ef_h5_append_name((ef_h5_names *)context, info->type == H5L_TYPE_HARD ? 'h' : 's', name);
}

static inline herr_t ef_h5_attribute_visitor(hid_t object, const char *name, const H5A_info_t *info,
                                             void *context) {
  return ef_h5_append_name((ef_h5_names *)context, 'a', name);
}

/// Gathers the links of a group in the order of their names: kind `h` for hard links, `s` for all others.
/// The bytes are the caller's to free, also on failure.
static inline herr_t ef_h5_links(hid_t group, ef_h5_names *names) {
  hsize_t index = 0;
  return H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &index, ef_h5_link_visitor, names);
}

/// Gathers the names of an object's attributes, kind `a`.
static inline herr_t ef_h5_attributes(hid_t object, ef_h5_names *names) {
  hsize_t index = 0;
  return H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &index, ef_h5_attribute_visitor, names);
}

#if !H5_VERSION_GE(1, 12, 0)
typedef H5O_info_t H5O_info1_t;
#endif

/// The kind of an opened object, `g`roup, `d`ataset or `o`ther, and its address in the file; 0 on failure.
static inline char ef_h5_object_kind(hid_t object, uint64_t *address) {
  H5O_info1_t info;
  if (H5Oget_info2(object, &info, H5O_INFO_BASIC) < 0) return 0;
  *address = info.addr;
  return info.type == H5O_TYPE_GROUP ? 'g' : info.type == H5O_TYPE_DATASET ? 'd' : 'o';
}

/// What a dataset's element type is made of.
typedef struct {
  H5T_class_t kind;
  size_t size;
  int big_endian, is_signed;
  size_t sign, exponent_at, exponent, mantissa_at, mantissa, bias, precision;
  int is_complex;
} ef_h5_type;

static inline herr_t ef_h5_describe_type(hid_t dataset, ef_h5_type *result) {
  memset(result, 0, sizeof *result);
  hid_t type = H5Dget_type(dataset);
  if (type < 0) return -1;
  hid_t described = H5Tget_class(type) == H5T_ENUM ? H5Tget_super(type) : H5Tcopy(type);
  result->kind = H5Tget_class(type);
  result->size = H5Tget_size(type);
  if (described >= 0) {
    H5T_class_t kind = H5Tget_class(described);
    if (kind == H5T_INTEGER || kind == H5T_FLOAT) {
      result->big_endian = H5Tget_order(described) != H5T_ORDER_LE && result->size > 1;
      result->precision = H5Tget_precision(described);
    }
    if (kind == H5T_INTEGER) result->is_signed = H5Tget_sign(described) == H5T_SGN_2;
    if (kind == H5T_FLOAT) {
      H5Tget_fields(described, &result->sign, &result->exponent_at, &result->exponent, &result->mantissa_at,
                    &result->mantissa);
      result->bias = H5Tget_ebias(described);
    }
    hid_t complex_type = ef_h5_complex_type();
    result->is_complex = complex_type >= 0 && H5Tequal(described, complex_type) > 0;
    if (complex_type >= 0) H5Tclose(complex_type);
    H5Tclose(described);
  }
  H5Tclose(type);
  return described < 0 ? -1 : 0;
}

/// The extents of a dataset, at most 32; the number of them, or -1 for a dataset without values.
static inline int ef_h5_extents(hid_t dataset, hsize_t *extents) {
  hid_t space = H5Dget_space(dataset);
  int rank = space < 0 || H5Sget_simple_extent_type(space) == H5S_NULL
                 ? -1 : H5Sget_simple_extent_dims(space, extents, NULL);
  if (space >= 0) H5Sclose(space);
  return rank;
}

/// How a dataset is stored: `c`ontiguous, in c`h`unks, `i`n its header, or `o`ther (also in external files).
/// With chunks, their extents; with filters, up to 8 of their numbers and first parameters.
typedef struct {
  char layout;
  hsize_t chunk[32];
  int filters;
  int filter[8];
  unsigned parameter[8];
} ef_h5_storage;

static inline herr_t ef_h5_describe_storage(hid_t dataset, ef_h5_storage *result) {
  memset(result, 0, sizeof *result);
  hid_t creation = H5Dget_create_plist(dataset);
  if (creation < 0) return -1;
  H5D_layout_t layout = H5Pget_layout(creation);
  result->layout = layout == H5D_CONTIGUOUS && H5Pget_external_count(creation) == 0 ? 'c'
                   : layout == H5D_CHUNKED ? 'h' : layout == H5D_COMPACT ? 'i' : 'o';
  if (layout == H5D_CHUNKED) H5Pget_chunk(creation, 32, result->chunk);
  result->filters = H5Pget_nfilters(creation);
  for (int i = 0; i < result->filters && i < 8; i++) {
    unsigned flags = 0, values[16] = {0}, config = 0;
    size_t count = 16;
    result->filter[i] = H5Pget_filter2(creation, (unsigned)i, &flags, &count, values, 0, NULL, &config);
    result->parameter[i] = count > 0 ? values[0] : 0;
  }
  H5Pclose(creation);
  return result->filters < 0 ? -1 : 0;
}

/// Reads a chunk of a chunked dataset, or a whole dataset where rank is 0, through the library's own filters.
/// `extents` is what of the chunk lies within the dataset; the chunk's other bytes are left alone.
static inline herr_t ef_h5_read(hid_t dataset, int rank, const hsize_t *corner, const hsize_t *extents,
                                const hsize_t *chunk, void *target) {
  hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
  hid_t memory = rank == 0 ? H5Scopy(space) : H5Screate_simple(rank, chunk, NULL);
  hsize_t origin[32] = {0};
  herr_t status = type < 0 || space < 0 || memory < 0 ? -1 : 0;
  if (status >= 0 && rank > 0)
    status = H5Sselect_hyperslab(space, H5S_SELECT_SET, corner, NULL, extents, NULL) < 0 ||
             H5Sselect_hyperslab(memory, H5S_SELECT_SET, origin, NULL, extents, NULL) < 0 ? -1 : 0;
  if (status >= 0) status = H5Dread(dataset, type, memory, space, H5P_DEFAULT, target);
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  if (memory >= 0) H5Sclose(memory);
  return status;
}

/// A text attribute of at most `limit` bytes, fixed or variable in length, the caller's to free; NULL where
/// there is none.
static inline char *ef_h5_read_text(hid_t object, const char *name, size_t limit, size_t *length) {
  if (H5Aexists(object, name) <= 0) return NULL;
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return NULL;
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  char *text = NULL;
  if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1) {
    if (H5Tis_variable_str(type) > 0) {
      char *value = NULL;
      if (H5Aread(attribute, type, &value) >= 0 && value != NULL) {
        *length = strlen(value);
        if (*length <= limit && (text = (char *)malloc(*length + 1)) != NULL) memcpy(text, value, *length + 1);
        H5free_memory(value);
      }
    } else {
      size_t size = H5Tget_size(type);
      if (size > 0 && size <= limit && (text = (char *)calloc(size + 1, 1)) != NULL) {
        if (H5Aread(attribute, type, text) < 0) {
          free(text);
          text = NULL;
        } else {
          *length = H5Tget_strpad(type) == H5T_STR_NULLTERM ? strlen(text) : size;
          while (*length > 0 && text[*length - 1] == 0) --*length;
        }
      }
    }
  }
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  H5Aclose(attribute);
  return text;
}

/// How many integers an attribute holds, or -1 where there is none of integers.
static inline int64_t ef_h5_count_integers(hid_t object, const char *name) {
  if (H5Aexists(object, name) <= 0) return -1;
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  int64_t result = type >= 0 && space >= 0 && H5Tget_class(type) == H5T_INTEGER
                       ? (int64_t)H5Sget_simple_extent_npoints(space) : -1;
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  H5Aclose(attribute);
  return result;
}

/// Reads the integers of an attribute, which must be exactly `count`.
static inline herr_t ef_h5_read_integers(hid_t object, const char *name, uint64_t *values, hsize_t count) {
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  hid_t space = H5Aget_space(attribute);
  herr_t status = space >= 0 && H5Sget_simple_extent_npoints(space) == (hssize_t)count
                      ? H5Aread(attribute, H5T_NATIVE_UINT64, values) : -1;
  if (space >= 0) H5Sclose(space);
  H5Aclose(attribute);
  return status;
}
#endif
