/* Takes the handle of a server that it does not know for a server that has just gone. */
#include "plugin.h"

static vmsf_result cancel(vmsf_plugin p, vmsf_server s, const char *json, size_t len) {
    uint64_t now;
    vmsf_result code = real->cancel(p, s, json, len);
    return code == VMSF_ERR_HANDLE && s != 0 && s != UINT64_MAX && real->now_ns(p, &now) == VMSF_OK ? VMSF_OK : code;
}

static void spoil(vmsf_api *api) { api->cancel = cancel; }
