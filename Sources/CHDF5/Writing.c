// Writing HDF5 files.
#include "Library.h"

hid_t ef_h5_create_file(const char *path) {
  hid_t access = h5.Pcreate(h5.file_access), creation = h5.Pcreate(h5.file_creation), file = -1;
  if (access >= 0 && creation >= 0 && h5.Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_LATEST) >= 0 &&
      h5.Pset_file_locking(access, 0, 1) >= 0 && h5.Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
      h5.Pset_obj_track_times(creation, 0) >= 0)
    file = h5.Fcreate(path, H5F_ACC_EXCL, creation, access);
  ef_h5_release(access, h5.Pclose);
  ef_h5_release(creation, h5.Pclose);
  return file;
}

herr_t ef_h5_flush_file(hid_t file) { return h5.Fflush(file, H5F_SCOPE_GLOBAL); }

hid_t ef_h5_create_dataset(hid_t file, const char *path, hid_t type, int rank,
                           const hsize_t *dimensions, const hsize_t *chunk, int shuffle, int level) {
  hid_t space = rank == 0 ? h5.Screate(H5S_SCALAR) : h5.Screate_simple(rank, dimensions, NULL);
  hid_t link = h5.Pcreate(h5.link_creation), creation = h5.Pcreate(h5.dataset_creation), dataset = -1;
  const unsigned values[1] = {(unsigned)level};
  int ok = space >= 0 && link >= 0 && creation >= 0 &&
           h5.Pset_char_encoding(link, H5T_CSET_UTF8) >= 0 && h5.Pset_obj_track_times(creation, 0) >= 0 &&
           h5.Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0;
  if (ok && chunk != NULL)
    // Optional, or the library would refuse to create the dataset where it lacks the filter.
    ok = h5.Pset_chunk(creation, rank, chunk) >= 0 && (!shuffle || h5.Pset_shuffle(creation) >= 0) &&
         h5.Pset_filter(creation, 32015, H5Z_FLAG_OPTIONAL, 1, values) >= 0;
  if (ok) dataset = h5.Dcreate2(file, path, type, space, link, creation, H5P_DEFAULT);
  ef_h5_release(space, h5.Sclose);
  ef_h5_release(link, h5.Pclose);
  ef_h5_release(creation, h5.Pclose);
  return dataset;
}

hid_t ef_h5_create_group(hid_t file, const char *path) {
  hid_t link = h5.Pcreate(h5.link_creation), creation = h5.Pcreate(h5.group_creation), group = -1;
  if (link >= 0 && creation >= 0 && h5.Pset_char_encoding(link, H5T_CSET_UTF8) >= 0 &&
      h5.Pset_obj_track_times(creation, 0) >= 0)
    group = h5.Gcreate2(file, path, link, creation, H5P_DEFAULT);
  ef_h5_release(link, h5.Pclose);
  ef_h5_release(creation, h5.Pclose);
  return group;
}

hid_t ef_h5_open_group(hid_t file, const char *path) { return h5.Oopen(file, path, H5P_DEFAULT); }
herr_t ef_h5_close_group(hid_t group) { return h5.Gclose(group); }

herr_t ef_h5_write(hid_t dataset, const void *values) {
  hid_t type = h5.Dget_type(dataset);
  herr_t status = h5.Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
  h5.Tclose(type);
  return status;
}

herr_t ef_h5_write_chunk(hid_t dataset, unsigned mask, const hsize_t *corner, size_t size, const void *bytes,
                         haddr_t *address) {
  if (h5.Dwrite_chunk(dataset, H5P_DEFAULT, mask, corner, size, bytes) < 0) return -1;
  hsize_t stored = 0;
  return h5.Dget_chunk_info_by_coord(dataset, corner, &mask, address, &stored);
}

herr_t ef_h5_write_text(hid_t object, const char *name, const char *text, size_t length) {
  hid_t type = h5.Tcopy(h5.text), space = h5.Screate(H5S_SCALAR), creation = h5.Pcreate(h5.attribute_creation);
  hid_t attribute = -1;
  herr_t status = -1;
  if (type >= 0 && space >= 0 && creation >= 0 && h5.Tset_size(type, length ? length : 1) >= 0 &&
      h5.Tset_strpad(type, H5T_STR_NULLPAD) >= 0 && h5.Tset_cset(type, H5T_CSET_UTF8) >= 0 &&
      h5.Pset_char_encoding(creation, H5T_CSET_UTF8) >= 0)
    attribute = h5.Acreate2(object, name, type, space, creation, H5P_DEFAULT);
  if (attribute >= 0) {
    status = h5.Awrite(attribute, type, length ? text : "");
    h5.Aclose(attribute);
  }
  if (type >= 0) h5.Tclose(type);
  ef_h5_release(space, h5.Sclose);
  ef_h5_release(creation, h5.Pclose);
  return status;
}

herr_t ef_h5_write_integers(hid_t object, const char *name, const uint64_t *values, hsize_t count) {
  hid_t space = h5.Screate_simple(1, &count, NULL), attribute = -1;
  herr_t status = -1;
  if (space >= 0)
    attribute = h5.Acreate2(object, name, h5.u64, space, H5P_DEFAULT, H5P_DEFAULT);
  if (attribute >= 0) {
    status = h5.Awrite(attribute, h5.native_u64, values);
    h5.Aclose(attribute);
  }
  ef_h5_release(space, h5.Sclose);
  return status;
}

hid_t ef_h5_float_type(size_t bytes, size_t exponent, size_t mantissa, size_t bias) {
  hid_t type = h5.Tcopy(h5.f32);
  size_t bits = bytes * 8;
  if (type >= 0 && h5.Tset_fields(type, bits - 1, mantissa, exponent, 0, mantissa) >= 0 &&
      h5.Tset_ebias(type, bias) >= 0 && h5.Tset_precision(type, bits) >= 0 && h5.Tset_size(type, bytes) >= 0)
    return type;
  if (type >= 0) h5.Tclose(type);
  return -1;
}

/// A complex number as h5py writes it: a compound of two binary32 fields.
static hid_t ef_h5_complex_of(hid_t part) {
  hid_t type = h5.Tcreate(H5T_COMPOUND, 8);
  if (type >= 0 && h5.Tinsert(type, "r", 0, part) >= 0 && h5.Tinsert(type, "i", 4, part) >= 0) return type;
  if (type >= 0) h5.Tclose(type);
  return -1;
}
int ef_h5_is_complex(hid_t type, hid_t part) {
  hid_t complex_type = ef_h5_complex_of(part);
  int result = complex_type >= 0 && h5.Tequal(type, complex_type) > 0;
  if (complex_type >= 0) h5.Tclose(complex_type);
  return result;
}
hid_t ef_h5_complex_type(void) { return ef_h5_complex_of(h5.f32); }
hid_t ef_h5_f32(void) { return h5.Tcopy(h5.f32); }
hid_t ef_h5_f64(void) { return h5.Tcopy(h5.f64); }

hid_t ef_h5_integer_type(size_t bytes, int is_signed) {
  hid_t type = h5.Tcopy(is_signed ? h5.i64 : h5.u64);
  if (type >= 0 && h5.Tset_size(type, bytes) < 0) {
    h5.Tclose(type);
    return -1;
  }
  return type;
}
herr_t ef_h5_close_type(hid_t type) { return h5.Tclose(type); }
