/* Takes a handshake for a whole one, whatever its struct_size says. */
#define ENTRY trusting_entry
#include "plugin.h"

static vmsf_result trusting_entry(vmsf_handshake *io) {
    if (io == NULL || io->struct_size >= sizeof *io) return forward_entry(io);
    uint32_t said = io->struct_size;
    io->struct_size = sizeof *io;
    vmsf_result code = forward_entry(io);
    io->struct_size = said;
    return code;
}

static void spoil(vmsf_api *api) { (void)api; }
