/* Reads the host's table whole, whatever its struct_size says. */
#include "plugin.h"

static vmsf_result create(const vmsf_host *host, const char *options, size_t len, vmsf_plugin *out, char *err, size_t cap) {
    if (host == NULL || host->struct_size >= sizeof *host) return real->create(host, options, len, out, err, cap);
    vmsf_host whole = *host;
    whole.struct_size = sizeof whole;
    return real->create(&whole, options, len, out, err, cap);
}

static void spoil(vmsf_api *api) { api->create = create; }
