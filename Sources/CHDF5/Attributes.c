// Describing attributes; see Description.h.
#include "Description.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static herr_t ef_h5_attribute_visitor(hid_t object, const char *name, const H5A_info_t *info, void *context) {
  return ef_h5_append_name((ef_h5_names *)context, 'a', name);
}

/// Puts the values of an attribute of integers, as far as there are not too many.
static void ef_h5_put_integers(ef_h5_output *output, hid_t attribute, size_t count, size_t limit) {
  uint64_t *values = count <= limit / sizeof *values ? (uint64_t *)calloc(count + 1, sizeof *values) : NULL;
  if (values != NULL && h5.Aread(attribute, h5.native_u64, values) >= 0) {
    ef_h5_put_tag(output, 'i');
    ef_h5_put_number(output, count);
    ef_h5_put(output, values, count * sizeof *values);
  } else {
    ef_h5_put_tag(output, 'o');
  }
  free(values);
}

/// Bytes of a text that fills `size` bytes or less.
static size_t ef_h5_length(hid_t type, const char *text, size_t size) {
  size_t length = h5.Tget_strpad(type) == H5T_STR_NULLTERM ? strnlen(text, size) : size;
  while (length > 0 && text[length - 1] == 0) length--;
  return length;
}

/// Puts texts of a fixed `size` one behind the other, or pointers to texts. What is too long in all is a failure.
static void ef_h5_put_values(ef_h5_output *output, hid_t type, const char *values, size_t count, size_t limit) {
  size_t size = h5.Tget_size(type), total = 0;
  const char *const *pointers = h5.Tis_variable_str(type) > 0 ? (const char *const *)values : NULL;
  for (size_t i = 0; pointers != NULL && i < count && total <= limit; i++)
    // In lists, each is counted with what goes with it.
    total += pointers[i] == NULL ? 0 : strlen(pointers[i]) + (count > 1 ? 2 : 0);
  if (total > limit) return ef_h5_put_failure(output);
  // A text that was never written is none, but an empty one of a list.
  if (count == 1 && (pointers == NULL || pointers[0] != NULL)) {
    ef_h5_put_tag(output, 't');
    if (pointers != NULL) ef_h5_put_text(output, pointers[0], strlen(pointers[0]));
    else ef_h5_put_text(output, values, ef_h5_length(type, values, size));
    return;
  }
  ef_h5_put_tag(output, 'l');
  ef_h5_put_number(output, count);
  for (size_t i = 0; i < count; i++) {
    const char *text = pointers == NULL ? values + i * size : pointers[i] == NULL ? "" : pointers[i];
    ef_h5_put_text(output, text, pointers == NULL ? strnlen(text, size) : strlen(text));
  }
}

static void ef_h5_put_texts(ef_h5_output *output, hid_t attribute, hid_t type, hid_t space, size_t count,
                            size_t limit) {
  size_t size = h5.Tget_size(type);
  char *values = size > 0 && count <= limit / size ? (char *)calloc(count, size) : NULL;
  if (values == NULL || h5.Aread(attribute, type, values) < 0) {
    ef_h5_put_failure(output);
  } else {
    ef_h5_put_values(output, type, values, count, limit);
    if (h5.Tis_variable_str(type) > 0) h5.Dvlen_reclaim(type, space, H5P_DEFAULT, values);
  }
  free(values);
}

static void ef_h5_put_attribute(ef_h5_output *output, hid_t object, const char *name, size_t limit) {
  hid_t attribute = h5.Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return ef_h5_put_failure(output);
  hid_t type = h5.Aget_type(attribute), space = type < 0 ? -1 : h5.Aget_space(attribute);
  hssize_t count = space < 0 ? -1 : h5.Sget_simple_extent_npoints(space);
  H5T_class_t kind = count < 0 ? H5T_NO_CLASS : h5.Tget_class(type);
  if (count < 0) {
    ef_h5_put_failure(output);
  } else if (kind == H5T_INTEGER) {
    ef_h5_put_integers(output, attribute, (size_t)count, limit);
  } else if (count == 0) {
    // Of whatever kind: Keras writes an empty list of names as an empty list of numbers.
    ef_h5_put_tag(output, 'l');
    ef_h5_put_number(output, 0);
  } else if (kind == H5T_STRING) {
    ef_h5_put_texts(output, attribute, type, space, (size_t)count, limit);
  } else {
    ef_h5_put_tag(output, 'o');
  }
  if (type >= 0) h5.Tclose(type);
  if (space >= 0) h5.Sclose(space);
  h5.Aclose(attribute);
}

void ef_h5_put_attributes(ef_h5_output *output, hid_t object, const ef_h5_limits *limits) {
  ef_h5_names names = {NULL, 0, 0, 0};
  hsize_t index = 0;
  if (h5.Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &index, ef_h5_attribute_visitor, &names) < 0)
    // No sound file comes to this, and what the program would go by may be among them.
    output->failed = EFBIG;
  ef_h5_put_number(output, names.number);
  for (const char *name = names.bytes; name < names.bytes + names.count && !output->failed;
       name += strlen(name) + 1) {
    ef_h5_put_text(output, name + 1, strlen(name) - 1);
    ef_h5_put_attribute(output, object, name + 1, limits->text);
  }
  free(names.bytes);
}
