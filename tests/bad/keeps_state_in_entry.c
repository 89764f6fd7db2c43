/* Counts its handshakes, and answers otherwise after a hundred. */
#define ENTRY counting_entry
#include "plugin.h"

static unsigned calls;

static vmsf_result counting_entry(vmsf_handshake *io) {
    vmsf_result code = forward_entry(io);
    if (code == VMSF_OK && __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) > 100) io->abi_minor += 1;
    return code;
}

static void spoil(vmsf_api *api) { (void)api; }
