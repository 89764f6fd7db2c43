/* Takes only the flag bits that it knows. */
#include "plugin.h"

static vmsf_result configure(vmsf_plugin p, const char *json, size_t len, uint32_t flags, char *report, size_t cap, size_t *report_len) {
    return real->configure(p, json, len, flags & VMSF_DRY_RUN, report, cap, report_len);
}

static void spoil(vmsf_api *api) { api->configure = configure; }
