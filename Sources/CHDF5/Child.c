// Describing a file in a process of its own; what `ef_h5_describe` does.
//
// The library was not written for hostile files: versions in use crash, or never come back, on damaged headers
// (docs/fuzzing.md). So all calls that describe a file are made in a child process, which hands over what it found as
// bytes (Description.h). It runs nothing but the library and libc, most of which may be used after fork(2) whatever
// the threads of the parent were doing; where it waits for a lock that one of them held, another is started.
#define _GNU_SOURCE
#include "Description.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/// Bytes of the description of a file of `size` bytes at most.
static size_t ef_h5_description_limit(size_t size) {
  return size < SIZE_MAX / 8 ? (64 << 20) + 4 * size : SIZE_MAX / 2;
}

// MARK: - The child

/// The most memory that the child may hold, in bytes.
static size_t ef_h5_memory_limit;

/// The most memory that the process has held, in bytes.
static size_t ef_h5_peak_memory(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) < 0 ? 0 : (size_t)usage.ru_maxrss << 10;
}

static void ef_h5_check_memory(int signal) {
  if (ef_h5_peak_memory() > ef_h5_memory_limit) _exit(EF_H5_TOO_LARGE);
}

/// Limits the memory of the calling process, which looks at it after every few milliseconds of computing. RLIMIT_DATA
/// would let calls of the library fail instead, which may take that for an oddity of one attribute; it would also count
/// memory that is only asked for, as the library does of what damaged headers name.
static void ef_h5_limit_memory(size_t size) {
  ef_h5_memory_limit = ef_h5_peak_memory() + size + (256 << 20);
  const struct sigaction action = {.sa_handler = ef_h5_check_memory, .sa_flags = SA_RESTART};
  const struct itimerval interval = {{0, 5000}, {0, 5000}};
  sigaction(SIGPROF, &action, NULL);
  setitimer(ITIMER_PROF, &interval, NULL);
}

/// How much the process has done: microseconds of computing, and what shows that it waits for a disk rather than a lock.
static long ef_h5_progress(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) < 0) return 0;
  long seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec;
  return 1000000 * seconds + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec + 300 * usage.ru_nvcsw +
         1000 * (usage.ru_inblock + usage.ru_majflt);
}

static void ef_h5_check_progress(int signal) {
  static long before;
  static int idle;
  long now = ef_h5_progress();
  idle = now - before < 1000 ? idle + 1 : 0;
  before = now;
  if (idle >= 5) _exit(EF_H5_STUCK);
}

/// Ends the calling process if for five seconds it does nothing but wait, as for a lock of libc that another thread of
/// the parent held when it forked: that of the time zone, say, which messages of files that can't be opened need.
static void ef_h5_limit_waiting(void) {
  const struct sigaction action = {.sa_handler = ef_h5_check_progress, .sa_flags = SA_RESTART};
  const struct itimerval interval = {{1, 0}, {1, 0}};
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &interval, NULL);
}

/// Where a sanitizer writes to; there only under one.
void __sanitizer_set_report_path(const char *path) __attribute__((weak));

/// Gives the calling process its limits, and lets it end by the signals that a library's faults raise, and with its
/// parent. A terminal or a scheduler sends the other signals to both: the parent then decides.
static void ef_h5_confine(size_t size, pid_t parent) {
  const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGXCPU, SIGPIPE};
  const int interruptions[] = {SIGINT, SIGTERM, SIGHUP};
  // Several times what a sound file of the smallest datasets takes; machines are slow or busy, too.
  rlim_t seconds = 4 + (size >> 22);
  struct rlimit time = {seconds, seconds + 1}, core = {0, 0};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // It may have ended before.
  if (getppid() != parent) _exit(0);
  setrlimit(RLIMIT_CPU, &time);
  setrlimit(RLIMIT_CORE, &core);
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) signal(faults[i], SIG_DFL);
  for (size_t i = 0; i < sizeof interruptions / sizeof *interruptions; i++) signal(interruptions[i], SIG_IGN);
  ef_h5_limit_memory(size);
  ef_h5_limit_waiting();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int nowhere = open("/dev/null", O_WRONLY);
  if (nowhere >= 0) dup2(nowhere, 2);
  // That the library fails on a file is no finding.
  if (__sanitizer_set_report_path) __sanitizer_set_report_path("stderr");
}

int ef_h5_describe_into(int pipe, const ef_h5_source *source) {
  ef_h5_output output;
  ef_h5_begin(&output, pipe, ef_h5_description_limit(source->size));
  ef_h5_put_file(&output, source);
  // It tells that the description came through.
  ef_h5_put_tag(&output, '.');
  if (!output.failed) ef_h5_flush(&output);
  free(output.bytes);
  return output.failed;
}

static _Noreturn void ef_h5_run_child(const ef_h5_source *source, int pipe, pid_t parent) {
  ef_h5_confine(source->size, parent);
  int failure = ef_h5_describe_into(pipe, source);
  _exit(failure == ENOMEM || ef_h5_peak_memory() > ef_h5_memory_limit ? EF_H5_TOO_LARGE
        : failure != 0                                               ? EF_H5_TOO_LONG : 0);
}

// MARK: - The parent

pid_t ef_h5_fork_child(const ef_h5_source *source, int pipe) {
  // No signal comes between the start and what the child does about signals.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t parent = getpid(), child = fork();
  if (child == 0) ef_h5_run_child(source, pipe, parent);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = error;
  return child;
}

pid_t ef_h5_start_child(const ef_h5_source *source, int pipe) { return ef_h5_fork_child(source, pipe); }

/// Gathers all that comes through a pipe, until its end.
static void ef_h5_gather(ef_h5_output *output, int pipe, int (*is_cancelled)(void)) {
  struct pollfd end = {.fd = pipe, .events = POLLIN};
  while (!output->failed) {
    int ready = poll(&end, 1, 100);
    ssize_t got = ready <= 0 ? ready : read(pipe, output->bytes + output->count, output->capacity - output->count);
    if (ready > 0 && got == 0) return;
    if (is_cancelled()) {
      output->failed = ECANCELED;
    } else if (got < 0 && errno != EINTR) {
      output->failed = errno;
    } else if (got > 0 && (size_t)got > output->left) {
      output->failed = EFBIG;
    } else if (got > 0) {
      output->count += (size_t)got;
      output->left -= (size_t)got;
      ef_h5_make_room(output);
    }
  }
}

/// Lets a child describe a file: what waitpid(2) tells of its end.
static int ef_h5_describe_apart(ef_h5_output *output, const ef_h5_source *source, int (*is_cancelled)(void)) {
  int ends[2], status = 0;
  if (pipe2(ends, O_CLOEXEC) < 0) {
    output->failed = errno;
    return 0;
  }
  pid_t child = ef_h5_start_child(source, ends[1]);
  if (child < 0) output->failed = errno;
  close(ends[1]);
  if (child > 0) {
    ef_h5_gather(output, ends[0], is_cancelled);
    if (output->failed) kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  }
  close(ends[0]);
  return status;
}

ef_h5_description ef_h5_describe(const char *path, void *bytes, size_t size, ef_h5_limits limits,
                                 int (*is_cancelled)(void)) {
  const ef_h5_source source = {path, bytes, size, limits};
  ef_h5_output output;
  int status = EF_H5_STUCK << 8;
  for (int attempt = 0; attempt < 3 && status == EF_H5_STUCK << 8; attempt++) {
    if (attempt > 0) free(output.bytes);
    ef_h5_begin(&output, -1, ef_h5_description_limit(size));
    status = output.failed ? 0 : ef_h5_describe_apart(&output, &source, is_cancelled);
  }
  if (!output.failed && status == 0) return (ef_h5_description){output.bytes, output.count, 0, 0};
  free(output.bytes);
  // What is too long for the parent is so for the child.
  if (output.failed == EFBIG) return (ef_h5_description){NULL, 0, EF_H5_TOO_LONG << 8, 0};
  return (ef_h5_description){NULL, 0, status, output.failed};
}
