/* Forgets the high word of the time now and then. */
#include "plugin.h"

static unsigned calls;

static vmsf_result now_ns(vmsf_plugin p, uint64_t *now) {
    vmsf_result code = real->now_ns(p, now);
    if (code == VMSF_OK && __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 300 == 0) *now -= 1000000;
    return code;
}

static void spoil(vmsf_api *api) { api->now_ns = now_ns; }
