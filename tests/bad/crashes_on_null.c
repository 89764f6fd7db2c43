/* Writes its output without looking whether there is a place for it. */
#include "plugin.h"

static vmsf_result now_ns(vmsf_plugin p, uint64_t *now) {
    uint64_t read = 0;
    vmsf_result code = real->now_ns(p, &read);
    if (code == VMSF_OK) *now = read;
    return code;
}

static void spoil(vmsf_api *api) { api->now_ns = now_ns; }
