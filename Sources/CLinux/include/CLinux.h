// What Linux and glibc offer and Swift does not see: calls for those who ask for GNU extensions, and mallopt(3).
#ifndef EMBEDFUSE_CLINUX_H
#define EMBEDFUSE_CLINUX_H
#include <stdint.h>

/// renameat2(2) relative to the working directory, refusing to replace what stands at `to`.
int clinux_rename_new(const char *from, const char *to);
/// renameat2(2) relative to the working directory, exchanging the two names.
int clinux_rename_exchange(const char *from, const char *to);
/// fallocate(2) from the start of the file.
int clinux_allocate(int descriptor, int64_t size);
/// sync_file_range(2) over the whole file: begins to write what isn't on disk yet, and doesn't wait for it.
int clinux_start_writeback(int descriptor);
/// mallopt(3): allocations of `size` bytes and more are given back to the system when they are freed.
void clinux_return_allocations_from(int size);
/// Lets pages of certain mapped files that are gone, because somebody cut the file short, read as zeros, instead of ending the
/// process by SIGBUS. To be called once. Other causes of that signal go to who handled it before.
void clinux_survive_truncation(void);
/// A mapping of whose pages that is to hold, from its first address on; -1 if there is no memory to note it.
int clinux_survive_truncation_of(uintptr_t start, uint64_t size);
/// Ends that for the mapping, which is still there.
void clinux_forget_mapping(uintptr_t start);

/// How many pages have been lost so.
uint64_t clinux_lost_pages(void);
/// True if one of those that were lost since there were `before` of them touches these bytes. Where too many were lost to
/// tell, it is true too.
int clinux_lost_within(uintptr_t start, uint64_t size, uint64_t before);
#endif
