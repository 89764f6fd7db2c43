/* Calls release although create has failed. */
#include "plugin.h"

static vmsf_result create(const vmsf_host *host, const char *options, size_t len, vmsf_plugin *out, char *err, size_t cap) {
    vmsf_result code = real->create(host, options, len, out, err, cap);
    if (code == VMSF_ERR_CONFIG && host->release) host->release(host->ctx);
    return code;
}

static void spoil(vmsf_api *api) { api->create = create; }
