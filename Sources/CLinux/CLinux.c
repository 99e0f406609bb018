#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int clinux_rename_new(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int clinux_rename_exchange(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
}

int clinux_allocate(int descriptor, int64_t size) { return fallocate(descriptor, 0, 0, size); }

int clinux_start_writeback(int descriptor) {
  return sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
}

void clinux_return_allocations_from(int size) { mallopt(M_MMAP_THRESHOLD, size); }

static atomic_uint_fast64_t lost_pages;
// The last of them: a page's address, and in the bits that its alignment leaves free how often the slot was used before.
enum { slots = 1024, uses = 4096 };
static _Atomic uintptr_t lost[slots];
static uintptr_t page_size;
// Who had the signal before, and gets what isn't meant for us.
static struct sigaction earlier;

// Only what POSIX allows in a handler, and mmap, which is a bare system call on Linux.
static void replace_page(int number, siginfo_t *info, void *context) {
  (void)context;
  int saved = errno;
  void *page = (void *)((uintptr_t)info->si_addr & ~(page_size - 1));
  // It is noted before anyone can see zeros there.
  if (info->si_code == BUS_ADRERR) {
    uint64_t place = atomic_fetch_add(&lost_pages, 1);
    atomic_store(&lost[place % slots], (uintptr_t)page | place / slots % uses);
  }
  if (info->si_code != BUS_ADRERR ||
      mmap(page, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    sigaction(number, &earlier, NULL);
  errno = saved;
}

void clinux_survive_truncation(void) {
  struct sigaction action = {.sa_sigaction = replace_page, .sa_flags = SA_SIGINFO | SA_NODEFER};
  page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &earlier);
}

uint64_t clinux_lost_pages(void) { return atomic_load(&lost_pages); }

int clinux_lost_within(uintptr_t start, uint64_t size, uint64_t before) {
  uint64_t now = atomic_load(&lost_pages);
  if (now - before > slots) return 1;
  for (uint64_t place = before; place < now; place++) {
    uintptr_t entry = atomic_load(&lost[place % slots]), page = entry & ~(uintptr_t)(uses - 1);
    // An entry that isn't written yet, or is another's by now, may be any page.
    if ((entry & (uses - 1)) != place / slots % uses || page == 0) return 1;
    if (page < start + size && start < page + page_size) return 1;
  }
  return 0;
}
