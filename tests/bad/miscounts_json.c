/* Counts the NUL of the JSON of an operation. */
#define WRAPS_HOST
#include "plugin.h"

static void begin(wrapped *w, const vmsf_operation *operation) {
    vmsf_operation mine = *operation;
    mine.json_len += 1;
    w->host.begin(w->host.ctx, &mine);
}

static void spoil(vmsf_api *api) {
    meddle.begin = begin;
    api->create = create_wrapped;
}
