/* What no scenario can show of the plugin on Windows. Run as `probe.exe <plugin.dll> <directory, with /> <part>`; says what is wrong and ends
 * with 1, or says "done". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include "vms_failover.h"

static const vmsf_api *api;
static const char *dir;
static const char *durability = "full";

static void on_log(void *ctx, uint32_t level, const char *target, const char *text, size_t len) {
    (void)ctx, (void)level, (void)target, (void)text, (void)len;
}
static void on_event(void *ctx, const vmsf_event *event) { (void)ctx, (void)event; }
static void on_begin(void *ctx, const vmsf_operation *op) { (void)ctx, (void)op; }

static void fail(const char *what, const char *why) { printf("wrong: %s: %s\n", what, why), fflush(stdout), exit(1); }
static void is(const char *what, vmsf_result got, vmsf_result expected) {
    if (got != expected) fail(what, api->result_name(got));
}

static HMODULE load(const char *path) {
    vmsf_handshake shake = {.struct_size = sizeof shake, .abi_min = VMSF_ABI_MAJOR, .abi_max = VMSF_ABI_MAJOR};
    HMODULE library = LoadLibraryA(path);
    if (library == NULL) fail("LoadLibrary", path);
    vmsf_entry_fn entry = (vmsf_entry_fn)(uintptr_t)GetProcAddress(library, VMSF_ENTRY_SYMBOL);
    if (entry == NULL || entry(&shake) != VMSF_OK || (shake.flags & VMSF_PLUGIN_RESIDENT) == 0) fail("the entry", path);
    api = shake.api;
    return library;
}

/* An instance in this directory that watches servers with these ids; its text of an error goes into `err`. */
static vmsf_result create(const char *where, const char *id, const char *other, vmsf_plugin *plugin, char *err, size_t cap) {
    const vmsf_host host = {.struct_size = sizeof host, .name = "probe", .version = "1", .log = on_log, .event = on_event,
                            .begin = on_begin};
    char text[4000];
    snprintf(text, sizeof text,
             "{\"schema\":1,\"state_directory\":\"%s\",\"durability\":\"%s\",\"config\":{\"schema\":1,\"backup_directory\":\"%s/b\",\"store_path\":\"%s/v\","
             "\"monitored_servers\":[{\"id\":\"%s\",\"name\":\"A\",\"host\":\"10.0.0.1\"},{\"id\":\"%s\",\"name\":\"B\","
             "\"host\":\"10.0.0.2\"}]}}", where, durability, dir, dir, id, other);
    return api->create(&host, text, strlen(text), plugin, err, cap);
}
static vmsf_plugin made(const char *where) {
    vmsf_plugin plugin = 0;
    char err[4097] = "";
    if (create(where, "a", "b", &plugin, err, sizeof err) != VMSF_OK) fail("create", err);
    return plugin;
}
static int joined(vmsf_plugin p) { /* whether the cluster's word was kept */
    static char text[65536];
    size_t len;
    is("status", api->status(p, 0, text, sizeof text, &len), VMSF_OK);
    return strstr(text, "\"joined\":true") != NULL;
}

/* Says so once it has written; then ends itself as a task manager would. */
static void hold(void) {
    char line[8];
    vmsf_plugin p = made(dir);
    is("cluster", api->cluster(p, 1, NULL, 0), VMSF_OK);
    puts("holding"), fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) fail("hold", "nobody says when");
    TerminateProcess(GetCurrentProcess(), 7);
}
static void busy(void) {
    vmsf_plugin p = 0;
    char err[4097] = "";
    is("create in a directory in use", create(dir, "a", "b", &p, err, sizeof err), VMSF_ERR_BUSY);
    if (strstr(err, "in use by another instance") == NULL || strstr(err, dir) == NULL) fail("the text of BUSY", err);
}
static void survived(void) {
    vmsf_plugin p = made(dir);
    if (!joined(p)) fail("after TerminateProcess", "the cluster's word is lost");
    is("destroy", api->destroy(p), VMSF_OK);
    is("destroy of a stale handle", api->destroy(p), VMSF_ERR_HANDLE);
}

static const char *const KEPT[] = {"state.a.json", "state.b.json"};
static HANDLE held[2];
static void open_kept(void) { /* as a virus scanner does */
    for (int i = 0; i < 2; i++) {
        char path[MAX_PATH];
        snprintf(path, sizeof path, "%s/%s", dir, KEPT[i]);
        held[i] = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
        if (held[i] == INVALID_HANDLE_VALUE) fail("open", path);
    }
}
static DWORD WINAPI let_go(void *after_ms) {
    Sleep((DWORD)(uintptr_t)after_ms);
    CloseHandle(held[0]), CloseHandle(held[1]);
    return 0;
}
/* A file that another process has open is replaced once it is closed, within 2 s; else the call fails, names the file, and nothing is lost. */
static void open_files(void) {
    char path[MAX_PATH], text[4097];
    size_t len;
    vmsf_plugin p = made(dir);
    is("cluster", api->cluster(p, 1, NULL, 0), VMSF_OK), is("cluster", api->cluster(p, 0, NULL, 0), VMSF_OK);
    open_kept();
    HANDLE thread = CreateThread(NULL, 0, let_go, (void *)(uintptr_t)500, 0, NULL);
    ULONGLONG begun = GetTickCount64();
    is("cluster while its file is open for half a second", api->cluster(p, 1, NULL, 0), VMSF_OK);
    if (GetTickCount64() - begun < 300) fail("the open file", "was replaced at once, so nothing was tried again here");
    WaitForSingleObject(thread, INFINITE), CloseHandle(thread);
    open_kept();
    begun = GetTickCount64();
    is("cluster while its file stays open", api->cluster(p, 0, NULL, 0), VMSF_ERR_IO);
    if (GetTickCount64() - begun < 1500) fail("the open file", "was given up at once");
    is("last_error", api->last_error(p, NULL, text, sizeof text, &len), VMSF_OK);
    if (strstr(text, "state.") == NULL) fail("the text does not name the file", text);
    if (!joined(p)) fail("a failed call", "changed something");
    let_go(NULL);
    is("cluster once the file is closed", api->cluster(p, 0, NULL, 0), VMSF_OK);
    snprintf(path, sizeof path, "%s/lock", dir);
    if (DeleteFileA(path) || GetLastError() != ERROR_SHARING_VIOLATION) fail("the lock in use", "could be removed");
    is("destroy", api->destroy(p), VMSF_OK);
    if (!DeleteFileA(path)) fail("the lock", "is still held after destroy");
}

/* Ids are names of folders: what Windows reads as something else is refused, with the id and what is allowed. */
static void names(void) {
    const char *const refused[] = {"NUL", "con.txt", "LPT1", "a.", "a ", "a\\\\b", "a/b", "a:b", "B"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        vmsf_plugin p = 0;
        char err[4097] = "";
        is(refused[i], create(dir, refused[i], "b", &p, err, sizeof err), VMSF_ERR_CONFIG);
        if (strstr(err, "/monitored_servers/") == NULL) fail(refused[i], err);
    }
}

/* A state directory whose name, with those of its files, is longer than the old limit of 260 characters; and one in the other spelling. */
static void paths(void) {
    char where[600];
    int length = snprintf(where, sizeof where, "%s/", dir);
    for (int i = 0; i < 280; i++) where[length++] = (char)(i % 70 == 69 ? '/' : 'x');
    where[length] = 0;
    vmsf_plugin p = made(where);
    is("cluster", api->cluster(p, 1, NULL, 0), VMSF_OK), is("cluster", api->cluster(p, 1, NULL, 0), VMSF_OK);
    is("destroy", api->destroy(p), VMSF_OK);
    for (char *at = strcpy(where, dir); *at != 0; at++)
        if (*at == '/') *at = '\\';
    char escaped[1200], *to = escaped; /* for JSON */
    for (const char *at = where; *at != 0; at++) {
        if (*at == '\\') *to++ = '\\';
        *to++ = *at;
    }
    *to = 0;
    p = made(escaped);
    busy(); /* the same directory by its other spelling */
    is("destroy", api->destroy(p), VMSF_OK);
}

/* The plugin's clock is the performance counter: a host may stamp with its own reading. */
static void clock_is_the_counter(void) {
    LARGE_INTEGER frequency, counter;
    vmsf_plugin p = made(dir);
    QueryPerformanceFrequency(&frequency);
    uint64_t last = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t reading[2], now = 0;
        for (int n = 0; n < 2; n++) {
            QueryPerformanceCounter(&counter);
            const uint64_t c = (uint64_t)counter.QuadPart, f = (uint64_t)frequency.QuadPart;
            reading[n] = c / f * 1000000000u + c % f * 1000000000u / f;
            if (n == 0) is("now_ns", api->now_ns(p, &now), VMSF_OK);
        }
        if (now < reading[0] || now > reading[1] || now < last) fail("now_ns", "is not the performance counter in ns");
        last = now;
    }
    is("destroy", api->destroy(p), VMSF_OK);
}

/* A host that loads and unloads it for every use: from the first `create` on the library stays. */
static void rounds(const char *path, HMODULE library) {
    durability = "none";
    for (int i = 0; i < 300; i++) {
        vmsf_plugin p = made(dir);
        is("start", api->start(p), VMSF_OK), is("stop", api->stop(p, 10000), VMSF_OK), is("destroy", api->destroy(p), VMSF_OK);
        if (!FreeLibrary(library) || GetModuleHandleA("vms_failover.dll") != library) fail("FreeLibrary", "the library is gone");
        library = load(path);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return puts("wrong: probe.exe <plugin.dll> <directory> <part>"), 2;
    const char *part = argv[3];
    dir = argv[2];
    const HMODULE library = load(argv[1]);
    if (strcmp(part, "hold") == 0) hold();
    else if (strcmp(part, "busy") == 0) busy();
    else if (strcmp(part, "survived") == 0) survived();
    else if (strcmp(part, "open_files") == 0) open_files();
    else if (strcmp(part, "names") == 0) names();
    else if (strcmp(part, "paths") == 0) paths();
    else if (strcmp(part, "clock") == 0) clock_is_the_counter();
    else if (strcmp(part, "rounds") == 0) rounds(argv[1], library);
    else fail("no such part", part);
    puts("done");
    return 0;
}
