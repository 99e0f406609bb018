#ifndef EMBEDFUSE_CHDF5_SHIM_H
#define EMBEDFUSE_CHDF5_SHIM_H
#include <hdf5.h>
#endif
