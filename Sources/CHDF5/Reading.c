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

herr_t ef_h5_close_file(hid_t file) { return h5.Fclose(file); }
hid_t ef_h5_open_dataset(hid_t file, const char *path) { return h5.Dopen2(file, path, H5P_DEFAULT); }
herr_t ef_h5_close_dataset(hid_t dataset) { return h5.Dclose(dataset); }
herr_t ef_h5_read_chunk(hid_t dataset, const hsize_t *corner, unsigned *mask, void *bytes) {
  return h5.Dread_chunk(dataset, H5P_DEFAULT, corner, mask, bytes);
}

herr_t ef_h5_read(hid_t dataset, size_t size, int rank, const hsize_t *corner, const hsize_t *extents,
                  const hsize_t *chunk, void *target) {
  hid_t type = h5.Dget_type(dataset), space = h5.Dget_space(dataset);
  hid_t memory = rank == 0 ? h5.Scopy(space) : h5.Screate_simple(rank, chunk, NULL);
  hsize_t origin[32] = {0}, found[32];
  herr_t status = type < 0 || space < 0 || memory < 0 || h5.Tget_size(type) != size ? -1 : 0;
  if (status >= 0 && rank > 0)
    status = h5.Sget_simple_extent_dims(space, found, NULL) != rank ||
             h5.Sselect_hyperslab(space, H5S_SELECT_SET, corner, NULL, extents, NULL) < 0 ||
             h5.Sselect_hyperslab(memory, H5S_SELECT_SET, origin, NULL, extents, NULL) < 0 ? -1 : 0;
  if (status >= 0) status = h5.Dread(dataset, type, memory, space, H5P_DEFAULT, target);
  ef_h5_release(type, h5.Tclose);
  ef_h5_release(space, h5.Sclose);
  ef_h5_release(memory, h5.Sclose);
  return status;
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
