/* Keeps the pointer to the host's table, and calls through it after create. */
#define WRAPS_HOST
#include "plugin.h"

static const vmsf_host *kept;

static void event(wrapped *w, const vmsf_event *event) {
    (void)w;
    kept->event(kept->ctx, event);
}

static vmsf_result create(const vmsf_host *host, const char *options, size_t len, vmsf_plugin *out, char *err, size_t cap) {
    kept = host;
    return create_wrapped(host, options, len, out, err, cap);
}

static void spoil(vmsf_api *api) {
    meddle.event = event;
    api->create = create;
}
