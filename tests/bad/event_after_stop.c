/* Has one more thing to say when it was stopped: in destroy. */
#define WRAPS_HOST
#include <inttypes.h>

#include "plugin.h"

/* The last event of each instance, by its host. */
static struct last { wrapped *w; vmsf_event event; vmsf_plugin p; } last[64];

static struct last *of(wrapped *w) {
    for (size_t n = 0; n < 64; n++) if (last[n].w == w || last[n].w == NULL) return &last[n];
    return &last[0];
}

static void event(wrapped *w, const vmsf_event *event) {
    struct last *mine = of(w);
    mine->w = w, mine->event = *event;
    w->host.event(w->host.ctx, event);
}

static void release(wrapped *w) {
    struct last *mine = of(w);
    if (mine->w == w && mine->event.seq != 0) {
        char json[200];
        vmsf_event late = mine->event;
        late.seq += 1, late.kind = VMSF_EVENT_LOG, late.server = 0;
        snprintf(json, sizeof json, "{\"seq\":%" PRIu64 ",\"utc\":\"\",\"severity\":\"info\",\"code\":\"late\",\"text\":\"late\"}", late.seq);
        late.json = json, late.json_len = strlen(json);
        w->host.event(w->host.ctx, &late);
    }
    memset(mine, 0, sizeof *mine);
    if (w->host.release) w->host.release(w->host.ctx);
}

static void spoil(vmsf_api *api) {
    meddle.event = event;
    meddle.release = release;
    api->create = create_wrapped;
}
