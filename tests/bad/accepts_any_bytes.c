/* Takes bytes that are no UTF-8 for words. */
#include "plugin.h"

static vmsf_result progress(vmsf_plugin p, uint64_t op, uint32_t permille, const char *text, size_t len) {
    vmsf_result code = real->progress(p, op, permille, text, len);
    return code == VMSF_ERR_UTF8 && memchr(text, 0, len) == NULL ? real->progress(p, op, permille, NULL, 0) : code;
}

static void spoil(vmsf_api *api) { api->progress = progress; }
