/* Wants the highest major of the host to be its own, instead of the highest common one. */
#define ENTRY narrow_entry
#include "plugin.h"

static vmsf_result narrow_entry(vmsf_handshake *io) {
    if (io == NULL || io->struct_size < sizeof *io || io->abi_max <= VMSF_ABI_MAJOR || io->abi_min > VMSF_ABI_MAJOR) return forward_entry(io);
    uint32_t min = io->abi_min;
    io->abi_min = VMSF_ABI_MAJOR + 1;
    vmsf_result code = forward_entry(io);
    io->abi_min = min;
    return code;
}

static void spoil(vmsf_api *api) { (void)api; }
