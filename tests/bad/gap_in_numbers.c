/* Keeps one event to itself. */
#define WRAPS_HOST
#include "plugin.h"

static void event(wrapped *w, const vmsf_event *event) {
    if (strstr(event->json, "\"code\":\"authorized\"") == NULL) w->host.event(w->host.ctx, event);
}

static void spoil(vmsf_api *api) {
    meddle.event = event;
    api->create = create_wrapped;
}
