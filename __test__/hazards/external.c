/* Preloaded: makes Node-API answer as it does in Electron, where no buffer may lie outside of V8's memory. Symbols
 * that somebody looks up by name are replaced; who does, and who calls them, is written to AUSPEX_EXTERNAL_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { napi_no_external_buffers_allowed = 22 };

static void note(const char *what, const char *name, const void *caller) {
  const char *path = getenv("AUSPEX_EXTERNAL_LOG");
  Dl_info from = {0};
  if (!path) return;
  dladdr(caller, &from);
  int file = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (file < 0) return;
  dprintf(file, "%s %s %s\n", what, name, from.dli_fname ? from.dli_fname : "");
  close(file);
}

static int refuse_arraybuffer(void) {
  note("called", "napi_create_external_arraybuffer", __builtin_return_address(0));
  return napi_no_external_buffers_allowed;
}

static int refuse_buffer(void) {
  note("called", "napi_create_external_buffer", __builtin_return_address(0));
  return napi_no_external_buffers_allowed;
}

void *dlsym(void *handle, const char *name) {
  static void *(*real)(void *, const char *);
  if (!real) {
    real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
    if (!real) real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    if (!real) real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
  }
  int arraybuffer = name && !strcmp(name, "napi_create_external_arraybuffer");
  if (!arraybuffer && !(name && !strcmp(name, "napi_create_external_buffer"))) return real(handle, name);
  note("replaced", name, __builtin_return_address(0));
  return arraybuffer ? (void *)refuse_arraybuffer : (void *)refuse_buffer;
}
