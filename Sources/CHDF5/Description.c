// Describing a file: its groups and links, and what they lead to; see Description.h.
#include "Description.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/// The objects that were described, by their addresses, in a table of `capacity` places: open addressing.
typedef struct {
  ef_h5_output *output;
  const ef_h5_limits *limits;
  struct {
    uint64_t address, number;
  } *seen;
  /// A number of 0 stands for a free place, so that objects are counted from 1 here.
  size_t count, capacity;
} ef_h5_walk;

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
  names->number++;
  return 0;
}

/// The place of an address, or the free one where it belongs.
static size_t ef_h5_place(const ef_h5_walk *walk, uint64_t address) {
  size_t place = (size_t)(address * 0x9E3779B97F4A7C15u >> 20) % walk->capacity;
  while (walk->seen[place].number != 0 && walk->seen[place].address != address) place = (place + 1) % walk->capacity;
  return place;
}

/// Makes the table larger, if it is half full: 0, or -1 without memory.
static int ef_h5_make_places(ef_h5_walk *walk) {
  if (2 * walk->count < walk->capacity) return 0;
  ef_h5_walk larger = *walk;
  larger.capacity = walk->capacity ? 2 * walk->capacity : 1024;
  larger.seen = calloc(larger.capacity, sizeof *larger.seen);
  if (larger.seen == NULL) return -1;
  for (size_t i = 0; i < walk->capacity; i++)
    if (walk->seen[i].number != 0) larger.seen[ef_h5_place(&larger, walk->seen[i].address)] = walk->seen[i];
  free(walk->seen);
  *walk = larger;
  return 0;
}

/// The number of the object at an address if it was described before; 0 if not, and then it gets the next number.
static uint64_t ef_h5_visit(ef_h5_walk *walk, uint64_t address) {
  if (ef_h5_make_places(walk) < 0) {
    walk->output->failed = ENOMEM;
    return 0;
  }
  size_t place = ef_h5_place(walk, address);
  if (walk->seen[place].number != 0) return walk->seen[place].number;
  walk->seen[place].address = address;
  walk->seen[place].number = ++walk->count;
  return 0;
}

#if !H5_VERSION_GE(1, 12, 0)
typedef H5O_info_t H5O_info1_t;
#endif

/// The kind of an opened object, `g`roup, `d`ataset or `o`ther, and its address in the file.
static char ef_h5_object_kind(hid_t object, uint64_t *address) {
  H5O_info1_t info;
  if (h5.Oget_info2(object, &info, H5O_INFO_BASIC) < 0) return 'o';
  *address = info.addr;
  return info.type == H5O_TYPE_GROUP ? 'g' : info.type == H5O_TYPE_DATASET ? 'd' : 'o';
}

static herr_t ef_h5_link_visitor(hid_t group, const char *name, const H5L_info_t *info, void *context) {
  return ef_h5_append_name((ef_h5_names *)context, info->type == H5L_TYPE_HARD ? 'h' : 's', name);
}

static void ef_h5_put_object(ef_h5_walk *walk, hid_t parent, const char *name, int depth);

/// Puts a group's links in the order of their names, and what stands behind them.
static void ef_h5_put_links(ef_h5_walk *walk, hid_t group, int depth) {
  ef_h5_output *output = walk->output;
  ef_h5_names links = {NULL, 0, 0, 0};
  hsize_t index = 0;
  if (h5.Literate(group, H5_INDEX_NAME, H5_ITER_INC, &index, ef_h5_link_visitor, &links) < 0) {
    ef_h5_put_failure(output);
  } else {
    ef_h5_put_tag(output, '+');
    ef_h5_put_number(output, links.number);
    for (const char *link = links.bytes; link < links.bytes + links.count; link += strlen(link) + 1) {
      ef_h5_put_tag(output, *link);
      ef_h5_put_text(output, link + 1, strlen(link) - 1);
    }
    for (const char *link = links.bytes; link < links.bytes + links.count; link += strlen(link) + 1)
      if (*link == 'h' && !output->failed) ef_h5_put_object(walk, group, link + 1, depth + 1);
  }
  free(links.bytes);
}

/// Puts what a link of `parent` leads to. Calls itself for what a group holds, as deep as the limits allow.
static void ef_h5_put_object(ef_h5_walk *walk, hid_t parent, const char *name, int depth) {
  ef_h5_output *output = walk->output;
  hid_t object = h5.Oopen(parent, name, H5P_DEFAULT);
  if (object < 0) return ef_h5_put_failure(output);
  uint64_t address = 0, known = 0;
  char kind = ef_h5_object_kind(object, &address);
  if (kind == 'o') {
    ef_h5_put_tag(output, 'o');
  } else if (kind == 'g' && depth >= walk->limits->depth) {
    ef_h5_put_tag(output, '^');
  } else if ((known = ef_h5_visit(walk, address)) > 0) {
    ef_h5_put_tag(output, 's');
    ef_h5_put_number(output, known - 1);
  } else {
    ef_h5_put_tag(output, kind);
    ef_h5_put_number(output, address);
    ef_h5_put_attributes(output, object, walk->limits);
    if (kind == 'd') ef_h5_put_dataset(output, object, walk->limits);
    else ef_h5_put_links(walk, object, depth);
  }
  h5.Oclose(object);
}

/// Puts how many bytes stand before the HDF5 data proper, which the addresses of chunks don't count.
static void ef_h5_put_userblock(ef_h5_output *output, hid_t file) {
  hsize_t size = 0;
  hid_t creation = h5.Fget_create_plist(file);
  if (creation < 0 || h5.Pget_userblock(creation, &size) < 0) {
    ef_h5_put_failure(output);
  } else {
    ef_h5_put_tag(output, '+');
    ef_h5_put_number(output, size);
  }
  if (creation >= 0) h5.Pclose(creation);
}

void ef_h5_put_file(ef_h5_output *output, const ef_h5_source *source) {
  hid_t file = source->path != NULL ? ef_h5_open_file(source->path) : ef_h5_open_image(source->bytes, source->size);
  if (file < 0) return ef_h5_put_failure(output);
  ef_h5_walk walk = {.output = output, .limits = &source->limits};
  ef_h5_put_tag(output, '+');
  ef_h5_put_userblock(output, file);
  ef_h5_put_object(&walk, file, "/", 0);
  free(walk.seen);
  h5.Fclose(file);
}
