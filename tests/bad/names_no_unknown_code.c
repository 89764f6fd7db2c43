/* Gives NULL for the name of a number that is no code. */
#include "plugin.h"

static const char *name(vmsf_result code) { return code > 0 || code < VMSF_ERR_STATE_DAMAGED ? NULL : real->result_name(code); }

static void spoil(vmsf_api *api) { api->result_name = name; }
