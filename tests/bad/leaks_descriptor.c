/* Leaves a file open in destroy. */
#include <fcntl.h>

#include "plugin.h"

static vmsf_result destroy(vmsf_plugin p) {
    vmsf_result code = real->destroy(p);
    if (code == VMSF_OK && open("/dev/null", O_RDONLY) < 0) abort();
    return code;
}

static void spoil(vmsf_api *api) { api->destroy = destroy; }
