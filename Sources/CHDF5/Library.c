// Loading the library, and its messages.
#include "Library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ef_h5_library ef_h5_library;

// The number in the library's name stands for its binary interface, which is that of the headers.
#if H5_VERS_MAJOR == 1 && H5_VERS_MINOR == 10
#define EF_H5_INTERFACE ".103"
#elif H5_VERS_MAJOR == 1 && H5_VERS_MINOR == 12
#define EF_H5_INTERFACE ".200"
#elif H5_VERS_MAJOR == 1 && H5_VERS_MINOR == 14
#define EF_H5_INTERFACE ".310"
#else
#define EF_H5_INTERFACE ".320"
#endif

/// The names to try: Debian's for the build that isn't parallel, and the library's own; then as developers have them.
static const char *const ef_h5_file_names[] = {"libhdf5_serial.so" EF_H5_INTERFACE, "libhdf5.so" EF_H5_INTERFACE,
                                               "libhdf5_serial.so", "libhdf5.so"};

static pthread_once_t ef_h5_once = PTHREAD_ONCE_INIT;

/// Why the first library that was found can't be used; empty when one can.
static char ef_h5_problem[512];

static int ef_h5_refuse(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  if (ef_h5_problem[0] == 0) vsnprintf(ef_h5_problem, sizeof ef_h5_problem, format, arguments);
  va_end(arguments);
  return -1;
}

#define EF_H5_TEXT(name) #name
#define EF_H5_SYMBOL(name) EF_H5_TEXT(name)
#define EF_H5_FIND(name) \
  if (missing == NULL && (*(void **)&h5.name = dlsym(library, EF_H5_SYMBOL(H5##name))) == NULL) \
    missing = EF_H5_SYMBOL(H5##name);
#define EF_H5_FETCH(name, variable) \
  if (missing == NULL) { \
    const hid_t *found = (const hid_t *)dlsym(library, EF_H5_SYMBOL(variable)); \
    if (found == NULL) missing = EF_H5_SYMBOL(variable); \
    else h5.name = *found; \
  }

/// Looks up all that is used of a library, and opens it: 0, or -1 with the reason.
static int ef_h5_bind(void *library, const char *name) {
  const char *missing = NULL;
  unsigned major = 0, minor = 0, release = 0;
  EF_H5_CALLS_BEFORE_OPENING(EF_H5_FIND)
  if (missing == NULL) {
    // Files are closed by those who opened them, not at exit. It must come first: all other calls open the library.
    h5.dont_atexit();
    if (h5.get_libversion(&major, &minor, &release) < 0 || major != H5_VERS_MAJOR || minor != H5_VERS_MINOR)
      return ef_h5_refuse("%s is of HDF5 %u.%u, not %d.%d", name, major, minor, H5_VERS_MAJOR, H5_VERS_MINOR);
  }
  EF_H5_CALLS(EF_H5_FIND)
  if (missing == NULL && h5.open() < 0) missing = "a working H5open";
  EF_H5_IDS(EF_H5_FETCH)
  return missing == NULL ? 0 : ef_h5_refuse("%s lacks %s", name, missing);
}

static void ef_h5_load_once(void) {
  for (size_t i = 0; i < sizeof ef_h5_file_names / sizeof *ef_h5_file_names; i++) {
    const char *name = ef_h5_file_names[i];
    void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL) {
      // That there is no file of this name says nothing, since there are others.
      const char *reason = dlerror();
      if (strncmp(reason, name, strlen(name)) != 0) ef_h5_refuse("%s", reason);
    } else if (ef_h5_bind(library, name) == 0) {
      ef_h5_problem[0] = 0;
      return;
    } else {
      dlclose(library);
    }
  }
  ef_h5_refuse("there is no libhdf5_serial.so" EF_H5_INTERFACE " and no libhdf5.so" EF_H5_INTERFACE);
}

int ef_h5_load(void) {
  pthread_once(&ef_h5_once, ef_h5_load_once);
  return ef_h5_problem[0] == 0 ? 0 : -1;
}

const char *ef_h5_load_problem(void) { return ef_h5_problem; }

static void *ef_h5_load_thread(void *unused) {
  ef_h5_load();
  return NULL;
}

static void ef_h5_start_thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, ef_h5_load_thread, NULL) == 0) pthread_detach(thread);
}

void ef_h5_load_early(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, ef_h5_start_thread);
}

herr_t ef_h5_enter(void) { return h5.Eset_auto2(H5E_DEFAULT, NULL, NULL); }

typedef struct {
  char *text;
  size_t capacity;
  int depth;
} ef_h5_messages;

static herr_t ef_h5_collect(unsigned n, const H5E_error2_t *error, void *context) {
  ef_h5_messages *messages = (ef_h5_messages *)context;
  size_t used = strlen(messages->text);
  // The operating system's reason may stand anywhere.
  if (error->desc != NULL && (messages->depth++ < 3 || strstr(error->desc, "errno = ")))
    snprintf(messages->text + used, messages->capacity - used, "%s%s", used ? "; " : "", error->desc);
  return 0;
}

void ef_h5_error_text(char *text, size_t capacity) {
  ef_h5_messages messages = {text, capacity, 0};
  text[0] = 0;
  h5.Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, ef_h5_collect, &messages);
  h5.Eclear2(H5E_DEFAULT);
}

void ef_h5_release(hid_t id, herr_t (*close)(hid_t)) {
  if (id < 0) return;
  hid_t messages = h5.Eget_current_stack();
  close(id);
  if (messages >= 0) h5.Eset_current_stack(messages);
}

htri_t ef_h5_has_filter(int number) { return h5.Zfilter_avail(number); }
int64_t ef_h5_open_count(void) { return h5.Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL); }
