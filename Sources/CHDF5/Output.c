// Putting a description together; see Description.h.
#include "Description.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ef_h5_begin(ef_h5_output *output, int pipe, size_t limit) {
  *output = (ef_h5_output){.pipe = pipe, .capacity = 1 << 16, .left = limit};
  output->bytes = (char *)malloc(output->capacity);
  output->failed = output->bytes == NULL ? ENOMEM : 0;
}

void ef_h5_flush(ef_h5_output *output) {
  for (size_t done = 0; done < output->count && !output->failed;) {
    ssize_t written = write(output->pipe, output->bytes + done, output->count - done);
    if (written > 0) done += (size_t)written;
    else if (errno != EINTR) output->failed = errno;
  }
  output->count = 0;
}

void ef_h5_make_room(ef_h5_output *output) {
  if (output->failed || output->count < output->capacity) return;
  if (output->pipe >= 0) return ef_h5_flush(output);
  char *bytes = (char *)realloc(output->bytes, 2 * output->capacity);
  if (bytes == NULL) {
    output->failed = ENOMEM;
  } else {
    output->bytes = bytes;
    output->capacity *= 2;
  }
}

void ef_h5_put(ef_h5_output *output, const void *bytes, size_t count) {
  if (count > output->left) output->failed = EFBIG;
  const char *next = (const char *)bytes;
  while (count > 0 && !output->failed) {
    size_t room = output->capacity - output->count, part = count < room ? count : room;
    memcpy(output->bytes + output->count, next, part);
    output->count += part;
    output->left -= part;
    next += part;
    count -= part;
    ef_h5_make_room(output);
  }
}

void ef_h5_put_tag(ef_h5_output *output, char tag) { ef_h5_put(output, &tag, 1); }

void ef_h5_put_number(ef_h5_output *output, uint64_t number) { ef_h5_put(output, &number, sizeof number); }

void ef_h5_put_text(ef_h5_output *output, const char *text, size_t length) {
  ef_h5_put_number(output, length);
  ef_h5_put(output, text, length);
}

void ef_h5_put_failure(ef_h5_output *output) {
  char text[2048];
  ef_h5_error_text(text, sizeof text);
  ef_h5_put_tag(output, '-');
  ef_h5_put_text(output, text, strlen(text));
}
