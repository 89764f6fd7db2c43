/* Asks for the same takeover twice. */
#define WRAPS_HOST
#include "plugin.h"

static void begin(wrapped *w, const vmsf_operation *operation) {
    w->host.begin(w->host.ctx, operation);
    if (operation->kind == VMSF_OP_TAKEOVER) w->host.begin(w->host.ctx, operation);
}

static void spoil(vmsf_api *api) {
    meddle.begin = begin;
    api->create = create_wrapped;
}
