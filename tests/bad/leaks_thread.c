/* Leaves a thread behind in destroy; so it has to stay mapped, or the thread would end the process. */
#define _GNU_SOURCE
#include <pthread.h>
#include <unistd.h>

#include "plugin.h"

static void stay_mapped(void) {
    Dl_info info;
    if (dladdr(&table, &info) == 0 || dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE) == NULL) abort();
}

static void *wait_for_ever(void *arg) {
    for (;;) pause();
    return arg;
}

static vmsf_result destroy(vmsf_plugin p) {
    vmsf_result code = real->destroy(p);
    pthread_t thread;
    stay_mapped();
    if (code == VMSF_OK && pthread_create(&thread, NULL, wait_for_ever, NULL) == 0) pthread_detach(thread);
    return code;
}

static void spoil(vmsf_api *api) { api->destroy = destroy; }
