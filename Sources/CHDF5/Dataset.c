// Describing datasets; see Description.h.
#include "Description.h"

#include <string.h>

static herr_t ef_h5_describe_type(hid_t dataset, ef_h5_type *result) {
  memset(result, 0, sizeof *result);
  hid_t type = h5.Dget_type(dataset);
  if (type < 0) return -1;
  hid_t described = h5.Tget_class(type) == H5T_ENUM ? h5.Tget_super(type) : h5.Tcopy(type);
  if (described < 0) {
    ef_h5_release(type, h5.Tclose);
    return -1;
  }
  result->kind = h5.Tget_class(type);
  result->size = h5.Tget_size(type);
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
  h5.Tclose(type);
  return 0;
}

static void ef_h5_put_type(ef_h5_output *output, const ef_h5_type *type) {
  const uint64_t numbers[] = {(uint64_t)type->kind,        type->size,
                              (uint64_t)type->big_endian,  (uint64_t)type->other_order,
                              (uint64_t)type->is_signed,   type->sign,
                              type->exponent_at,           type->exponent,
                              type->mantissa_at,           type->mantissa,
                              type->bias,                  type->precision,
                              (uint64_t)type->is_complex};
  ef_h5_put(output, numbers, sizeof numbers);
}

/// True for what a tensor's elements may be.
static int ef_h5_is_number(const ef_h5_type *type) {
  return type->kind == H5T_INTEGER || type->kind == H5T_FLOAT || type->kind == H5T_ENUM || type->kind == H5T_OPAQUE ||
         type->is_complex;
}

/// The extents of a dataset, at most 32; the number of them, or -1 for a dataset without values.
static int ef_h5_extents(hid_t dataset, hsize_t *extents) {
  hid_t space = h5.Dget_space(dataset);
  int rank = space < 0 || h5.Sget_simple_extent_type(space) == H5S_NULL
                 ? -1 : h5.Sget_simple_extent_dims(space, extents, NULL);
  if (space >= 0) h5.Sclose(space);
  return rank;
}

/// How a dataset is stored: `c`ontiguous, in c`h`unks, `i`n its header, or `o`ther (also in external files).
static char ef_h5_layout(hid_t creation) {
  H5D_layout_t layout = h5.Pget_layout(creation);
  return layout == H5D_CONTIGUOUS && h5.Pget_external_count(creation) == 0 ? 'c'
         : layout == H5D_CHUNKED ? 'h' : layout == H5D_COMPACT ? 'i' : 'o';
}

/// Puts how a dataset is stored, and returns its layout; 0 on failure.
static char ef_h5_put_storage(ef_h5_output *output, hid_t creation, int rank) {
  int filters = creation < 0 ? -1 : h5.Pget_nfilters(creation);
  if (filters < 0) {
    ef_h5_put_failure(output);
    return 0;
  }
  char layout = ef_h5_layout(creation);
  ef_h5_put_tag(output, '+');
  ef_h5_put_tag(output, layout);
  if (layout == 'h') {
    hsize_t chunk[32] = {0};
    h5.Pget_chunk(creation, 32, chunk);
    for (int i = 0; i < rank; i++) ef_h5_put_number(output, chunk[i]);
  }
  ef_h5_put_number(output, (uint64_t)filters);
  for (int i = 0; i < filters && i < 8; i++) {
    unsigned flags = 0, values[16] = {0}, config = 0;
    size_t count = 16;
    char name[64] = {0};
    int number = h5.Pget_filter2(creation, (unsigned)i, &flags, &count, values, sizeof name - 1, name, &config);
    ef_h5_put_number(output, (uint64_t)number);
    ef_h5_put_number(output, count > 0 ? values[0] : 0);
    ef_h5_put_text(output, name, strnlen(name, sizeof name));
  }
  return layout;
}

/// Puts the element that stands for all that was never written, in the dataset's own type.
static void ef_h5_put_fill_value(ef_h5_output *output, hid_t dataset, hid_t creation, size_t size) {
  char value[16] = {0};
  H5D_fill_value_t kind = H5D_FILL_VALUE_ERROR;
  H5D_fill_time_t time = H5D_FILL_TIME_ERROR;
  hid_t type = h5.Dget_type(dataset);
  // Elements of tensors are small; what isn't is refused for its type.
  int is_small = type >= 0 && size <= sizeof value && h5.Tget_size(type) == size, result = is_small ? -1 : 0;
  if (is_small && h5.Pfill_value_defined(creation, &kind) >= 0 && h5.Pget_fill_time(creation, &time) >= 0)
    result = kind == H5D_FILL_VALUE_UNDEFINED || time == H5D_FILL_TIME_NEVER ? 0
             : h5.Pget_fill_value(creation, type, value) < 0                 ? -1 : 1;
  if (result < 0) {
    ef_h5_put_failure(output);
  } else {
    ef_h5_put_tag(output, '+');
    ef_h5_put_text(output, value, result > 0 ? size : 0);
  }
  if (type >= 0) h5.Tclose(type);
}

/// Puts where the chunks stand that were written.
static void ef_h5_put_chunks(ef_h5_output *output, hid_t dataset, int rank, uint64_t limit) {
  hsize_t count = 0;
  hid_t space = h5.Dget_space(dataset);
  if (space < 0 || h5.Dget_num_chunks(dataset, space, &count) < 0) {
    ef_h5_put_failure(output);
  } else {
    ef_h5_put_tag(output, '+');
    ef_h5_put_number(output, count);
    for (hsize_t i = 0; i < count && count <= limit && !output->failed; i++) {
      hsize_t corner[33] = {0}, size = 0;
      haddr_t address = 0;
      unsigned mask = 0;
      if (h5.Dget_chunk_info(dataset, space, i, corner, &mask, &address, &size) < 0) {
        ef_h5_put_failure(output);
        break;
      }
      ef_h5_put_tag(output, '+');
      ef_h5_put_number(output, mask);
      ef_h5_put_number(output, address);
      ef_h5_put_number(output, size);
      for (int axis = 0; axis < rank; axis++) ef_h5_put_number(output, corner[axis]);
    }
  }
  if (space >= 0) h5.Sclose(space);
}

/// Puts the values of a dataset that keeps them in its header, which are less than 64 KiB; none if they can't be.
static void ef_h5_put_compact(ef_h5_output *output, hid_t dataset, size_t size, int rank, const hsize_t *extents) {
  char values[1 << 16];
  size_t count = size;
  for (int i = 0; i < rank; i++)
    if (__builtin_mul_overflow(count, extents[i], &count)) count = SIZE_MAX;
  if (count >= sizeof values) count = 0;
  if (count > 0 && ef_h5_read(dataset, size, 0, NULL, NULL, NULL, values) < 0) return ef_h5_put_failure(output);
  ef_h5_put_tag(output, '+');
  ef_h5_put_text(output, values, count);
}

void ef_h5_put_dataset(ef_h5_output *output, hid_t dataset, const ef_h5_limits *limits) {
  ef_h5_type type;
  if (ef_h5_describe_type(dataset, &type) < 0) return ef_h5_put_failure(output);
  ef_h5_put_tag(output, '+');
  ef_h5_put_type(output, &type);
  hsize_t extents[32] = {0};
  int rank = ef_h5_extents(dataset, extents);
  ef_h5_put_number(output, (uint64_t)(int64_t)(rank < 0 ? -1 : rank));
  for (int i = 0; i < rank; i++) ef_h5_put_number(output, extents[i]);
  hid_t creation = h5.Dget_create_plist(dataset);
  char layout = ef_h5_put_storage(output, creation, rank);
  if (layout != 0 && (rank < 0 || !ef_h5_is_number(&type))) {
    ef_h5_put_tag(output, 'o');
  } else if (layout != 0) {
    ef_h5_put_tag(output, '+');
    ef_h5_put_fill_value(output, dataset, creation, type.size);
    if (layout == 'c') ef_h5_put_number(output, h5.Dget_offset(dataset));
    if (layout == 'h') ef_h5_put_chunks(output, dataset, rank, limits->chunks);
    if (layout == 'i') ef_h5_put_compact(output, dataset, type.size, rank, extents);
  }
  if (creation >= 0) h5.Pclose(creation);
}
