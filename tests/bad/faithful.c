/* No fault at all, with everything in between: what every check passes. */
#define WRAPS_HOST
#include "plugin.h"

static void spoil(vmsf_api *api) {
    meddle = (meddler){0};
    api->create = create_wrapped;
}
