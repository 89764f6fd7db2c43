/* Leaves a thread behind in destroy. */
#include <pthread.h>
#include <unistd.h>

#include "plugin.h"

static void *wait_for_ever(void *arg) {
    for (;;) pause();
    return arg;
}

static vmsf_result destroy(vmsf_plugin p) {
    vmsf_result code = real->destroy(p);
    pthread_t thread;
    if (code == VMSF_OK && pthread_create(&thread, NULL, wait_for_ever, NULL) == 0) pthread_detach(thread);
    return code;
}

static void spoil(vmsf_api *api) { api->destroy = destroy; }
