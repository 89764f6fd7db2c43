/* Looks at the last byte of a text before it looks at the length. */
#include "plugin.h"

static vmsf_result server(vmsf_plugin p, const char *id, size_t len, vmsf_server *out) {
    if (id != NULL && len > 0 && id[len - 1] == '\0') return VMSF_ERR_UTF8;
    return real->server(p, id, len, out);
}

static void spoil(vmsf_api *api) { api->server = server; }
