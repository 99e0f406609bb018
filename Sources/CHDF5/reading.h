// What reading HDF5 files takes; a part of shim.h.
#ifndef EMBEDFUSE_CHDF5_READING_H
#define EMBEDFUSE_CHDF5_READING_H

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
  int big_endian, other_order, is_signed;
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
      H5T_order_t order = H5Tget_order(described);
      result->big_endian = order == H5T_ORDER_BE && result->size > 1;
      result->other_order = order != H5T_ORDER_BE && order != H5T_ORDER_LE;
      result->precision = H5Tget_precision(described);
    }
    if (kind == H5T_INTEGER) result->is_signed = H5Tget_sign(described) == H5T_SGN_2;
    if (kind == H5T_FLOAT) {
      H5Tget_fields(described, &result->sign, &result->exponent_at, &result->exponent, &result->mantissa_at,
                    &result->mantissa);
      result->bias = H5Tget_ebias(described);
    }
    if (kind == H5T_COMPOUND && result->size == 8) {
      result->big_endian = ef_h5_is_complex(described, H5T_IEEE_F32BE);
      result->is_complex = result->big_endian || ef_h5_is_complex(described, H5T_IEEE_F32LE);
    }
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
/// With chunks, their extents; with filters, up to 8 of their numbers, first parameters and names.
typedef struct {
  char layout;
  hsize_t chunk[32];
  int filters;
  int filter[8];
  unsigned parameter[8];
  char filter_names[8][64];
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
    result->filter[i] = H5Pget_filter2(creation, (unsigned)i, &flags, &count, values,
                                       sizeof result->filter_names[i] - 1, result->filter_names[i], &config);
    result->parameter[i] = count > 0 ? values[0] : 0;
  }
  H5Pclose(creation);
  return result->filters < 0 ? -1 : 0;
}

/// Writes the element that stands for all that was never written to `value`, in the dataset's own type of `size`
/// bytes: 1, or 0 where there is none, or negative on failure.
static inline int ef_h5_fill_value(hid_t dataset, size_t size, void *value) {
  hid_t creation = H5Dget_create_plist(dataset), type = H5Dget_type(dataset);
  H5D_fill_value_t kind = H5D_FILL_VALUE_ERROR;
  H5D_fill_time_t time = H5D_FILL_TIME_ERROR;
  int result = -1;
  if (creation >= 0 && type >= 0 && H5Tget_size(type) == size && H5Pfill_value_defined(creation, &kind) >= 0 &&
      H5Pget_fill_time(creation, &time) >= 0) {
    if (kind == H5D_FILL_VALUE_UNDEFINED || time == H5D_FILL_TIME_NEVER)
      result = 0;
    else
      result = H5Pget_fill_value(creation, type, value) < 0 ? -1 : 1;
  }
  if (type >= 0) H5Tclose(type);
  if (creation >= 0) H5Pclose(creation);
  return result;
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

/// The texts of an attribute that holds a row of them, fixed or variable in length, as kind `t`; their bytes and
/// those of the attribute are at most `limit`. 1, or 0 where there is no such attribute, or negative on failure.
static inline int ef_h5_read_texts(hid_t object, const char *name, size_t limit, ef_h5_names *names) {
  htri_t exists = H5Aexists(object, name);
  if (exists <= 0) return exists;
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
  size_t size = type < 0 ? 0 : H5Tget_size(type);
  int result = -1, variable = type >= 0 && H5Tis_variable_str(type) > 0;
  char *bytes = NULL;
  if (count == 0)
    result = 1;
  else if (type >= 0 && H5Tget_class(type) == H5T_STRING && count > 0 && size > 0 &&
           (size_t)count <= limit / size && (bytes = (char *)calloc((size_t)count, size)) != NULL &&
           H5Aread(attribute, type, bytes) >= 0) {
    result = 1;
    char *text = (char *)malloc(size + 1);
    for (hssize_t i = 0; i < count && result > 0; i++) {
      const char *value = text;
      if (variable) {
        memcpy(&value, bytes + (size_t)i * size, sizeof value);
        if (value == NULL) value = "";
      } else if (text != NULL) {
        memcpy(text, bytes + (size_t)i * size, size);
        text[size] = 0;
      }
      if (value == NULL || names->count + strlen(value) > limit || ef_h5_append_name(names, 't', value) < 0)
        result = -1;
    }
    free(text);
    if (variable) H5Dvlen_reclaim(type, space, H5P_DEFAULT, bytes);
  }
  free(bytes);
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  H5Aclose(attribute);
  return result;
}

/// Bytes of the stored chunk at a corner; 0 where it was never written, negative on failure.
static inline int64_t ef_h5_chunk_size(hid_t dataset, const hsize_t *corner) {
  hsize_t size = 0;
  if (H5Dget_chunk_storage_size(dataset, corner, &size) >= 0) return (int64_t)size;
  // Some versions fail where nothing was written; this call says so, but looks through all chunks.
  unsigned mask = 0;
  haddr_t address = HADDR_UNDEF;
  if (H5Dget_chunk_info_by_coord(dataset, corner, &mask, &address, &size) < 0) return -1;
  return address == HADDR_UNDEF ? 0 : -1;
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
