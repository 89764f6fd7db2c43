/* Writes the credentials into the log. */
#define WRAPS_HOST
#include "plugin.h"

static void begin(wrapped *w, const vmsf_operation *operation) {
    char line[200];
    int len = snprintf(line, sizeof line, "begun with %.*s", (int)operation->secret_len, (const char *)operation->secret);
    if (operation->secret != NULL && len < 200) w->host.log(w->host.ctx, VMSF_SEVERITY_DEBUG, "bad", line, (size_t)len);
    w->host.begin(w->host.ctx, operation);
}

static void spoil(vmsf_api *api) {
    meddle.begin = begin;
    api->create = create_wrapped;
}
