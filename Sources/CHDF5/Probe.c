// Trying a file out in a process of its own; what `ef_h5_probe` does.
//
// The library was not written for hostile files: versions in use crash, or never come back, on damaged headers
// (docs/fuzzing.md). So a child process first makes every call by which a file is described. Only if it comes through
// does the program make them itself. The child runs nothing but the library and libc, which may be used after fork(2)
// whatever the threads of the parent were doing.
#include "Library.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/// What is still to be visited, paths behind each other, and the addresses of the objects that were.
typedef struct {
  ef_h5_names paths;
  uint64_t *seen;
  size_t count, capacity;
} ef_h5_walk;

/// Takes note of an address: 1 if it is new, 0 if it is known, negative without memory.
static int ef_h5_visit(ef_h5_walk *walk, uint64_t address) {
  if (2 * walk->count >= walk->capacity) {
    size_t capacity = walk->capacity ? 2 * walk->capacity : 1024, count = walk->capacity;
    uint64_t *old = walk->seen;
    if ((walk->seen = (uint64_t *)calloc(capacity, sizeof *old)) == NULL) return -1;
    walk->capacity = capacity;
    walk->count = 0;
    for (size_t i = 0; i < count; i++)
      if (old[i] != 0) ef_h5_visit(walk, old[i] - 1);
    free(old);
  }
  size_t place = (size_t)(address * 0x9E3779B97F4A7C15u >> 20) % walk->capacity;
  for (; walk->seen[place] != 0; place = (place + 1) % walk->capacity)
    if (walk->seen[place] == address + 1) return 0;
  walk->seen[place] = address + 1;
  walk->count++;
  return 1;
}

/// Reads all texts attached to an object, and the integers of which there are few.
static void ef_h5_try_attributes(hid_t object, size_t limit) {
  ef_h5_names names = {NULL, 0, 0};
  // The program asks for attributes by name, which those that can't be listed may have.
  if (ef_h5_attributes(object, &names) < 0) _exit(1);
  for (size_t at = 0; at < names.count; at += strlen(names.bytes + at) + 1) {
    const char *name = names.bytes + at + 1;
    size_t length = 0;
    free(ef_h5_read_text(object, name, limit, &length));
    ef_h5_names texts = {NULL, 0, 0};
    ef_h5_read_texts(object, name, limit, &texts);
    free(texts.bytes);
    int64_t count = ef_h5_count_integers(object, name);
    uint64_t *values = count > 0 && (size_t)count <= limit / 8 ? (uint64_t *)malloc((size_t)count * 8) : NULL;
    if (values != NULL) ef_h5_read_integers(object, name, values, (hsize_t)count);
    free(values);
  }
  free(names.bytes);
}

/// Describes a dataset, and looks its chunks up as long as there are no more than `chunks`.
static void ef_h5_try_dataset(hid_t dataset, hsize_t chunks) {
  ef_h5_type type;
  ef_h5_storage storage;
  hsize_t extents[32], count = 0, corner[33], size = 0;
  unsigned char value[1 << 16];
  if (ef_h5_describe_type(dataset, &type) < 0 || ef_h5_describe_storage(dataset, &storage) < 0) return;
  int rank = ef_h5_extents(dataset, extents);
  if (type.size <= 16) ef_h5_fill_value(dataset, type.size, value);
  h5.Dget_offset(dataset);
  hssize_t elements = 1;
  for (int i = 0; i < rank; i++)
    elements = extents[i] < sizeof value && elements < (hssize_t)sizeof value ? elements * (hssize_t)extents[i]
                                                                              : (hssize_t)sizeof value;
  if (storage.layout == 'i' && rank >= 0 && type.size <= 16 && elements * (hssize_t)type.size < (hssize_t)sizeof value)
    ef_h5_read(dataset, 0, NULL, NULL, NULL, value);
  if (storage.layout != 'h' || rank < 0) return;
  hid_t space = h5.Dget_space(dataset);
  if (h5.Dget_num_chunks(dataset, space, &count) >= 0 && count <= chunks)
    for (hsize_t i = 0; i < count; i++) {
      unsigned mask = 0;
      haddr_t address = 0;
      if (h5.Dget_chunk_info(dataset, space, i, corner, &mask, &address, &size) < 0) break;
    }
  h5.Sclose(space);
}

/// Makes the calls that describe an open file: every group, its links, every dataset and every attribute.
static void ef_h5_try_file(hid_t file, size_t text_limit, hsize_t chunks) {
  ef_h5_walk walk = {{NULL, 0, 0}, NULL, 0, 0};
  ef_h5_userblock(file);
  ef_h5_append_name(&walk.paths, '/', "/");
  while (walk.paths.count > 0) {
    // The last path, taken off.
    size_t start = walk.paths.count - 1;
    while (start > 0 && walk.paths.bytes[start - 1] != 0) start--;
    char *path = strdup(walk.paths.bytes + start + 1);
    walk.paths.count = start;
    hid_t object = path == NULL ? -1 : h5.Oopen(file, path, H5P_DEFAULT);
    uint64_t address = 0;
    char kind = object < 0 ? 0 : ef_h5_object_kind(object, &address);
    if (kind != 0 && ef_h5_visit(&walk, address) > 0) {
      ef_h5_try_attributes(object, text_limit);
      ef_h5_names links = {NULL, 0, 0};
      if (kind == 'd') ef_h5_try_dataset(object, chunks);
      if (kind == 'g' && ef_h5_links(object, &links) >= 0)
        for (size_t at = 0; at < links.count; at += strlen(links.bytes + at) + 1) {
          const char *name = links.bytes + at + 1;
          char *next = (char *)malloc(strlen(path) + strlen(name) + 2);
          if (links.bytes[at] == 'h' && next != NULL) {
            strcpy(next, path);
            if (next[strlen(next) - 1] != '/') strcat(next, "/");
            ef_h5_append_name(&walk.paths, '/', strcat(next, name));
          }
          free(next);
        }
      free(links.bytes);
    }
    if (object >= 0) h5.Oclose(object);
    free(path);
  }
  free(walk.paths.bytes);
  free(walk.seen);
}

/// The most memory that the process has held, in bytes.
static size_t ef_h5_peak_memory(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) < 0 ? 0 : (size_t)usage.ru_maxrss << 10;
}

int ef_h5_probe(const char *path, void *bytes, size_t size, unsigned seconds, size_t text_limit,
                uint64_t chunks) {
  int ends[2];
  if (pipe(ends) < 0) return -1;
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  pid_t child = fork();
  if (child == 0) {
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGINT, SIGTERM, SIGXCPU};
    struct rlimit time = {seconds, seconds}, core = {0, 0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CPU, &time);
    setrlimit(RLIMIT_CORE, &core);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], SIG_DFL);
    int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0) dup2(nowhere, 2);
    size_t most = ef_h5_peak_memory() + size + (256 << 20);
    hid_t file = path != NULL ? ef_h5_open_file(path) : ef_h5_open_image(bytes, size);
    if (file >= 0) ef_h5_try_file(file, text_limit, chunks);
    _exit(ef_h5_peak_memory() <= most && write(ends[1], "", 1) == 1 ? 0 : 1);
  }
  close(ends[1]);
  char done = 0;
  ssize_t got = -1;
  if (child > 0) {
    while ((got = read(ends[0], &done, 1)) < 0 && errno == EINTR) {}
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
  }
  close(ends[0]);
  return child < 0 ? -1 : got == 1;
}
