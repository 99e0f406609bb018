// Makes system calls fail, for Scripts/campaigns/faults: loaded by LD_PRELOAD in front of the C library.
//
// EMBEDFUSE_FAULTS lists faults, separated by commas: CALL:WHERE:WHEN:WHAT
//   CALL   open, read, write, fsync, close, rename, mkdir, unlink, fallocate, ftruncate, mmap, flock, stat
//   WHERE  `in` for files that were opened to be read, `out` for files and folders of the staging folder, `any`, or a
//          text that the path must contain
//   WHEN   a number: from the how manieth such call on; with `!` behind it only that one; `*N`: every Nth
//   WHAT   the name of an error number; `short`: does only part of what was asked for; `kill-input`: does what was
//          asked for after truncating, and `touch-input`: after changing the file named by EMBEDFUSE_VICTIM; `hang`:
//          never comes back, `hang-once`: only in the first process that can make the folder of that name
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

typedef struct {
  char call[16], where[128], what[24];
  long from;
  int once, every;
  atomic_long seen;
} fault;

static fault faults[16];
static int fault_count;
// Which descriptors stand for inputs (1) and for files of the output (2).
static atomic_int kinds[4096];

__attribute__((constructor)) static void prepare(void) {
  const char *text = getenv("EMBEDFUSE_FAULTS");
  if (!text) return;
  char *copy = strdup(text), *rest = copy;
  for (char *one; (one = strsep(&rest, ",")) && fault_count < 16;) {
    fault *f = &faults[fault_count++];
    char when[24] = "";
    sscanf(one, "%15[^:]:%127[^:]:%23[^:]:%23s", f->call, f->where, when, f->what);
    f->every = when[0] == '*';
    f->once = strchr(when, '!') != 0;
    f->from = atol(when + f->every);
  }
  free(copy);
}

static int is_output(const char *path) { return path && strstr(path, ".embedfuse-") != 0; }
static int is_input(const char *path) {
  return path && (strstr(path, ".safetensors") || strstr(path, ".json") || strstr(path, ".h5") || strstr(path, ".txt"));
}

static int number(const char *name) {
  static const struct { const char *name; int value; } table[] = {
      {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EINTR", EINTR},   {"EACCES", EACCES}, {"EDQUOT", EDQUOT},
      {"EROFS", EROFS},   {"ENFILE", ENFILE}, {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM}, {"EPERM", EPERM},
      {"EXDEV", EXDEV},   {"EBUSY", EBUSY},   {"EFBIG", EFBIG},   {"ENOSYS", ENOSYS}, {"EINVAL", EINVAL},
      {"ESTALE", ESTALE}, {"ENOLCK", ENOLCK}, {"ENOENT", ENOENT}, {"EOPNOTSUPP", EOPNOTSUPP}, {"ELOOP", ELOOP},
      {"ENODEV", ENODEV}, {"EMLINK", EMLINK}, {"ENAMETOOLONG", ENAMETOOLONG}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (!strcmp(table[i].name, name)) return table[i].value;
  fprintf(stderr, "faults.c: %s is no error that is known here\n", name);
  abort();
}

static void hurt(int truncates) {
  const char *victim = getenv("EMBEDFUSE_VICTIM");
  if (truncates) {
    if (truncate(victim, 4096)) perror(victim);
    return;
  }
  int descriptor = REAL(open)(victim, O_WRONLY);
  struct stat info;
  if (descriptor < 0 || fstat(descriptor, &info)) { perror(victim); return; }
  // The last bytes, which are read late.
  if (REAL(pwrite)(descriptor, "\1\2\3\4", 4, info.st_size - 4) != 4) perror(victim);
  REAL(close)(descriptor);
}

// 0: the call is to be made as it is; -1: it fails, errno says how; 1: it does a part.
static int meet(const char *call, const char *path, int descriptor) {
  int kind = path ? (is_output(path) ? 2 : is_input(path) ? 1 : 0)
                  : descriptor >= 0 && descriptor < 4096 ? atomic_load(&kinds[descriptor]) : 0;
  char link[32], target[512];
  for (int i = 0; i < fault_count; i++) {
    fault *f = &faults[i];
    if (strcmp(f->call, call)) continue;
    if (!path && descriptor >= 0) {
      snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
      ssize_t length = readlink(link, target, sizeof target - 1);
      if (length > 0) target[length] = 0, path = target;
    }
    if (!strcmp(f->where, "in") ? kind != 1 : !strcmp(f->where, "out") ? kind != 2
        : strcmp(f->where, "any") ? !path || !strstr(path, f->where) : 0) continue;
    long seen = atomic_fetch_add(&f->seen, 1) + 1;
    if (f->every ? seen % f->from : f->once ? seen != f->from : seen < f->from) continue;
    if (!strcmp(f->what, "short")) return 1;
    if (!strcmp(f->what, "kill-input") || !strcmp(f->what, "touch-input")) {
      if (seen == f->from) hurt(f->what[0] == 'k');
      continue;
    }
    if (!strcmp(f->what, "hang-once") && mkdir(getenv("EMBEDFUSE_VICTIM"), 0700)) continue;
    while (!strncmp(f->what, "hang", 4)) pause();
    errno = number(f->what);
    return -1;
  }
  return 0;
}

static int note(int descriptor, const char *path) {
  if (descriptor >= 0 && descriptor < 4096) {
    struct stat info;
    int regular = !fstat(descriptor, &info) && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode));
    atomic_store(&kinds[descriptor], !regular ? 0 : is_output(path) ? 2 : is_input(path) ? 1 : 0);
  }
  return descriptor;
}

#define OPEN(name)                                                        \
  int name(const char *path, int flags, ...) {                            \
    mode_t mode = 0;                                                      \
    if (flags & (O_CREAT | O_TMPFILE)) {                                  \
      va_list list;                                                       \
      va_start(list, flags);                                              \
      mode = va_arg(list, mode_t);                                        \
      va_end(list);                                                       \
    }                                                                     \
    if (meet("open", path, -1) < 0) return -1;                            \
    return note(REAL(name)(path, flags, mode), path);                     \
  }
OPEN(open)
OPEN(open64)

#define TRANSFER(name, call, type, offset)                                 \
  ssize_t name(int descriptor, type data, size_t count, offset position) { \
    int met = meet(call, 0, descriptor);                                   \
    if (met < 0) return -1;                                                \
    if (met > 0 && count > 1) count = count / 2;                           \
    return REAL(name)(descriptor, data, count, position);                  \
  }
TRANSFER(pread, "read", void *, off_t)
TRANSFER(pread64, "read", void *, off64_t)
TRANSFER(pwrite, "write", const void *, off_t)
TRANSFER(pwrite64, "write", const void *, off64_t)

ssize_t read(int descriptor, void *data, size_t count) {
  int met = meet("read", 0, descriptor);
  if (met < 0) return -1;
  if (met > 0 && count > 1) count = count / 2;
  return REAL(read)(descriptor, data, count);
}

ssize_t write(int descriptor, const void *data, size_t count) {
  int met = meet("write", 0, descriptor);
  if (met < 0) return -1;
  if (met > 0 && count > 1) count = count / 2;
  return REAL(write)(descriptor, data, count);
}

int fsync(int descriptor) { return meet("fsync", 0, descriptor) < 0 ? -1 : REAL(fsync)(descriptor); }

int close(int descriptor) {
  int met = meet("close", 0, descriptor), number = errno;
  if (descriptor >= 0 && descriptor < 4096) atomic_store(&kinds[descriptor], 0);
  int result = REAL(close)(descriptor);
  if (met < 0) { errno = number; return -1; }
  return result;
}

int rename(const char *from, const char *to) {
  return meet("rename", from, -1) < 0 ? -1 : REAL(rename)(from, to);
}

int renameat2(int first, const char *from, int second, const char *to, unsigned flags) {
  if (meet("renameat2", from, -1) < 0) return -1;
  return meet("rename", from, -1) < 0 ? -1 : REAL(renameat2)(first, from, second, to, flags);
}

int link(const char *from, const char *to) { return meet("link", from, -1) < 0 ? -1 : REAL(link)(from, to); }
int mkdir(const char *path, mode_t mode) { return meet("mkdir", path, -1) < 0 ? -1 : REAL(mkdir)(path, mode); }
int unlink(const char *path) { return meet("unlink", path, -1) < 0 ? -1 : REAL(unlink)(path); }
int flock(int descriptor, int operation) {
  return meet("flock", 0, descriptor) < 0 ? -1 : ((int (*)(int, int))real("flock"))(descriptor, operation);
}
int ftruncate(int descriptor, off_t size) {
  return meet("ftruncate", 0, descriptor) < 0 ? -1 : REAL(ftruncate)(descriptor, size);
}
int ftruncate64(int descriptor, off64_t size) {
  return meet("ftruncate", 0, descriptor) < 0 ? -1 : REAL(ftruncate64)(descriptor, size);
}
int fallocate(int descriptor, int mode, off_t offset, off_t size) {
  return meet("fallocate", 0, descriptor) < 0 ? -1 : REAL(fallocate)(descriptor, mode, offset, size);
}
int fallocate64(int descriptor, int mode, off64_t offset, off64_t size) {
  return meet("fallocate", 0, descriptor) < 0 ? -1 : REAL(fallocate64)(descriptor, mode, offset, size);
}

void *mmap(void *start, size_t size, int protection, int flags, int descriptor, off_t offset) {
  if (descriptor >= 0 && meet("mmap", 0, descriptor) < 0) return MAP_FAILED;
  return REAL(mmap)(start, size, protection, flags, descriptor, offset);
}
