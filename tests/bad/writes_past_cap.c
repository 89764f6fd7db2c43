/* Terminates what does not fit one byte behind the buffer. */
#include "plugin.h"

static vmsf_result config(vmsf_plugin p, char *buf, size_t cap, size_t *len) {
    vmsf_result code = real->config(p, buf, cap, len);
    if (code == VMSF_ERR_TOO_SMALL && buf != NULL) buf[cap] = '\0';
    return code;
}

static void spoil(vmsf_api *api) { api->config = config; }
