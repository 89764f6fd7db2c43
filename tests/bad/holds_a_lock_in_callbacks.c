/* Holds a lock while the host is called, which a member takes, too: a dead-lock. */
#define WRAPS_HOST
#include <pthread.h>

#include "plugin.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void event(wrapped *w, const vmsf_event *event) {
    pthread_mutex_lock(&lock);
    w->host.event(w->host.ctx, event);
    pthread_mutex_unlock(&lock);
}

static vmsf_result server_id(vmsf_plugin p, vmsf_server s, char *buf, size_t cap, size_t *len) {
    pthread_mutex_lock(&lock);
    vmsf_result code = real->server_id(p, s, buf, cap, len);
    pthread_mutex_unlock(&lock);
    return code;
}

static void spoil(vmsf_api *api) {
    meddle.event = event;
    api->create = create_wrapped;
    api->server_id = server_id;
}
