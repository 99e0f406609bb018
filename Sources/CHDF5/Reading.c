// Reading HDF5 files.
#include "Library.h"

#include <stdlib.h>
#include <string.h>

/// Lets the library keep no more than 1 MiB of a file's metadata, which is read once; by itself it takes up to 32.
static herr_t ef_h5_limit_cache(hid_t access) {
  H5AC_cache_config_t cache = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
  if (h5.Pget_mdc_config(access, &cache) < 0) return -1;
  cache.set_initial_size = 1;
  cache.initial_size = cache.min_size = 1 << 18;
  cache.max_size = 1 << 20;
  return h5.Pset_mdc_config(access, &cache);
}

hid_t ef_h5_open_file(const char *path) {
  hid_t access = h5.Pcreate(h5.file_access), file = -1;
  if (access >= 0 && h5.Pset_file_locking(access, 0, 1) >= 0 &&
      h5.Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 && ef_h5_limit_cache(access) >= 0)
    file = h5.Fopen(path, H5F_ACC_RDONLY, access);
  ef_h5_release(access, h5.Pclose);
  return file;
}

// What opening a file within another needs of the library's memory: nothing, since the bytes are mapped already.
static void *ef_h5_image_same(size_t size, H5FD_file_image_op_t op, void *image) { return image; }
static void *ef_h5_image_nocopy(void *target, const void *source, size_t size, H5FD_file_image_op_t op,
                                void *image) {
  return target;
}
static void *ef_h5_image_noresize(void *bytes, size_t size, H5FD_file_image_op_t op, void *image) { return NULL; }
static herr_t ef_h5_image_keep(void *bytes, H5FD_file_image_op_t op, void *image) { return 0; }
static void *ef_h5_image_share(void *image) { return image; }
static herr_t ef_h5_image_unshare(void *image) { return 0; }

hid_t ef_h5_open_image(void *bytes, size_t size) {
  hid_t access = h5.Pcreate(h5.file_access), file = -1;
  H5FD_file_image_callbacks_t callbacks = {ef_h5_image_same,   ef_h5_image_nocopy, ef_h5_image_noresize,
                                           ef_h5_image_keep,   ef_h5_image_share,  ef_h5_image_unshare,
                                           bytes};
  if (access >= 0 && h5.Pset_fapl_core(access, 1 << 16, 0) >= 0 &&
      h5.Pset_file_image_callbacks(access, &callbacks) >= 0 && h5.Pset_file_image(access, bytes, size) >= 0 &&
      h5.Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 && ef_h5_limit_cache(access) >= 0)
    file = h5.Fopen("image", H5F_ACC_RDONLY, access);
  ef_h5_release(access, h5.Pclose);
  return file;
}

int64_t ef_h5_userblock(hid_t file) {
  hsize_t size = 0;
  hid_t creation = h5.Fget_create_plist(file);
  herr_t status = creation < 0 ? -1 : h5.Pget_userblock(creation, &size);
  ef_h5_release(creation, h5.Pclose);
  return status < 0 ? -1 : (int64_t)size;
}

herr_t ef_h5_close_file(hid_t file) { return h5.Fclose(file); }
hid_t ef_h5_open_object(hid_t file, const char *path) { return h5.Oopen(file, path, H5P_DEFAULT); }
herr_t ef_h5_close_object(hid_t object) { return h5.Oclose(object); }
herr_t ef_h5_close_group(hid_t group) { return h5.Gclose(group); }
hid_t ef_h5_open_dataset(hid_t file, const char *path) { return h5.Dopen2(file, path, H5P_DEFAULT); }
herr_t ef_h5_close_dataset(hid_t dataset) { return h5.Dclose(dataset); }
hid_t ef_h5_space(hid_t dataset) { return h5.Dget_space(dataset); }
herr_t ef_h5_close_space(hid_t space) { return h5.Sclose(space); }
haddr_t ef_h5_offset(hid_t dataset) { return h5.Dget_offset(dataset); }
herr_t ef_h5_chunk_count(hid_t dataset, hid_t space, hsize_t *count) {
  return h5.Dget_num_chunks(dataset, space, count);
}
herr_t ef_h5_chunk_info(hid_t dataset, hid_t space, hsize_t index, hsize_t *corner, unsigned *mask, haddr_t *address,
                        hsize_t *size) {
  return h5.Dget_chunk_info(dataset, space, index, corner, mask, address, size);
}
herr_t ef_h5_read_chunk(hid_t dataset, const hsize_t *corner, unsigned *mask, void *bytes) {
  return h5.Dread_chunk(dataset, H5P_DEFAULT, corner, mask, bytes);
}

herr_t ef_h5_append_name(ef_h5_names *names, char kind, const char *name) {
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

static herr_t ef_h5_link_visitor(hid_t group, const char *name, const H5L_info_t *info, void *context) {
  return ef_h5_append_name((ef_h5_names *)context, info->type == H5L_TYPE_HARD ? 'h' : 's', name);
}

static herr_t ef_h5_attribute_visitor(hid_t object, const char *name, const H5A_info_t *info,
                                      void *context) {
  return ef_h5_append_name((ef_h5_names *)context, 'a', name);
}

herr_t ef_h5_links(hid_t group, ef_h5_names *names) {
  hsize_t index = 0;
  return h5.Literate(group, H5_INDEX_NAME, H5_ITER_INC, &index, ef_h5_link_visitor, names);
}

herr_t ef_h5_attributes(hid_t object, ef_h5_names *names) {
  hsize_t index = 0;
  return h5.Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &index, ef_h5_attribute_visitor, names);
}

#if !H5_VERSION_GE(1, 12, 0)
typedef H5O_info_t H5O_info1_t;
#endif

char ef_h5_object_kind(hid_t object, uint64_t *address) {
  H5O_info1_t info;
  if (h5.Oget_info2(object, &info, H5O_INFO_BASIC) < 0) return 0;
  *address = info.addr;
  return info.type == H5O_TYPE_GROUP ? 'g' : info.type == H5O_TYPE_DATASET ? 'd' : 'o';
}

herr_t ef_h5_describe_type(hid_t dataset, ef_h5_type *result) {
  memset(result, 0, sizeof *result);
  hid_t type = h5.Dget_type(dataset);
  if (type < 0) return -1;
  hid_t described = h5.Tget_class(type) == H5T_ENUM ? h5.Tget_super(type) : h5.Tcopy(type);
  result->kind = h5.Tget_class(type);
  result->size = h5.Tget_size(type);
  if (described >= 0) {
    H5T_class_t kind = h5.Tget_class(described);
    if (kind == H5T_INTEGER || kind == H5T_FLOAT) {
      H5T_order_t order = h5.Tget_order(described);
      result->big_endian = order == H5T_ORDER_BE && result->size > 1;
      result->other_order = order != H5T_ORDER_BE && order != H5T_ORDER_LE;
      result->precision = h5.Tget_precision(described);
    }
    if (kind == H5T_INTEGER) result->is_signed = h5.Tget_sign(described) == H5T_SGN_2;
    if (kind == H5T_FLOAT) {
      h5.Tget_fields(described, &result->sign, &result->exponent_at, &result->exponent, &result->mantissa_at,
                    &result->mantissa);
      result->bias = h5.Tget_ebias(described);
    }
    if (kind == H5T_COMPOUND && result->size == 8) {
      result->big_endian = ef_h5_is_complex(described, h5.f32_big_endian);
      result->is_complex = result->big_endian || ef_h5_is_complex(described, h5.f32);
    }
    h5.Tclose(described);
  }
  h5.Tclose(type);
  return described < 0 ? -1 : 0;
}

int ef_h5_extents(hid_t dataset, hsize_t *extents) {
  hid_t space = h5.Dget_space(dataset);
  int rank = space < 0 || h5.Sget_simple_extent_type(space) == H5S_NULL
                 ? -1 : h5.Sget_simple_extent_dims(space, extents, NULL);
  if (space >= 0) h5.Sclose(space);
  return rank;
}

herr_t ef_h5_describe_storage(hid_t dataset, ef_h5_storage *result) {
  memset(result, 0, sizeof *result);
  hid_t creation = h5.Dget_create_plist(dataset);
  if (creation < 0) return -1;
  H5D_layout_t layout = h5.Pget_layout(creation);
  result->layout = layout == H5D_CONTIGUOUS && h5.Pget_external_count(creation) == 0 ? 'c'
                   : layout == H5D_CHUNKED ? 'h' : layout == H5D_COMPACT ? 'i' : 'o';
  if (layout == H5D_CHUNKED) h5.Pget_chunk(creation, 32, result->chunk);
  result->filters = h5.Pget_nfilters(creation);
  for (int i = 0; i < result->filters && i < 8; i++) {
    unsigned flags = 0, values[16] = {0}, config = 0;
    size_t count = 16;
    result->filter[i] = h5.Pget_filter2(creation, (unsigned)i, &flags, &count, values,
                                       sizeof result->filter_names[i] - 1, result->filter_names[i], &config);
    result->parameter[i] = count > 0 ? values[0] : 0;
  }
  h5.Pclose(creation);
  return result->filters < 0 ? -1 : 0;
}

int ef_h5_fill_value(hid_t dataset, size_t size, void *value) {
  hid_t creation = h5.Dget_create_plist(dataset), type = h5.Dget_type(dataset);
  H5D_fill_value_t kind = H5D_FILL_VALUE_ERROR;
  H5D_fill_time_t time = H5D_FILL_TIME_ERROR;
  int result = -1;
  if (creation >= 0 && type >= 0 && h5.Tget_size(type) == size && h5.Pfill_value_defined(creation, &kind) >= 0 &&
      h5.Pget_fill_time(creation, &time) >= 0) {
    if (kind == H5D_FILL_VALUE_UNDEFINED || time == H5D_FILL_TIME_NEVER)
      result = 0;
    else
      result = h5.Pget_fill_value(creation, type, value) < 0 ? -1 : 1;
  }
  if (type >= 0) h5.Tclose(type);
  if (creation >= 0) h5.Pclose(creation);
  return result;
}

herr_t ef_h5_read(hid_t dataset, int rank, const hsize_t *corner, const hsize_t *extents,
                  const hsize_t *chunk, void *target) {
  hid_t type = h5.Dget_type(dataset), space = h5.Dget_space(dataset);
  hid_t memory = rank == 0 ? h5.Scopy(space) : h5.Screate_simple(rank, chunk, NULL);
  hsize_t origin[32] = {0};
  herr_t status = type < 0 || space < 0 || memory < 0 ? -1 : 0;
  if (status >= 0 && rank > 0)
    status = h5.Sselect_hyperslab(space, H5S_SELECT_SET, corner, NULL, extents, NULL) < 0 ||
             h5.Sselect_hyperslab(memory, H5S_SELECT_SET, origin, NULL, extents, NULL) < 0 ? -1 : 0;
  if (status >= 0) status = h5.Dread(dataset, type, memory, space, H5P_DEFAULT, target);
  if (type >= 0) h5.Tclose(type);
  if (space >= 0) h5.Sclose(space);
  if (memory >= 0) h5.Sclose(memory);
  return status;
}

char *ef_h5_read_text(hid_t object, const char *name, size_t limit, size_t *length) {
  if (h5.Aexists(object, name) <= 0) return NULL;
  hid_t attribute = h5.Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return NULL;
  hid_t type = h5.Aget_type(attribute), space = h5.Aget_space(attribute);
  char *text = NULL;
  if (type >= 0 && space >= 0 && h5.Tget_class(type) == H5T_STRING && h5.Sget_simple_extent_npoints(space) == 1) {
    if (h5.Tis_variable_str(type) > 0) {
      char *value = NULL;
      if (h5.Aread(attribute, type, &value) >= 0 && value != NULL) {
        *length = strlen(value);
        if (*length <= limit && (text = (char *)malloc(*length + 1)) != NULL) memcpy(text, value, *length + 1);
        h5.free_memory(value);
      }
    } else {
      size_t size = h5.Tget_size(type);
      if (size > 0 && size <= limit && (text = (char *)calloc(size + 1, 1)) != NULL) {
        if (h5.Aread(attribute, type, text) < 0) {
          free(text);
          text = NULL;
        } else {
          *length = h5.Tget_strpad(type) == H5T_STR_NULLTERM ? strlen(text) : size;
          while (*length > 0 && text[*length - 1] == 0) --*length;
        }
      }
    }
  }
  if (type >= 0) h5.Tclose(type);
  if (space >= 0) h5.Sclose(space);
  h5.Aclose(attribute);
  return text;
}

int ef_h5_read_texts(hid_t object, const char *name, size_t limit, ef_h5_names *names) {
  htri_t exists = h5.Aexists(object, name);
  if (exists <= 0) return exists;
  hid_t attribute = h5.Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  hid_t type = h5.Aget_type(attribute), space = h5.Aget_space(attribute);
  hssize_t count = space < 0 ? -1 : h5.Sget_simple_extent_npoints(space);
  size_t size = type < 0 ? 0 : h5.Tget_size(type);
  int result = -1, variable = type >= 0 && h5.Tis_variable_str(type) > 0;
  char *bytes = NULL;
  if (count == 0)
    result = 1;
  else if (type >= 0 && h5.Tget_class(type) == H5T_STRING && count > 0 && size > 0 &&
           (size_t)count <= limit / size && (bytes = (char *)calloc((size_t)count, size)) != NULL &&
           h5.Aread(attribute, type, bytes) >= 0) {
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
    if (variable) h5.Dvlen_reclaim(type, space, H5P_DEFAULT, bytes);
  }
  free(bytes);
  if (type >= 0) h5.Tclose(type);
  if (space >= 0) h5.Sclose(space);
  h5.Aclose(attribute);
  return result;
}

int64_t ef_h5_chunk_size(hid_t dataset, const hsize_t *corner) {
  hsize_t size = 0;
  if (h5.Dget_chunk_storage_size(dataset, corner, &size) >= 0) return (int64_t)size;
  // Some versions fail where nothing was written; this call says so, but looks through all chunks.
  unsigned mask = 0;
  haddr_t address = HADDR_UNDEF;
  if (h5.Dget_chunk_info_by_coord(dataset, corner, &mask, &address, &size) < 0) return -1;
  return address == HADDR_UNDEF ? 0 : -1;
}

int64_t ef_h5_count_integers(hid_t object, const char *name) {
  if (h5.Aexists(object, name) <= 0) return -1;
  hid_t attribute = h5.Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  hid_t type = h5.Aget_type(attribute), space = h5.Aget_space(attribute);
  int64_t result = type >= 0 && space >= 0 && h5.Tget_class(type) == H5T_INTEGER
                       ? (int64_t)h5.Sget_simple_extent_npoints(space) : -1;
  if (type >= 0) h5.Tclose(type);
  if (space >= 0) h5.Sclose(space);
  h5.Aclose(attribute);
  return result;
}

herr_t ef_h5_read_integers(hid_t object, const char *name, uint64_t *values, hsize_t count) {
  hid_t attribute = h5.Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  hid_t space = h5.Aget_space(attribute);
  herr_t status = space >= 0 && h5.Sget_simple_extent_npoints(space) == (hssize_t)count
                      ? h5.Aread(attribute, h5.native_u64, values) : -1;
  if (space >= 0) h5.Sclose(space);
  h5.Aclose(attribute);
  return status;
}
