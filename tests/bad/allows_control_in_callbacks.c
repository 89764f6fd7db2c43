/* Finds another reason than the callback that it is called in. */
#include "plugin.h"

static vmsf_result destroy(vmsf_plugin p) {
    vmsf_result code = real->destroy(p);
    return code == VMSF_ERR_REENTRANT ? VMSF_ERR_STATE : code;
}

static void spoil(vmsf_api *api) { api->destroy = destroy; }
