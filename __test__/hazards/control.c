/* An addon that does what is forbidden: its exports are the statuses of making external buffers. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

typedef void *napi_env;
typedef void *napi_value;

static char bytes[64];

napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  int (*arraybuffer)(napi_env, void *, size_t, void *, void *, napi_value *);
  int (*buffer)(napi_env, size_t, void *, void *, void *, napi_value *);
  int (*number)(napi_env, int32_t, napi_value *);
  int (*set)(napi_env, napi_value, const char *, napi_value);
  *(void **)&arraybuffer = dlsym(RTLD_DEFAULT, "napi_create_external_arraybuffer");
  *(void **)&buffer = dlsym(RTLD_DEFAULT, "napi_create_external_buffer");
  *(void **)&number = dlsym(RTLD_DEFAULT, "napi_create_int32");
  *(void **)&set = dlsym(RTLD_DEFAULT, "napi_set_named_property");
  napi_value made = NULL, status = NULL;
  number(env, arraybuffer(env, bytes, sizeof bytes, NULL, NULL, &made), &status);
  set(env, exports, "arraybuffer", status);
  number(env, buffer(env, sizeof bytes, bytes, NULL, NULL, &made), &status);
  set(env, exports, "buffer", status);
  return exports;
}
