/* The smallest complete host, to copy from: joins the cluster, is authorized at a server and backs it up, takes it over
 * when it falls silent and gives it back. It drives the plugin in virtual time, so that all this takes milliseconds. A
 * real host lets the plugin run its own thread: flags 0, no wake, no poll. */
#define _POSIX_C_SOURCE 200112L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32 /* the same calls by their other names; a real host takes LoadLibraryW, for paths in any language */
#include <direct.h>
#include <io.h>
#include <windows.h>
#define dlopen(path, flags) ((void *)LoadLibraryA(path))
#define dlsym(library, name) ((void *)(uintptr_t)GetProcAddress((HMODULE)(library), name))
#define dlerror() (GetLastError() == ERROR_BAD_EXE_FORMAT ? "no 64-bit library" : "it, or one that it needs, is missing")
#define dlclose(library) (FreeLibrary((HMODULE)(library)) ? 0 : 1)
#define mkdir(path, mode) _mkdir(path)
#define fsync(file) _commit(file)
#else
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#include "vms_failover.h"
#define SECOND UINT64_C(1000000000)

typedef struct host {
    const vmsf_api *api; vmsf_plugin plugin;
    uint64_t now_ns;    /* the virtual clock */
    uint64_t operation; /* begun and not answered; 0 = none */
    uint32_t kind;      /* VMSF_OP_ of it */
    char file[4096];    /* where a backup is to be written */
} host;

static void fail(const char *what, const char *why) { fprintf(stderr, "failed: %s: %s\n", what, why), exit(1); }

static void check(const host *h, const char *what, vmsf_result result) {
    char text[4097] = ""; size_t len;
    if (result == VMSF_OK) return;
    h->api->last_error(h->plugin, NULL, text, sizeof text, &len);
    fprintf(stderr, "%s: ", h->api->result_name(result));
    fail(what, text);
}

static void on_log(void *ctx, uint32_t level, const char *target, const char *text, size_t len) {
    (void)ctx, (void)len, fprintf(stderr, "log %u %s: %s\n", (unsigned)level, target, text); /* it is NUL-terminated, too */
}
static void on_event(void *ctx, const vmsf_event *event) {
    printf("event %s\n", event->json);
    if (event->kind == VMSF_EVENT_OPERATION_OVER) ((host *)ctx)->operation = 0; /* a real host stops and undoes it */
}
static void on_begin(void *ctx, const vmsf_operation *op) { /* copies what it needs, works elsewhere, answers later */
    host *h = ctx;
    const char *file = strstr(op->json, "\"file\":\""); /* a real host has a JSON reader */
    printf("begin %s\n", op->json); /* never op->secret: the credentials given, or the token of the server */
    h->operation = op->id, h->kind = op->kind;
    if (file != NULL) snprintf(h->file, sizeof h->file, "%.*s", (int)strcspn(file + 8, "\""), file + 8);
}
static void on_wake(void *ctx, uint64_t next_ns) { (void)ctx, (void)next_ns; } /* `run` polls after every call anyway */
static void on_release(void *ctx) { (void)ctx, puts("released"); } /* here a real host frees ctx */

static int write_archive(const char *path) { /* on disk before the host says that it is */
    FILE *file = fopen(path, "wb");
    const int written = file != NULL && fputs("settings", file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    return file != NULL && fclose(file) == 0 && written;
}

static void perform(host *h) { /* a real host logs in, revokes, takes over and restores on threads of its own */
    const char *token = h->kind == VMSF_OP_AUTHORIZE ? "session 1" : ""; /* comes with every later operation on it */
    const char *why = ""; const uint64_t op = h->operation;
    uint32_t outcome = h->kind <= VMSF_OP_JOIN_CLUSTER ? VMSF_OUTCOME_OK : VMSF_OUTCOME_UNSUPPORTED;
    if (h->kind == VMSF_OP_BACKUP && !write_archive(h->file))
        outcome = VMSF_OUTCOME_FAILED, why = "{\"error\":\"the archive cannot be written\"}";
    const uint8_t *secret = (const uint8_t *)token; h->operation = 0;
    check(h, "complete", h->api->complete(h->plugin, op, outcome, why, strlen(why), secret, strlen(token)));
}

static void run(host *h, uint64_t seconds) { /* answers what was begun, else moves the clock to the next work */
    const uint64_t end = h->now_ns + seconds * SECOND;
    for (uint64_t next = 0; next <= end;) {
        const int64_t utc_ms = INT64_C(1767225600000) + (int64_t)(h->now_ns / 1000000);
        check(h, "poll", h->api->poll(h->plugin, h->now_ns, utc_ms, &next));
        if (h->operation != 0) perform(h), next = 0;
        else if (next > h->now_ns && next <= end) h->now_ns = next;
    }
    h->now_ns = end;
}

static void step(host *h, const char *what, vmsf_result result, uint64_t s) { check(h, what, result), run(h, s); }

static const vmsf_api *negotiate(void *library, const char *path) {
    vmsf_handshake shake = {.struct_size = sizeof shake, .abi_min = VMSF_ABI_MAJOR, .abi_max = VMSF_ABI_MAJOR};
    void *symbol = dlsym(library, VMSF_ENTRY_SYMBOL);
    if (symbol == NULL) fail("not a vms-failover plugin, it has no " VMSF_ENTRY_SYMBOL, path);
    vmsf_entry_fn entry; memcpy(&entry, &symbol, sizeof entry); /* C has no cast from void * to a function */
    const vmsf_result result = entry(&shake);
    printf("host: ABI %u.%u\n", VMSF_ABI_MAJOR, VMSF_ABI_MINOR);
    if (shake.info == NULL) fail("negotiation", "the plugin does not say who it is");
    printf("plugin: %s %s, ABI %u.%u\n", shake.info->name, shake.info->version, shake.abi_chosen, shake.abi_minor);
    if (result != VMSF_OK) fail("negotiation", "no common ABI major");
    return shake.api;
}

static void create(host *h, const char *config_path, const char *dir) { /* a quote in dir would need escaping in JSON */
    static char config[60000], text[65000], error[4097];
    const vmsf_host callbacks = {.struct_size = sizeof callbacks, .flags = VMSF_HOST_DRIVES, .ctx = h, .name = "failover_host.c",
        .version = "1", .log = on_log, .event = on_event, .begin = on_begin, .wake = on_wake, .release = on_release};
    FILE *file = fopen(config_path, "rb");
    if (file == NULL || fread(config, 1, sizeof config - 1, file) == 0) fail("cannot read", config_path);
    fclose(file);
    snprintf(text, sizeof text, "{\"schema\":1,\"state_directory\":\"%s/state\",\"config\":%s}", dir, config);
    const vmsf_result result = h->api->create(&callbacks, text, strlen(text), &h->plugin, error, sizeof error);
    if (result != VMSF_OK) fail(h->api->result_name(result), error);
    snprintf(text, sizeof text, "%s/b", dir);
    if (mkdir(text, 0700) != 0) fail("cannot make", text); /* the plugin does not: what is missing may be a mount */
    snprintf(text, sizeof text, "{\"set\":{\"backup_directory\":\"%s/b\",\"store_path\":\"%s/v\"}}", dir, dir);
    check(h, "edit", h->api->edit(h->plugin, text, strlen(text), 0, NULL, 0, NULL));
}

static void prepare(host *h, vmsf_server server) { /* once for all: it is kept in the state directory */
    const char *place = "{\"host\":\"management.example\"}";
    char password[] = "admin:1234"; /* from a person; the plugin wipes its copies, the host its own */
    const uint8_t *secret = (const uint8_t *)password;
    step(h, "join_cluster", h->api->join_cluster(h->plugin, place, strlen(place), secret, strlen(password), NULL), 1);
    step(h, "authorize", h->api->authorize(h->plugin, server, NULL, 0, secret, strlen(password), NULL), 1);
    memset(password, 0, sizeof password); /* better with explicit_bzero, which the compiler never leaves out */
    step(h, "backup", h->api->backup(h->plugin, server, NULL, 0, NULL), 1);
}

int main(int argc, char **argv) {
    if (argc != 4) fail("usage", "failover_host <plugin library> <configuration file> <absolute scratch directory>");
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) fail("the plugin does not load", dlerror());
    host h = {.api = negotiate(library, argv[1]), .now_ns = SECOND};
    create(&h, argv[2], argv[3]);
    check(&h, "start", h.api->start(h.plugin));
    vmsf_server server = 0; check(&h, "next_server", h.api->next_server(h.plugin, 0, &server)); /* the first of the configuration */
    prepare(&h, server);
    step(&h, "cluster", h.api->cluster(h.plugin, 1, NULL, 0), 1); /* at every start, and when it changes */
    step(&h, "notify", h.api->notify(h.plugin, server, VMSF_NOTIFY_CONNECTED, h.now_ns), 1);
    step(&h, "notify", h.api->notify(h.plugin, server, VMSF_NOTIFY_STARTUP, h.now_ns), 1);
    for (int i = 0; i < 3; i++) step(&h, "notify", h.api->notify(h.plugin, server, VMSF_NOTIFY_KEEP_ALIVE, h.now_ns), 10);
    run(&h, 60); /* silence: the server fails and is taken over */
    step(&h, "notify", h.api->notify(h.plugin, server, VMSF_NOTIFY_STARTUP, h.now_ns), 1);
    step(&h, "notify", h.api->notify(h.plugin, server, VMSF_NOTIFY_KEEP_ALIVE, h.now_ns), 1);
    step(&h, "restore", h.api->restore(h.plugin, server, NULL, 0, NULL), 1);
    step(&h, "deauthorize", h.api->deauthorize(h.plugin, server, NULL, 0, NULL), 1); /* when it is watched no longer */
    check(&h, "stop", h.api->stop(h.plugin, 1000)), check(&h, "destroy", h.api->destroy(h.plugin));
    return dlclose(library) == 0 ? 0 : 1;
}
