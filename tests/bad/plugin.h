/*
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A plugin that is the real one, whose path is REAL, but for one fault. A file of this folder includes this, overrides members in `spoil`, and
 * all else is forwarded, so that only the checks of its fault may fail. FAITHFUL is a file without a fault.
 *
 * To meddle with callbacks: `create_wrapped` instead of the real create. It puts `meddler` between plugin and host; NULL members forward.
 */
#ifndef BAD_PLUGIN_H
#define BAD_PLUGIN_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vms_failover.h"

static const vmsf_api *real;      /* the table of the real plugin */
static vmsf_entry_fn real_entry;
static vmsf_api table;            /* the same with the fault in it */
static void *image;

/* Each file defines it: puts its fault into the table. */
static void spoil(vmsf_api *api);

/* A file that meddles with the handshake defines ENTRY first, and calls this. */
static vmsf_result forward_entry(vmsf_handshake *io) {
    vmsf_result code = real_entry(io);
    if (code == VMSF_OK) io->api = &table;
    return code;
}

#ifndef ENTRY
#define ENTRY forward_entry
#else
static vmsf_result ENTRY(vmsf_handshake *io);
#endif

__attribute__((visibility("default"))) vmsf_result vmsf_plugin_entry(vmsf_handshake *io);
vmsf_result vmsf_plugin_entry(vmsf_handshake *io) { return ENTRY(io); }

__attribute__((constructor)) static void load_real(void) {
    vmsf_handshake shake = {.struct_size = sizeof shake, .abi_min = VMSF_ABI_MAJOR, .abi_max = VMSF_ABI_MAJOR};
    image = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
    void *symbol = image ? dlsym(image, VMSF_ENTRY_SYMBOL) : NULL;
    if (symbol) memcpy(&real_entry, &symbol, sizeof real_entry);
    if (!real_entry || real_entry(&shake) != VMSF_OK) {
        fprintf(stderr, "the real plugin %s does not load: %s\n", REAL, dlerror());
        abort();
    }
    real = shake.api;
    table = *real;
    spoil(&table);
}

__attribute__((destructor)) static void unload_real(void) { dlclose(image); }

#ifdef WRAPS_HOST

/* The host of one instance, and the table that stands before it. */
typedef struct wrapped {
    vmsf_host host;
    vmsf_secrets secrets, before_secrets;
} wrapped;

/* What a file puts in the way; NULL members forward. */
typedef struct meddler {
    void (*event)(wrapped *w, const vmsf_event *event);
    void (*begin)(wrapped *w, const vmsf_operation *operation);
    void (*release)(wrapped *w);
} meddler;

static meddler meddle;

static void w_log(void *ctx, uint32_t level, const char *target, const char *text, size_t len) {
    wrapped *w = ctx;
    w->host.log(w->host.ctx, level, target, text, len);
}

static uint32_t w_log_level(void *ctx) {
    wrapped *w = ctx;
    return w->host.log_level(w->host.ctx);
}

static void w_event(void *ctx, const vmsf_event *event) {
    wrapped *w = ctx;
    if (meddle.event) meddle.event(w, event);
    else w->host.event(w->host.ctx, event);
}

static void w_begin(void *ctx, const vmsf_operation *operation) {
    wrapped *w = ctx;
    if (meddle.begin) meddle.begin(w, operation);
    else w->host.begin(w->host.ctx, operation);
}

static void w_wake(void *ctx, uint64_t next_ns) {
    wrapped *w = ctx;
    w->host.wake(w->host.ctx, next_ns);
}

static void w_release(void *ctx) {
    wrapped *w = ctx;
    if (meddle.release) meddle.release(w);
    else if (w->host.release) w->host.release(w->host.ctx);
    free(w);
}

static vmsf_result w_store(void *ctx, const char *id, size_t len, const uint8_t *secret, size_t secret_len) {
    wrapped *w = ctx;
    return w->secrets.store(w->host.ctx, id, len, secret, secret_len);
}

static vmsf_result w_load(void *ctx, const char *id, size_t len, uint8_t *buf, size_t cap, size_t *secret_len) {
    wrapped *w = ctx;
    return w->secrets.load(w->host.ctx, id, len, buf, cap, secret_len);
}

static vmsf_result w_remove(void *ctx, const char *id, size_t len) {
    wrapped *w = ctx;
    return w->secrets.remove(w->host.ctx, id, len);
}

static const void *w_get_extension(void *ctx, const char *id) {
    wrapped *w = ctx;
    const void *given = w->host.get_extension(w->host.ctx, id);
    if (given == NULL || strcmp(id, VMSF_EXT_SECRETS) != 0) return given;
    memcpy(&w->secrets, given, sizeof w->secrets);
    w->before_secrets = w->secrets;
    if (w->secrets.store) w->before_secrets.store = w_store;
    if (w->secrets.load) w->before_secrets.load = w_load;
    if (w->secrets.remove) w->before_secrets.remove = w_remove;
    return &w->before_secrets;
}

/* `create`, with the meddler in between. What the real plugin refuses it gets as it is. */
static vmsf_result create_wrapped(const vmsf_host *host, const char *options, size_t len, vmsf_plugin *out, char *err, size_t cap) {
    if (host == NULL || host->struct_size < sizeof *host) return real->create(host, options, len, out, err, cap);
    wrapped *w = calloc(1, sizeof *w);
    w->host = *host;
    vmsf_host before = *host;
    before.struct_size = sizeof before;
    before.ctx = w;
    before.release = w_release;
    if (host->log) before.log = w_log;
    if (host->log_level) before.log_level = w_log_level;
    if (host->event) before.event = w_event;
    if (host->begin) before.begin = w_begin;
    if (host->wake) before.wake = w_wake;
    if (host->get_extension) before.get_extension = w_get_extension;
    vmsf_result code = real->create(&before, options, len, out, err, cap);
    if (code != VMSF_OK) free(w);
    return code;
}

#endif /* WRAPS_HOST */
#endif /* BAD_PLUGIN_H */
