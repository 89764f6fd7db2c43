/* Reads JSON by recursion without a bound. */
#include "plugin.h"

static size_t depth(const char *json, size_t len, size_t at) {
    volatile char scratch[4096];
    scratch[at % sizeof scratch] = 1;
    while (at < len && json[at] != '[' && json[at] != '{') at++;
    return at < len ? 1 + depth(json, len, at + 1) + (size_t)(scratch[0] & 0) : 0;
}

static vmsf_result edit(vmsf_plugin p, const char *json, size_t len, uint32_t flags, char *report, size_t cap, size_t *report_len) {
    if (json != NULL && len <= 1 << 20 && depth(json, len, 0) > 1u << 30) return VMSF_ERR_JSON;
    return real->edit(p, json, len, flags, report, cap, report_len);
}

static void spoil(vmsf_api *api) { api->edit = edit; }
