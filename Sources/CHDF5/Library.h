// The calls into the library, by pointers: `h5.Dclose(id)` is H5Dclose(id). Within this target only.
//
// Nothing else of the library may be named, neither its functions nor the macros that stand for its variables: the
// program isn't linked with it, so that linking fails where one is.
#ifndef EMBEDFUSE_CHDF5_LIBRARY_H
#define EMBEDFUSE_CHDF5_LIBRARY_H
#include "CHDF5.h"

// Some constants would call the library first, by these.
#undef H5CHECK
#undef H5OPEN
#define H5CHECK
#define H5OPEN

/// The functions that show whether it is the right library, without their prefix.
#define EF_H5_CALLS_BEFORE_OPENING(call) call(dont_atexit) call(get_libversion)

/// All others. Numbered ones are called throughout: distributions map the plain names to different versions.
#define EF_H5_CALLS(call) \
  call(open) call(Zfilter_avail) \
  call(Aclose) call(Acreate2) call(Aget_space) call(Aget_type) call(Aiterate2) call(Aopen) call(Aread) \
  call(Awrite) \
  call(Dclose) call(Dcreate2) call(Dget_chunk_info) call(Dget_chunk_info_by_coord) call(Dget_chunk_storage_size) \
  call(Dget_create_plist) call(Dget_num_chunks) call(Dget_offset) call(Dget_space) call(Dget_type) call(Dopen2) \
  call(Dread) call(Dread_chunk) call(Dvlen_reclaim) call(Dwrite) call(Dwrite_chunk) \
  call(Eclear2) call(Eget_current_stack) call(Eset_auto2) call(Eset_current_stack) call(Ewalk2) \
  call(Fclose) call(Fcreate) call(Fflush) call(Fget_create_plist) call(Fget_obj_count) call(Fopen) \
  call(Gclose) call(Gcreate2) call(Literate) call(Oclose) call(Oget_info2) call(Oopen) \
  call(Pclose) call(Pcreate) call(Pfill_value_defined) call(Pget_chunk) call(Pget_external_count) \
  call(Pget_fill_time) call(Pget_fill_value) call(Pget_filter2) call(Pget_layout) call(Pget_mdc_config) \
  call(Pget_nfilters) call(Pget_userblock) call(Pset_char_encoding) call(Pset_chunk) call(Pset_fapl_core) \
  call(Pset_fclose_degree) call(Pset_file_image) call(Pset_file_image_callbacks) call(Pset_file_locking) \
  call(Pset_fill_time) call(Pset_filter) call(Pset_libver_bounds) call(Pset_mdc_config) call(Pset_obj_track_times) \
  call(Pset_shuffle) \
  call(Sclose) call(Scopy) call(Screate) call(Screate_simple) call(Sget_simple_extent_dims) \
  call(Sget_simple_extent_npoints) call(Sget_simple_extent_type) call(Sselect_hyperslab) \
  call(Tclose) call(Tcopy) call(Tcreate) call(Tequal) call(Tget_class) call(Tget_ebias) call(Tget_fields) \
  call(Tget_order) call(Tget_precision) call(Tget_sign) call(Tget_size) call(Tget_strpad) call(Tget_super) \
  call(Tinsert) call(Tis_variable_str) call(Tset_cset) call(Tset_ebias) call(Tset_fields) call(Tset_precision) \
  call(Tset_size) call(Tset_strpad)

/// The predefined types and classes of property lists that are used, and the library's variables that hold them.
#define EF_H5_IDS(id) \
  id(f32, H5T_IEEE_F32LE_g) id(f32_big_endian, H5T_IEEE_F32BE_g) id(f64, H5T_IEEE_F64LE_g) \
  id(i64, H5T_STD_I64LE_g) id(u64, H5T_STD_U64LE_g) id(native_u64, H5T_NATIVE_UINT64_g) id(text, H5T_C_S1_g) \
  id(file_access, H5P_CLS_FILE_ACCESS_ID_g) id(file_creation, H5P_CLS_FILE_CREATE_ID_g) \
  id(link_creation, H5P_CLS_LINK_CREATE_ID_g) id(group_creation, H5P_CLS_GROUP_CREATE_ID_g) \
  id(dataset_creation, H5P_CLS_DATASET_CREATE_ID_g) id(attribute_creation, H5P_CLS_ATTRIBUTE_CREATE_ID_g)

#define EF_H5_POINTER(name) __typeof__(&H5##name) name;
#define EF_H5_ID(name, variable) hid_t name;

/// What `ef_h5_load` fills in.
extern struct ef_h5_library {
  EF_H5_CALLS_BEFORE_OPENING(EF_H5_POINTER)
  EF_H5_CALLS(EF_H5_POINTER)
  EF_H5_IDS(EF_H5_ID)
} ef_h5_library;

#define h5 ef_h5_library

/// Closes a property list or a data space, and keeps the messages of the failure before it.
void ef_h5_release(hid_t id, herr_t (*close)(hid_t));
/// True if a type is a complex number as h5py writes it, of parts of this type.
int ef_h5_is_complex(hid_t type, hid_t part);
#endif
