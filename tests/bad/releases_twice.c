/* Calls release twice. */
#define WRAPS_HOST
#include "plugin.h"

static void release(wrapped *w) {
    for (int n = 0; n < 2; n++) if (w->host.release) w->host.release(w->host.ctx);
}

static void spoil(vmsf_api *api) {
    meddle.release = release;
    api->create = create_wrapped;
}
