/* Leaves 64 KiB behind in destroy. */
#include "plugin.h"

static void *volatile kept;

static vmsf_result destroy(vmsf_plugin p) {
    vmsf_result code = real->destroy(p);
    if (code == VMSF_OK) kept = malloc(64 << 10);
    if (code == VMSF_OK && kept) memset(kept, 1, 64 << 10);
    return code;
}

static void spoil(vmsf_api *api) { api->destroy = destroy; }
