// What a file says of itself, as a row of bytes. Within this target only; `HDF5Description` takes it apart.
//
//   description  outcome of opening the file, with: outcome of the userblock's size, the root's object; then '.'
//   object       'd' address attributes dataset | 'g' address attributes links | 'o' another kind
//                | 's' number, among the objects 'd' and 'g', of the one that it is | '^' a group too deep
//                | '-' text, if it can't be opened
//   links        outcome, with: count, for each its kind ('h' a hard link, 's' another) and name; then the objects of
//                the hard ones
//   attributes   count, for each its name and value
//   value        't' text | 'l' count texts | 'i' count numbers | 'o' something else | '-' text, if it can't be read
//   dataset      outcome, with: the numbers of `ef_h5_type`; rank (all bits set: no values), extents; storage
//   storage      outcome, with: layout as in `ef_h5_layout`, for 'h' a chunk's extents; how many filters, and of the
//                first 8 number, parameter, name; then 'o', or where it holds numbers '+' values
//   values       outcome of the fill value (text, empty: none); then by the layout
//                'c' offset | 'i' outcome of all values (text) | 'h' outcome of the chunks | 'o' nothing
//   chunks       count; unless there are too many, the outcome of each up to the first failure: filter mask, address,
//                bytes, corner
//   outcome      '+' and what it is with, or '-' and the library's messages (text)
//   text         count, bytes
//
// Numbers, and counts, have 8 bytes in the machine's order.
#ifndef EMBEDFUSE_CHDF5_DESCRIPTION_H
#define EMBEDFUSE_CHDF5_DESCRIPTION_H
#include "Library.h"

#include <sys/types.h>

/// Where a description goes: in pieces to a pipe, or where `pipe` is negative, as a whole to memory.
typedef struct {
  int pipe;
  char *bytes;
  size_t count, capacity;
  /// Bytes that may still be put.
  size_t left;
  /// Why something could not be put, as errno has it, EFBIG if it was too much: all that follows is dropped. 0 if all was.
  int failed;
} ef_h5_output;

/// What is to be described.
typedef struct {
  /// The file's path, or where that is NULL, its `size` bytes.
  const char *path;
  void *bytes;
  size_t size;
  ef_h5_limits limits;
} ef_h5_source;

/// Prepares an output of at most `limit` bytes.
void ef_h5_begin(ef_h5_output *output, int pipe, size_t limit);
/// Makes room for at least one more byte, where all is taken.
void ef_h5_make_room(ef_h5_output *output);
/// Writes what is left to the pipe.
void ef_h5_flush(ef_h5_output *output);
void ef_h5_put(ef_h5_output *output, const void *bytes, size_t count);
void ef_h5_put_tag(ef_h5_output *output, char tag);
void ef_h5_put_number(ef_h5_output *output, uint64_t number);
void ef_h5_put_text(ef_h5_output *output, const char *text, size_t length);
/// Puts that a call failed, with the library's messages.
void ef_h5_put_failure(ef_h5_output *output);

/// Starts a process that describes a file into a pipe, with limits on what it does: its number, or -1.
pid_t ef_h5_fork_child(const ef_h5_source *source, int pipe);
/// What starts that process: `ef_h5_fork_child`. The fuzz target puts its own in the place of this one, which is weak.
pid_t ef_h5_start_child(const ef_h5_source *source, int pipe) __attribute__((weak));
/// What that process does: 0, or why it failed, as errno has it. The fuzz target calls it without one.
int ef_h5_describe_into(int pipe, const ef_h5_source *source);

/// Describes a file, without the '.' at the end.
void ef_h5_put_file(ef_h5_output *output, const ef_h5_source *source);
void ef_h5_put_attributes(ef_h5_output *output, hid_t object, const ef_h5_limits *limits);
void ef_h5_put_dataset(ef_h5_output *output, hid_t dataset, const ef_h5_limits *limits);

/// Names gathered by an iteration: each a kind byte, the text and a NUL. The bytes are the caller's to free.
typedef struct {
  char *bytes;
  size_t count, capacity;
  /// How many they are.
  uint64_t number;
} ef_h5_names;

/// Adds a name to those gathered: 0, or -1 without memory.
herr_t ef_h5_append_name(ef_h5_names *names, char kind, const char *name);
#endif
