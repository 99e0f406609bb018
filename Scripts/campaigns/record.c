// Records what changes files and folders, for Scripts/campaigns/powercut: loaded by LD_PRELOAD in front of the C library.
//
// EMBEDFUSE_RECORD names the file to which every call that succeeded is appended: a header (below), then the paths and
// the bytes that were written. One call is made at a time, so that the record has them in the order in which they were.
// A change by other means (a mapping, say) is not seen; the campaign compares what it knows with the disk in the end.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

typedef struct __attribute__((packed)) {
  char call;             // which, see below
  uint64_t inode;        // the file or folder, where it has no path
  int64_t position;      // of the bytes written; a size; whether two names are exchanged
  uint32_t first, second;  // the lengths of two paths
  uint64_t count;        // the number of bytes written
} header;

static int record = -1;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

static void enter(void) { pthread_mutex_lock(&order); }
static void leave(void) { pthread_mutex_unlock(&order); }

__attribute__((constructor)) static void prepare(void) {
  const char *path = getenv("EMBEDFUSE_RECORD");
  if (path) record = REAL(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  // A child process begins with the lock free, even if another thread held it.
  pthread_atfork(enter, leave, leave);
}

static void note(header entry, const char *first, const char *second, const void *bytes) {
  if (record < 0) return;
  entry.first = first ? strlen(first) : 0;
  entry.second = second ? strlen(second) : 0;
  struct iovec parts[] = {{&entry, sizeof entry}, {(void *)first, entry.first}, {(void *)second, entry.second},
                          {(void *)bytes, entry.count}};
  if (writev(record, parts, 4) != (ssize_t)(sizeof entry + entry.first + entry.second + entry.count)) {
    perror("record.c");
    abort();
  }
}

// The number of a file or folder; 0 for pipes, terminals and the like.
static uint64_t inode(int descriptor) {
  struct stat info;
  if (fstat(descriptor, &info) || !(S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))) return 0;
  return info.st_ino;
}

#define OPEN(name)                                                                                  \
  int name(const char *path, int flags, ...) {                                                      \
    mode_t mode = 0;                                                                                \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                            \
      va_list list;                                                                                 \
      va_start(list, flags);                                                                        \
      mode = va_arg(list, mode_t);                                                                  \
      va_end(list);                                                                                 \
    }                                                                                               \
    if (!(flags & (O_CREAT | O_TRUNC))) return REAL(name)(path, flags, mode);                       \
    enter();                                                                                        \
    struct stat info;                                                                               \
    int is_new = lstat(path, &info) != 0, descriptor = REAL(name)(path, flags, mode);               \
    if (descriptor >= 0 && is_new) note((header){'c', .inode = inode(descriptor)}, path, 0, 0);     \
    else if (descriptor >= 0 && flags & O_TRUNC) note((header){'t', inode(descriptor)}, 0, 0, 0);   \
    leave();                                                                                        \
    return descriptor;                                                                              \
  }
OPEN(open)
OPEN(open64)

// A call that returns a count of bytes, or 0, or -1; `entry` is noted if it succeeded.
#define NOTED(type, call, good, entry, bytes) \
  enter();                                    \
  type result = call;                         \
  if (result good) note(entry, 0, 0, bytes);  \
  leave();                                    \
  return result

#define PWRITE(name, offset)                                                                      \
  ssize_t name(int descriptor, const void *data, size_t count, offset position) {                 \
    NOTED(ssize_t, REAL(name)(descriptor, data, count, position), > 0,                            \
          ((header){'w', inode(descriptor), position, .count = (uint64_t)result}), data);         \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int descriptor, const void *data, size_t count) {
  if (!inode(descriptor)) return REAL(write)(descriptor, data, count);
  NOTED(ssize_t, REAL(write)(descriptor, data, count), > 0,
        ((header){'w', inode(descriptor), lseek(descriptor, 0, SEEK_CUR) - result, .count = (uint64_t)result}), data);
}

#define SIZED(name, offset)                                                                       \
  int name(int descriptor, offset size) {                                                         \
    NOTED(int, REAL(name)(descriptor, size), == 0, ((header){'t', inode(descriptor), size}), 0);  \
  }
SIZED(ftruncate, off_t)
SIZED(ftruncate64, off64_t)

// The space reserved counts as bytes of zero up to its end, as far as the file was shorter.
#define RESERVED(name, offset)                                                                    \
  int name(int descriptor, int mode, offset start, offset size) {                                 \
    NOTED(int, REAL(name)(descriptor, mode, start, size), == 0,                                   \
          ((header){'a', inode(descriptor), start + size}), 0);                                   \
  }
RESERVED(fallocate, off_t)
RESERVED(fallocate64, off64_t)

int fsync(int descriptor) { NOTED(int, REAL(fsync)(descriptor), == 0, ((header){'s', inode(descriptor)}), 0); }
int fdatasync(int descriptor) { NOTED(int, REAL(fdatasync)(descriptor), == 0, ((header){'s', inode(descriptor)}), 0); }

#define NAMED(call, entry, first, second)      \
  enter();                                     \
  int result = call;                           \
  if (result == 0) note(entry, first, second, 0); \
  leave();                                     \
  return result

int rename(const char *from, const char *to) { NAMED(REAL(rename)(from, to), (header){'r'}, from, to); }

int renameat2(int first, const char *from, int second, const char *to, unsigned flags) {
  NAMED(REAL(renameat2)(first, from, second, to, flags), ((header){'r', .position = !!(flags & RENAME_EXCHANGE)}), from, to);
}

int link(const char *from, const char *to) { NAMED(REAL(link)(from, to), (header){'l'}, from, to); }
int unlink(const char *path) { NAMED(REAL(unlink)(path), (header){'u'}, path, 0); }
int rmdir(const char *path) { NAMED(REAL(rmdir)(path), (header){'u'}, path, 0); }

// In a folder that is open; its path is found, since the record holds paths.
int unlinkat(int folder, const char *name, int flags) {
  if (folder == AT_FDCWD) { NAMED(REAL(unlinkat)(folder, name, flags), (header){'u'}, name, 0); }
  char link[32], path[8192];
  snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  ssize_t length = readlink(link, path, sizeof path / 2);
  if (length < 0) length = 0;
  snprintf(path + length, sizeof path - length, "/%s", name);
  NAMED(REAL(unlinkat)(folder, name, flags), (header){'u'}, path, 0);
}

static uint64_t inode_of(const char *path) {
  struct stat info;
  return lstat(path, &info) ? 0 : info.st_ino;
}

int mkdir(const char *path, mode_t mode) {
  NAMED(REAL(mkdir)(path, mode), ((header){'m', inode_of(path)}), path, 0);
}
