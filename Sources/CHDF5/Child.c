// Describing a file in a process of its own; what `ef_h5_describe` does.
//
// The library was not written for hostile files: versions in use crash, or never come back, on damaged headers
// (docs/fuzzing.md). So all calls that describe a file are made in a child process, which hands over what it found as
// bytes (Description.h). It runs nothing but the library and libc, which may be used after fork(2) whatever the
// threads of the parent were doing.
#define _GNU_SOURCE
#include "Description.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/// Bytes of the description of a file of `size` bytes at most.
static size_t ef_h5_description_limit(size_t size) {
  return size < SIZE_MAX / 8 ? (64 << 20) + 4 * size : SIZE_MAX / 2;
}

/// The most memory that the process has held, in bytes.
static size_t ef_h5_peak_memory(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) < 0 ? 0 : (size_t)usage.ru_maxrss << 10;
}

/// Gives the calling process its limits, and lets it end by the signals that a library's faults raise.
static void ef_h5_confine(size_t size) {
  const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGINT, SIGTERM, SIGXCPU, SIGPIPE};
  // Several times what a sound file of the smallest datasets takes; machines are slow or busy, too.
  rlim_t seconds = 4 + (size >> 22);
  struct rlimit time = {seconds, seconds + 1}, core = {0, 0};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setrlimit(RLIMIT_CPU, &time);
  setrlimit(RLIMIT_CORE, &core);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], SIG_DFL);
  // Threads of a pool block signals.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int nowhere = open("/dev/null", O_WRONLY);
  if (nowhere >= 0) dup2(nowhere, 2);
}

/// What the child does: describes the file into a pipe. The '.' at the end tells that it came through.
static _Noreturn void ef_h5_run_child(const ef_h5_source *source, int pipe) {
  ef_h5_confine(source->size);
  size_t most = ef_h5_peak_memory() + source->size + (256 << 20);
  ef_h5_output output;
  ef_h5_begin(&output, pipe, ef_h5_description_limit(source->size));
  ef_h5_put_file(&output, source);
  ef_h5_put_tag(&output, '.');
  if (!output.failed) ef_h5_flush(&output);
  _exit(output.failed ? EF_H5_TOO_LONG : ef_h5_peak_memory() > most ? EF_H5_TOO_LARGE : 0);
}

/// Gathers all that comes through a pipe, until its end.
static void ef_h5_gather(ef_h5_output *output, int pipe) {
  while (!output->failed) {
    size_t room = output->capacity - output->count;
    ssize_t got = read(pipe, output->bytes + output->count, room);
    if (got == 0) return;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || (size_t)got > output->left) {
      output->failed = 1;
    } else {
      output->count += (size_t)got;
      output->left -= (size_t)got;
      ef_h5_make_room(output);
    }
  }
}

/// Lets a child describe a file: what waitpid(2) tells of its end, or -1 if none could be started.
static int ef_h5_describe_apart(ef_h5_output *output, const ef_h5_source *source) {
  int ends[2], status = 0;
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  pid_t child = fork();
  if (child == 0) ef_h5_run_child(source, ends[1]);
  close(ends[1]);
  if (child > 0) {
    ef_h5_gather(output, ends[0]);
    if (output->failed) kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  }
  close(ends[0]);
  return child < 0 ? -1 : status;
}

ef_h5_description ef_h5_describe(const char *path, void *bytes, size_t size, ef_h5_limits limits) {
  const ef_h5_source source = {path, bytes, size, limits};
  ef_h5_output output;
  ef_h5_begin(&output, -1, ef_h5_description_limit(size));
  int status = ef_h5_describe_apart(&output, &source);
  if (status < 0) {
    ef_h5_put_file(&output, &source);
    ef_h5_put_tag(&output, '.');
    status = 0;
  }
  if (output.failed || status != 0) {
    free(output.bytes);
    return (ef_h5_description){NULL, 0, status};
  }
  return (ef_h5_description){output.bytes, output.count, 0};
}
