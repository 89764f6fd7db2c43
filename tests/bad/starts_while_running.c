/* Finds nothing wrong with a start of what runs. */
#include "plugin.h"

static vmsf_result start(vmsf_plugin p) {
    vmsf_result code = real->start(p);
    return code == VMSF_ERR_STATE ? VMSF_OK : code;
}

static void spoil(vmsf_api *api) { api->start = start; }
