/* Delivers some events on a thread of their own, and goes on meanwhile. */
#define WRAPS_HOST
#include <pthread.h>
#include <unistd.h>

#include "plugin.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int under_way;
static pthread_t thread;

typedef struct copy {
    wrapped *w;
    vmsf_event event;
    int entered;
} copy;

static copy current;

static void *deliver(void *of) {
    copy *c = of;
    __atomic_store_n(&c->entered, 1, __ATOMIC_SEQ_CST);
    c->w->host.event(c->w->host.ctx, &c->event);
    free((void *)c->event.json);
    return NULL;
}

static void join(void) {
    pthread_mutex_lock(&lock);
    if (under_way) pthread_join(thread, NULL);
    under_way = 0;
    pthread_mutex_unlock(&lock);
}

static void event(wrapped *w, const vmsf_event *event) {
    if (strstr(event->json, "\"code\":\"authorized\"") == NULL) {
        w->host.event(w->host.ctx, event);
        return;
    }
    join();
    pthread_mutex_lock(&lock);
    current = (copy){.w = w, .event = *event};
    current.event.json = strdup(event->json);
    under_way = pthread_create(&thread, NULL, deliver, &current) == 0;
    pthread_mutex_unlock(&lock);
    /* In their order all the same: the other is inside the host long before the next one comes. */
    while (!__atomic_load_n(&current.entered, __ATOMIC_SEQ_CST)) usleep(100);
    usleep(5000);
}

static vmsf_result stop(vmsf_plugin p, uint32_t timeout_ms) {
    vmsf_result code = real->stop(p, timeout_ms);
    if (code == VMSF_OK) join();
    return code;
}

static void spoil(vmsf_api *api) {
    meddle.event = event;
    api->create = create_wrapped;
    api->stop = stop;
}
