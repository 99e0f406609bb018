#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
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

// A mapping whose pages may go; `size` is 0 while it is none. A handler may look at any time, so entries are never freed, but used
// again.
struct mapping {
  _Atomic uintptr_t start;
  _Atomic uint64_t size;
  struct mapping *next;
};
static _Atomic(struct mapping *) mappings;

int clinux_survive_truncation_of(uintptr_t start, uint64_t size) {
  for (struct mapping *entry = atomic_load(&mappings); entry != NULL; entry = entry->next) {
    uintptr_t nothing = 0;
    if (!atomic_compare_exchange_strong(&entry->start, &nothing, start)) continue;
    atomic_store(&entry->size, size);
    return 0;
  }
  struct mapping *entry = malloc(sizeof *entry);
  if (entry == NULL) return -1;
  *entry = (struct mapping){start, size, atomic_load(&mappings)};
  while (!atomic_compare_exchange_weak(&mappings, &entry->next, entry)) {}
  return 0;
}

void clinux_forget_mapping(uintptr_t start) {
  for (struct mapping *entry = atomic_load(&mappings); entry != NULL; entry = entry->next) {
    if (atomic_load(&entry->start) != start) continue;
    atomic_store(&entry->size, 0);
    atomic_store(&entry->start, 0);
    return;
  }
}

static int is_mapped(uintptr_t page) {
  for (struct mapping *entry = atomic_load(&mappings); entry != NULL; entry = entry->next)
    if (page - atomic_load(&entry->start) < atomic_load(&entry->size)) return 1;
  return 0;
}

static void pass_on(int number, siginfo_t *info, void *context) {
  if (earlier.sa_flags & SA_SIGINFO) earlier.sa_sigaction(number, info, context);
  else if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) earlier.sa_handler(number);
  // What raised the signal is done again, and meets the system's own way.
  else sigaction(number, &earlier, NULL);
}

// Only what POSIX allows in a handler, and mmap, which is a bare system call on Linux.
static void replace_page(int number, siginfo_t *info, void *context) {
  int saved = errno;
  uintptr_t page = (uintptr_t)info->si_addr & ~(page_size - 1);
  int is_lost = info->si_code == BUS_ADRERR && is_mapped(page);
  // It is noted before anyone can see zeros there.
  if (is_lost) {
    uint64_t place = atomic_fetch_add(&lost_pages, 1);
    atomic_store(&lost[place % slots], page | place / slots % uses);
  }
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  if (!is_lost || mmap((void *)page, page_size, PROT_READ, flags, -1, 0) == MAP_FAILED)
    pass_on(number, info, context);
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
