/* Says yes to the answer to an operation that is over. */
#include "plugin.h"

static vmsf_result complete(vmsf_plugin p, uint64_t op, uint32_t outcome, const char *json, size_t len, const uint8_t *secret, size_t secret_len) {
    vmsf_result code = real->complete(p, op, outcome, json, len, secret, secret_len);
    return code == VMSF_ERR_NOT_FOUND && op < 1000 ? VMSF_OK : code;
}

static void spoil(vmsf_api *api) { api->complete = complete; }
