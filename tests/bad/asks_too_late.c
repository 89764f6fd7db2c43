/* Asks for the next poll a millisecond after there is work. */
#include "plugin.h"

static vmsf_result poll(vmsf_plugin p, uint64_t now_ns, int64_t utc_ms, uint64_t *next_ns) {
    vmsf_result code = real->poll(p, now_ns, utc_ms, next_ns);
    if (code == VMSF_OK && *next_ns > now_ns && *next_ns != VMSF_NEVER) *next_ns += 1000000;
    return code;
}

static void spoil(vmsf_api *api) { api->poll = poll; }
