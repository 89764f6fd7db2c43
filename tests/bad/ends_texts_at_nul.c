/* Takes a text to end at its first NUL. */
#include "plugin.h"

static vmsf_result progress(vmsf_plugin p, uint64_t op, uint32_t permille, const char *text, size_t len) {
    const char *nul = text != NULL && len < 100 ? memchr(text, 0, len) : NULL;
    return real->progress(p, op, permille, text, nul != NULL ? (size_t)(nul - text) : len);
}

static void spoil(vmsf_api *api) { api->progress = progress; }
