/*
 * Generated from include/rust/src/lib.rs, do not edit: change that file, then UPDATE=1 cargo test --test header
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * vms-failover: the C ABI of the failover plugin for video management systems (VMS).
 *
 * The *host* is the VMS process on the failover server that has loaded the plugin. It reports what it hears of the
 * monitored servers (`notify`); when one is lost, the plugin asks the host to take it over (`begin`), and the host
 * answers (`complete`). MUST, SHOULD and MAY are meant as in RFC 2119.
 *
 * RULES
 *
 *  1. Negotiation. A host needs one symbol, VMSF_ENTRY_SYMBOL; look it up at run time. The entry function is pure and
 *     may be called any number of times. The host gives a range of majors, the highest common one wins; VMSF_ERR_ABI
 *     still fills in `info`, so that the host can print both sides. The handshake is frozen for ever; the structs and
 *     the table of a major are frozen for its life. Growth comes as JSON keys, new event kinds (the host MUST ignore
 *     unknown ones) and extension tables. Unknown flag bits and non-zero `reserved` fields give VMSF_ERR_INVALID. An
 *     operation the host does not know it MUST complete with VMSF_OUTCOME_UNSUPPORTED.
 *  2. Every struct begins with `struct_size`, set by whoever fills the struct in. The reader copies min(struct_size,
 *     known size): a larger struct is accepted, a smaller one than the first release's is refused.
 *  3. Memory. Nothing crosses the border. Inputs are copied before the call returns; vmsf_host may be freed after
 *     `create`. Text inputs are UTF-8 (but that of recordings_ini) with an explicit length and need no NUL. Outputs go
 *     into the host's buffer: VMSF_OK and VMSF_ERR_TOO_SMALL write `*len` (bytes without the NUL); what fits is
 *     NUL-terminated, TOO_SMALL leaves ""; `buf` NULL with `cap` 0 asks for the size and gives TOO_SMALL. No other
 *     failure writes anything.
 *     Strings passed to callbacks live until the callback returns and are both NUL-terminated and counted. `ctx` is
 *     borrowed until `release(ctx)`, which is called exactly once, from `destroy`, and never when `create` failed.
 *  4. Handles are checked numbers. A stale, foreign, swapped or zero handle gives VMSF_ERR_HANDLE, never undefined
 *     behaviour.
 *  5. Threads.
 *       [static]    any time, no state.
 *       [control]   may block; the host serialises them per instance (an overlap gives VMSF_ERR_BUSY); not from a
 *                   callback.
 *       [poll]      one thread at a time; runs the callbacks; not from a callback.
 *       [any-thread]       may overlap everything; never waits for the host, the worker or the disk (but for `log`,
 *                          which MAY wait for the disk).
 *       [any-thread, disk] the same, but MAY wait for one durable write, so that VMSF_OK means on disk.
 *       [callback]  called by the plugin. `event` and `begin` come one at a time, in `seq` order, on one thread from
 *                   start to stop (or inside poll), with no lock held; `log` and `log_level` come from any thread.
 *                   Those of extensions say for themselves.
 *     From inside a callback any static or any-thread member may be called (from `wake`: none); control and poll, of
 *     any instance, give VMSF_ERR_REENTRANT at once. Callbacks MUST NOT throw, longjmp or end the thread, and SHOULD
 *     return within 10 ms; above 100 ms the alarm `host_slow` is raised. Threads of the plugin block all signals.
 *  6. States: stopped, running, stopping, poisoned. `start` only in stopped; `stop` in any; `destroy` only once
 *     stopped. While stopped, notify and whatever begins an operation give VMSF_ERR_STATE; configure, edit, cluster,
 *     cancel, deauthorize (the host is asked at the next start) and reading work. A failed call changes nothing. The
 *     exceptions: VMSF_ERR_TIMEOUT of `stop`, which stays in force, call it again; VMSF_ERR_BUSY of `notify` (rule 12);
 *     VMSF_ERR_PANIC (rule 8); of `complete`, VMSF_ERR_NOT_FOUND for the first late answer (rule 9), and VMSF_ERR_LIMIT
 *     or VMSF_ERR_INVALID for the token of an `authorize`, which fails by that (see there).
 *  7. Errors. Every member gives a vmsf_result. `last_error` holds the text, for people, at most 4 KiB, per instance;
 *     notify, TOO_SMALL, BUSY and HANDLE never set it, success does not clear it.
 *  8. Panics never reach the host: the instance is poisoned, one last event VMSF_EVENT_POISONED is sent, and only
 *     stop, destroy, status, log, now_ns and last_error still answer; the others give VMSF_ERR_POISONED
 *     (VMSF_ERR_PANIC for the call that panicked). Cure: stop, destroy, create. Out of memory and stack overflow still
 *     end the process.
 *  9. Operations are begun at most once per id and start of the plugin, each with a deadline. When one times out or is
 *     superseded, the event VMSF_EVENT_OPERATION_OVER says so: the host MUST stop it and undo what it did; `complete`
 *     for it then gives VMSF_ERR_NOT_FOUND, and a late VMSF_OUTCOME_OK raises the alarm `late_answer`. `complete` may
 *     be called from inside `begin`. VMSF_OP_RESUMED: the host did not answer before the last stop; it goes on or
 *     begins anew.
 * 10. Secrets (credentials, tokens) are opaque bytes, at most 4 KiB; length 0 is none. They are never parsed and
 *     never put into JSON; logs, traces and dumps show their length alone. What the host gives in `secret` is copied
 *     once; the plugin wipes its copy when the call fails, and what it hands on in vmsf_operation.secret when `begin`
 *     returns. Credentials go nowhere else. A token comes back in the `secret` of `complete` and is kept for later
 *     operations: in files of the state directory (tokens.a.json, tokens.b.json), in clear, for their owner alone, or
 *     by a host that offers a safer place, the extension VMSF_EXT_SECRETS, and then in no file of the plugin. What is
 *     the host's own, what it passed in and what it copied in a callback, the host MUST wipe itself.
 * 11. Time. In worker mode all instants are the raw CLOCK_MONOTONIC in ns, on Windows QueryPerformanceCounter in ns,
 *     rounded down, so that a host may stamp with its own reading; now_ns gives it. With VMSF_HOST_DRIVES the plugin
 *     has no thread and only `poll` moves time: at least 1, never back (an earlier one counts as the last). Unstamped
 *     calls use the last poll's time; calls take effect in the next `poll`, at its now_ns, to which later stamps are
 *     cut. Stamps in the past are honoured in both modes.
 *     `*next_ns` is the earliest instant with work: at or before now_ns = poll again at once, VMSF_NEVER = none; it
 *     may be too early, never too late.
 * 12. Life signs are never lost. Each server has its own list of 8 transitions; when it is full the newest stamp is
 *     kept, VMSF_ERR_BUSY returned, an entry `events_lost` written, and this server does not fail before that stamp +
 *     normal_shutdown_s.
 * 13. Unloading. `stop` joins the threads; after `destroy` no thread, pointer or callback is left, and dlclose is
 *     allowed, or FreeLibrary; the image stays mapped all the same (VMSF_PLUGIN_RESIDENT), on Windows from the first
 *     `create` on, so an upgrade in the same process needs another file name. The host MUST stop before exit or before
 *     `ctx` dies; killing the process is always safe. Never call in from a static destructor, atexit, a signal handler
 *     or a fork child.
 * 14. Limits: configuration 256 MiB, edit 1 MiB, any other JSON 64 KiB in or out (config, log and the status of all
 *     unlimited), ids 64 bytes, 1,000,000 monitored servers. Past a limit VMSF_ERR_LIMIT or VMSF_ERR_BUSY, never
 *     unbounded memory. At most 20 non-alarm entries a server a minute, then one `suppressed` with the count (health
 *     and takeover changes are never suppressed). More than 1,000 changes in one instant are an event each; in the
 *     log on disk they are a few entries `mass`, which list the servers.
 * 15. Files. Paths are absolute and UTF-8; on Windows with a drive or share, and with either separator. A file of the
 *     plugin that somebody has open there, so that it cannot be replaced, is tried again for 2 s.
 *
 * JSON. Unknown keys from the host are VMSF_ERR_JSON in calls and faults in configurations; the host MUST ignore keys
 * it does not know. A key marked ? may be absent. For programs the same is said in include/schema/: config.json,
 * status.json, log-entry.json, operation-<name>.json, call.json, call-join_cluster.json and answer.json.
 * Every event's JSON is one log entry:
 *   {"seq":12, "utc":"2026-01-01T00:00:00.000Z", "severity":"info", "code":"health", "text":"...",
 *    "server":"a", "details":{...}, "actor":"...", "request":7}
 *   server, details, actor and request stand where they apply.
 * `details` by kind:
 *   VMSF_EVENT_HEALTH          {"from", "to", "reason"?, "failed_at_ns"?}
 *                              phases: unknown, connected, started, keep_alive, normal_shutdown,
 *                              abnormal_shutdown, failed
 *   VMSF_EVENT_TAKEOVER        {"from", "to", "reason"}
 *                              states: none, queued, taking_over, taken_over, restoring
 *   VMSF_EVENT_COMPLETED       {"op", "operation", "outcome", "error"?}
 *                              outcomes: ok, failed, timeout, superseded (a takeover went before it), interrupted
 *                              (an authorize or join_cluster that a stop or a kill cut off: its credentials are gone)
 *   VMSF_EVENT_OPERATION_OVER  {"op", "operation", "reason"}
 *                              reasons: timeout, superseded, interrupted
 *   VMSF_EVENT_BACKUP          {"op", "result":"ok", "number", "size", "sha256", "path"}
 *                              {"op", "result":"failed", "error"}
 *   VMSF_EVENT_PROGRESS        {"op", "permille", "text"}
 *   VMSF_EVENT_ACCEPTED        {"request"?, "server"?, "op"?, "joined"?}, those of the call
 *   VMSF_EVENT_ALARM, VMSF_EVENT_ALARM_ENDED: `code` is the alarm's code; what else helps is in details
 *   VMSF_EVENT_LOG by its code, some of them:
 *     cluster                  {"joined"} the membership has changed
 *     authorized, deauthorized the plugin has a token of the server, or none any more
 *     backup_run_begun         {"daily"} backups of all servers begin, one after another
 *     backup_run_ended         {"daily", "ok", "failed"} they have ended; how many of each
 *     backup_seen              there is a good backup of the server now, or none any more (a warning)
 *     backup_flaw              {"number"} a backup is not what was published; the text says why
 *     backups_unreadable       nobody can look at the server's backups; the text says why
 *     configured               {"servers", "added", "removed"} another configuration is in force
 * The request of an operation (`begin`):
 *   {"op":17, "operation":"takeover", "actor":"automatic", "reason":"keep_alive_timeout", "attempt":0,
 *    "resumed":false, "request":12?, "server":{"id","name","host","port","http_port","priority"}, ...}
 *   and besides, with what is in `secret`:
 *   takeover      the token. "supersedes":[9], "backup":{"path","sha256"}, "store_folder":"<store_path>/<server id>",
 *                 "server_communication":{"address","port"}?, "client_communication":{"address"}?,
 *                 "open_api":{"host","port"}?
 *                 supersedes: takeovers, of whichever server, that the host never answered; it MUST undo them first.
 *                 backup is absent only from one that a version of the plugin without backups had begun.
 *   restore       the token. As a takeover, without supersedes and backup.
 *   backup        the token. "file": the host writes the settings archive there, then completes. The folder is there,
 *                 the file is not, unless VMSF_OP_RESUMED: then it holds what the host wrote before. The plugin checks
 *                 that it is a plain file and not empty, and publishes it; otherwise the backup fails.
 *   authorize     the credentials. The answer brings a token.
 *   deauthorize   the token.
 *   join_cluster  the credentials, if there are any. "management_server":{"host","port"}; there is no "server".
 *   An operation that goes on although the token of its server is lost comes without one: `secret` is NULL.
 *   reason: a reason of VMSF_EVENT_HEALTH, operator, returned (an automatic restore), daily, unknown.
 * The host's answer (`complete`) is {"error":"text"?}, read with VMSF_OUTCOME_FAILED alone. The JSON of calls is
 * {"actor":"name"?}, that of join_cluster {"host":"management server", "port":443?, "actor":"name"?}.
 * The status (`status`; instants to come are {"utc", "ns", "in_ms"}, past ones {"utc", "ns"}, both by the clocks as
 * they stand at the call):
 *   {"schema":1, "name", "version", "utc", "state":"running", "poisoned":"text"?, "state_writable":true,
 *    "mode":"standby", "holder":"id"?, "queue":["id"], "cluster":{"joined", "operation":{...}?},
 *    "backups":{"daily", "left"}?, "next_daily_backup":"utc"?, "alarms":["code"],
 *    "servers":[{"id", "name", "health", "since"?, "reason"?, "failed_at"?, "deadline"?, "next",
 *      "last_events":{"keep_alive":"utc"?, ...}, "link":"up", "authorized", "backup",
 *      "last_backup":{"utc", "result", "number"?, "size"?, "error"?}?, "operation":{...}?,
 *      "takeover":{"state", "actor"?, "reason"?, "attempt", "place"?, "not_before"?, "operation":{...}?},
 *      "waits_for_operator", "alarms":["code"], "ready":{"ready", "reasons":["word"]}}]}
 *   An operation is {"op", "operation", "actor", "resumed", "deadline"?, "progress":{"permille", "text"}?}.
 *   state: stopped, running, stopping, poisoned (then all else is what was known last). mode: standby, taking_over,
 *   taken_over, restoring; holder: the server that is so. next: a sentence for people, what happens at the deadline.
 *   link: up, down, unknown. last_events: since the plugin was created. attempt: failed ones, of the takeover, once it
 *   is taken over of the restore. place: in the queue, from 1. reasons: not_running, not_in_cluster, not_authorized,
 *   no_backup, state_not_writable, slot_busy. backup: there is a good one; last_backup: how the last one ended, ok or
 *   failed. backups: of all servers, under way, and how many are left. operation: that of a server is a backup, an
 *   authorize or a deauthorize, that of its takeover a takeover or a restore, that of the cluster a join_cluster. No
 *   deadline runs, and none is shown, while the plugin is stopped, nor while a backup is being published.
 */
#ifndef VMS_FAILOVER_H
#define VMS_FAILOVER_H

#include <stddef.h>
#include <stdint.h>

#if !defined(UINTPTR_MAX) || UINTPTR_MAX != UINT64_MAX
#error "vms_failover.h: 64-bit targets only"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The ABI major that this header describes. A host and a plugin without a common major refuse each other. */
#define VMSF_ABI_MAJOR 1u
/* The ABI minor, for people and logs, never a gate. */
#define VMSF_ABI_MINOR 0u

/* An instant that never comes. */
#define VMSF_NEVER UINT64_MAX

/* The symbol that a host looks up; its type is `vmsf_entry_fn`. */
#define VMSF_ENTRY_SYMBOL "vmsf_plugin_entry"

/* The id of the extension of a host that keeps the tokens itself; its table is a `vmsf_secrets`. */
#define VMSF_EXT_SECRETS "vmsf.secrets/1"

/* Success. */
#define VMSF_OK 0
/*
 An argument is wrong: NULL where none is allowed, an unknown flag bit, a non-zero reserved field, a number out of
 range.
 */
#define VMSF_ERR_INVALID (-1)
/* A text is not UTF-8, or holds a NUL. */
#define VMSF_ERR_UTF8 (-2)
/* A text is not JSON, or not of the documented shape. */
#define VMSF_ERR_JSON (-3)
/* The configuration has faults; each is in the report. */
#define VMSF_ERR_CONFIG (-4)
/* Not allowed in this state of the instance or of the server; last_error says which. */
#define VMSF_ERR_STATE (-5)
/* The handle is zero, stale, of another kind or of another instance. */
#define VMSF_ERR_HANDLE (-6)
/* No common ABI major. */
#define VMSF_ERR_ABI (-7)
/* The buffer is too small; `*len` holds the size needed, without the NUL. */
#define VMSF_ERR_TOO_SMALL (-8)
/* Another call or operation is in the way; try again later. */
#define VMSF_ERR_BUSY (-9)
/* The time given did not suffice. */
#define VMSF_ERR_TIMEOUT (-10)
/* A control or poll member was called from inside a callback. */
#define VMSF_ERR_REENTRANT (-11)
/* This plugin does not do that (yet). */
#define VMSF_ERR_UNSUPPORTED (-12)
/* No such server, operation or entry. */
#define VMSF_ERR_NOT_FOUND (-13)
/* A limit of rule 14 is exceeded. */
#define VMSF_ERR_LIMIT (-14)
/* This call panicked inside the plugin; the instance is poisoned now. */
#define VMSF_ERR_PANIC (-15)
/* The instance was poisoned by an earlier panic: stop, destroy, create. */
#define VMSF_ERR_POISONED (-16)
/* A fault of the plugin that is not a panic. */
#define VMSF_ERR_INTERNAL (-17)
/* A file or directory could not be read or written; last_error names it. */
#define VMSF_ERR_IO (-18)
/* The server is not authorized. */
#define VMSF_ERR_NOT_AUTHORIZED (-19)
/* The server has no good backup. */
#define VMSF_ERR_NO_BACKUP (-20)
/* This failover server is not part of the cluster. */
#define VMSF_ERR_NOT_IN_CLUSTER (-21)
/*
 A document of the state directory cannot be used: both generations are damaged, its content cannot be read or
 contradicts itself, or a newer plugin wrote it. Or a server is taken over that neither the configuration given nor the
 kept one brings. The document is left as it is; the text says what to do.
 */
#define VMSF_ERR_STATE_DAMAGED (-22)

/* `vmsf_handshake.flags`, out: the image stays mapped after it was closed. */
#define VMSF_PLUGIN_RESIDENT 1u

/* `vmsf_host.flags`: the host calls `poll`; the plugin starts no thread. */
#define VMSF_HOST_DRIVES 1u

/* `configure` and `edit`: check and report only. */
#define VMSF_DRY_RUN 1u

/* `vmsf_operation.flags`: begun before the last stop and not answered; go on, or begin anew. */
#define VMSF_OP_RESUMED 1u

/* Event of a monitored server: a network connection was made. */
#define VMSF_NOTIFY_CONNECTED 1u
/* Event of a monitored server: the network connection ended. Recorded; moves no deadline. */
#define VMSF_NOTIFY_DISCONNECTED 2u
/* Event of a monitored server: its startup message came. */
#define VMSF_NOTIFY_STARTUP 3u
/* Event of a monitored server: a keep-alive message came. */
#define VMSF_NOTIFY_KEEP_ALIVE 4u
/* Event of a monitored server: it was shut down normally. */
#define VMSF_NOTIFY_SHUTDOWN_NORMAL 5u
/* Event of a monitored server: it exited with an error. */
#define VMSF_NOTIFY_SHUTDOWN_ABNORMAL 6u

/* Event kind: a log entry without a kind of its own. */
#define VMSF_EVENT_LOG 1u
/* Event kind: the health of a server changed. */
#define VMSF_EVENT_HEALTH 2u
/* Event kind: the takeover state of a server changed. */
#define VMSF_EVENT_TAKEOVER 3u
/* Event kind: an alarm was raised. */
#define VMSF_EVENT_ALARM 4u
/* Event kind: the cause of an alarm ended. */
#define VMSF_EVENT_ALARM_ENDED 5u
/* Event kind: the plugin gave an operation up. The host MUST stop it and undo what it did. */
#define VMSF_EVENT_OPERATION_OVER 6u
/* Event kind: an operation ended, with its outcome. */
#define VMSF_EVENT_COMPLETED 7u
/* Event kind: progress of an operation, as told by the host. */
#define VMSF_EVENT_PROGRESS 8u
/* Event kind: a call made inside a callback is durable now. */
#define VMSF_EVENT_ACCEPTED 9u
/*
 Event kind: a backup ended: published, or failed. The `completed` of its operation comes before it; a backup that ended
 before its file was named has none, for the host was never asked.
 */
#define VMSF_EVENT_BACKUP 10u
/* Event kind: the readiness of a server changed. (Not sent yet.) */
#define VMSF_EVENT_READY 11u
/* Event kind: the instance is poisoned; the last event. */
#define VMSF_EVENT_POISONED 12u

/* Severity of an event, and level of a log line: for developers. */
#define VMSF_SEVERITY_DEBUG 1u
/* Severity of an event, and level of a log line: ordinary. */
#define VMSF_SEVERITY_INFO 2u
/* Severity of an event, and level of a log line: worth a look. */
#define VMSF_SEVERITY_WARNING 3u
/* Severity of an event, and level of a log line: a person is needed. */
#define VMSF_SEVERITY_ALARM 4u

/* Operation kind: run with this server's settings and record to the store folder. */
#define VMSF_OP_TAKEOVER 1u
/* Operation kind: give the server its role back. */
#define VMSF_OP_RESTORE 2u
/* Operation kind: write the server's settings archive into the file that the request names. */
#define VMSF_OP_BACKUP 3u
/* Operation kind: log in on the server with the secret, which is credentials, and answer with a token. */
#define VMSF_OP_AUTHORIZE 4u
/* Operation kind: revoke the token, which is the secret; it is forgotten when the answer is VMSF_OUTCOME_OK. */
#define VMSF_OP_DEAUTHORIZE 5u
/* Operation kind: join the cluster through the management server that the request names. */
#define VMSF_OP_JOIN_CLUSTER 6u
/* Operation kind: look at a failed server on a second path. (Not begun yet.) */
#define VMSF_OP_PROBE 7u
/* Operation kind: validate a backup without taking over. (Not begun yet.) */
#define VMSF_OP_DRILL 8u

/* Outcome of an operation: done. */
#define VMSF_OUTCOME_OK 0u
/* Outcome of an operation: not done, and undone. */
#define VMSF_OUTCOME_FAILED 1u
/* Outcome of an operation: the host does not know it. */
#define VMSF_OUTCOME_UNSUPPORTED 2u

/* 0 is success, below 0 an error: one of the VMSF_ERR_... codes. Numbers are never reused. */
typedef int32_t vmsf_result;

/* A checked handle of a monitored server of one instance; 0 is none (or all, where a member says so). */
typedef uint64_t vmsf_server;

/* What the plugin reports to the host. Lives until the callback returns. */
typedef struct vmsf_event {
    /* Size of this struct as the plugin knows it. */
    uint32_t struct_size;
    /* One of VMSF_EVENT_...; the host MUST ignore kinds it does not know. */
    uint32_t kind;
    /* One of VMSF_SEVERITY_... */
    uint32_t severity;
    /* Reserved: 0. */
    uint32_t flags;
    /* Number of the log entry: one more than the event before. */
    uint64_t seq;
    /* When, on the host's monotonic clock. */
    uint64_t mono_ns;
    /* When, in ms since 1970-01-01T00:00:00Z. */
    int64_t utc_ms;
    /* The server concerned, or 0. */
    vmsf_server server;
    /* The log entry as JSON, see the top of this file. */
    const char *json;
    /* Bytes of `json` without the NUL. */
    size_t json_len;
    /* Reserved: 0. */
    uint64_t reserved[2];
} vmsf_event;

/* Work that the plugin asks of the host. Lives until the callback returns. */
typedef struct vmsf_operation {
    /* Size of this struct as the plugin knows it. */
    uint32_t struct_size;
    /* One of VMSF_OP_...; what the host does not know it MUST complete with VMSF_OUTCOME_UNSUPPORTED. */
    uint32_t kind;
    /* 0 or VMSF_OP_RESUMED. */
    uint32_t flags;
    /* Failed attempts before this one. */
    uint32_t attempt;
    /* Its id, for `complete` and `progress`. */
    uint64_t id;
    /* When the plugin gives it up, on the host's monotonic clock. */
    uint64_t deadline_ns;
    /* The server concerned; 0 for VMSF_OP_JOIN_CLUSTER. */
    vmsf_server server;
    /* The request as JSON, see the top of this file. */
    const char *json;
    /* Bytes of `json` without the NUL. */
    size_t json_len;
    /* Credentials or token, see the top of this file; NULL where there is none. Zeroized after the callback. */
    const uint8_t *secret;
    /* Bytes of `secret`. */
    size_t secret_len;
    /* Reserved: 0. */
    uint64_t reserved[2];
} vmsf_operation;

/* What the host gives the plugin in `create`; copied there. The functions MUST stay callable until `release`. */
typedef struct vmsf_host {
    /* Size of this struct as the host knows it. */
    uint32_t struct_size;
    /* 0 or VMSF_HOST_DRIVES. */
    uint32_t flags;
    /* Handed to every callback; never looked at. May be NULL. */
    void *ctx;
    /* Name of the host, for logs; NUL-terminated UTF-8. Required. */
    const char *name;
    /* Version of the host, for logs; NUL-terminated UTF-8. Required. */
    const char *version;
    /*
     A line of the plugin's diagnostic log, at most 1,024 bytes, control characters escaped. Required.
     From any thread; what is logged on a thread inside it is dropped and counted. `level` is one of
     VMSF_SEVERITY_...
     [callback]
     Since: major 1.
     */
    void (*log)(void *ctx, uint32_t level, const char *target, const char *text, size_t len);
    /*
     The lowest level wanted (VMSF_SEVERITY_...). Optional: NULL wants all. From any thread.
     [callback]
     Since: major 1.
     */
    uint32_t (*log_level)(void *ctx);
    /*
     A log entry, change or alarm. Required. In `seq` order, one at a time with `begin`.
     [callback]
     Since: major 1.
     */
    void (*event)(void *ctx, const vmsf_event *event);
    /*
     Do this, then call `complete`, from here or later from any thread. Required.
     [callback]
     Since: major 1.
     */
    void (*begin)(void *ctx, const vmsf_operation *operation);
    /*
     Call `poll` at `next_ns` (0 = now) instead of later. Required with VMSF_HOST_DRIVES, else NULL. On the
     thread of the call that brings the work, at most once until the next `poll`; MUST only signal and call nothing.
     [callback]
     Since: major 1.
     */
    void (*wake)(void *ctx, uint64_t next_ns);
    /*
     The last call for `ctx`, from `destroy`. Optional.
     [callback]
     Since: major 1.
     */
    void (*release)(void *ctx);
    /*
     An extension table of the host (VMSF_EXT_...), or NULL. Optional. Asked only inside `create`, once for each id.
     [callback]
     Since: major 1.
     */
    const void *(*get_extension)(void *ctx, const char *id);
    /* Reserved: 0. */
    uint64_t reserved[2];
} vmsf_host;

/* A checked handle of a plugin instance; 0 is none. */
typedef uint64_t vmsf_plugin;

/*
 The table of major 1. Frozen: no member is ever added, moved or given another meaning.

 Common errors, not repeated below: VMSF_ERR_HANDLE for a wrong handle, VMSF_ERR_INVALID for a NULL argument that is
 not optional, VMSF_ERR_UTF8, VMSF_ERR_JSON and VMSF_ERR_LIMIT for texts, VMSF_ERR_POISONED and VMSF_ERR_PANIC
 (rule 8). `json` of a call MAY be NULL with `len` 0, which is `{}`; where a call has an actor it is
 `{"actor":"name"}`, 1 to 256 bytes, not "automatic"; without one it is "operator".
 */
typedef struct vmsf_api {
    /* Size of this table as the plugin knows it. */
    uint32_t struct_size;
    /* Reserved: 0. */
    uint32_t reserved;
    /*
     Creates an instance in state stopped. `options_json` is {"schema":1, "state_directory":path, "config":{...},
     "operations":["takeover",...], "durability":"full"}; without `config` the kept one is used. `err` gets the text of
     a failure (for faults of the configuration {"faults":[...]}, cut between faults), NUL-terminated; it MAY be NULL
     with `err_cap` 0.
     [control]
     Memory: `host` and the options are copied; `ctx` is borrowed until `release`, not at all on failure.
     Errors: VMSF_ERR_CONFIG faults, VMSF_ERR_IO state directory, VMSF_ERR_BUSY state directory in use,
     VMSF_ERR_STATE_DAMAGED a document in it cannot be used.
     Since: major 1.
     */
    vmsf_result (*create)(const vmsf_host *host,
                          const char *options_json,
                          size_t len,
                          vmsf_plugin *out,
                          char *err,
                          size_t err_cap);
    /*
     Starts monitoring; unless the host drives, starts four threads: the worker, which runs `event` and `begin`,
     one that writes the state, and two for files. Operations not answered before are begun again with
     VMSF_OP_RESUMED; servers seen before begin in `unknown` with a deadline.
     [control]
     Errors: VMSF_ERR_STATE unless stopped, VMSF_ERR_INTERNAL no thread to be had.
     Since: major 1.
     */
    vmsf_result (*start)(vmsf_plugin p);
    /*
     Stops monitoring: delivers what is queued, then joins the threads. Waits for callbacks under way, those of
     VMSF_EXT_SECRETS too, and for the piece of work that a thread for files has under way on the disk. No callback
     comes after it. Stopped already: VMSF_OK.
     [control]
     Errors: VMSF_ERR_TIMEOUT a callback, or the disk, did not return within `timeout_ms`; the stop stays in force,
     call it again.
     Since: major 1.
     */
    vmsf_result (*stop)(vmsf_plugin p, uint32_t timeout_ms);
    /*
     Ends the instance; its handles are stale from then on. Calls `release`.
     [control]
     Errors: VMSF_ERR_STATE unless stopped.
     Since: major 1.
     */
    vmsf_result (*destroy)(vmsf_plugin p);
    /*
     Replaces the configuration as a whole; `flags` is 0 or VMSF_DRY_RUN. `report` gets
     {"faults":[{"pointer","value","allowed","text"}]}, also with VMSF_ERR_CONFIG; it MAY be NULL with `cap` 0 and
     `report_len` NULL. A report that does not fit is empty; it never changes the result.
     [control]
     Errors: VMSF_ERR_CONFIG faults; the old configuration stays. VMSF_ERR_IO not kept, so not in force.
     Since: major 1.
     */
    vmsf_result (*configure)(vmsf_plugin p,
                             const char *json,
                             size_t len,
                             uint32_t flags,
                             char *report,
                             size_t cap,
                             size_t *report_len);
    /*
     Changes the configuration, all or nothing: {"set":{key:value}, "add":[server], "change":[{"id",...}],
     "remove":[id]}. In `set` an object (timeouts) is merged, null takes a key back to its default.
     [control]
     Errors: as `configure`; pointers are those of the resulting document, or of the edit where it cannot be applied.
     Since: major 1.
     */
    vmsf_result (*edit)(vmsf_plugin p,
                        const char *json,
                        size_t len,
                        uint32_t flags,
                        char *report,
                        size_t cap,
                        size_t *report_len);
    /*
     Moves time to `now_ns` (ns, monotonic) and `utc_ms` (ms since 1970), takes in what was called, runs the
     callbacks and says when to poll next. A spurious poll does no harm.
     [poll]
     Errors: VMSF_ERR_UNSUPPORTED without VMSF_HOST_DRIVES, VMSF_ERR_STATE unless running, VMSF_ERR_INVALID `now_ns`
     0, VMSF_ERR_BUSY overlap.
     Since: major 1.
     */
    vmsf_result (*poll)(vmsf_plugin p, uint64_t now_ns, int64_t utc_ms, uint64_t *next_ns);
    /*
     Reports an event of a monitored server. `mono_ns` is when it happened, 0 = now. The hot path.
     [any-thread]
     Errors: VMSF_ERR_UNSUPPORTED unknown kind, VMSF_ERR_STATE stopped, VMSF_ERR_BUSY list full (the newest stamp is
     kept, rule 12).
     Since: major 1.
     */
    vmsf_result (*notify)(vmsf_plugin p, vmsf_server s, uint32_t event_kind, uint64_t mono_ns);
    /*
     The plugin's monotonic clock in ns; with VMSF_HOST_DRIVES the last poll's (0 before the first).
     [any-thread]
     Errors: none of its own.
     Since: major 1.
     */
    vmsf_result (*now_ns)(vmsf_plugin p, uint64_t *now);
    /*
     The handle of a monitored server by its id (case matters). It stays valid until the server is removed.
     [any-thread]
     Errors: VMSF_ERR_NOT_FOUND.
     Since: major 1.
     */
    vmsf_result (*server)(vmsf_plugin p, const char *id, size_t len, vmsf_server *out);
    /*
     The server after `s` in configuration order; 0 = the first.
     [any-thread]
     Errors: VMSF_ERR_NOT_FOUND there is none.
     Since: major 1.
     */
    vmsf_result (*next_server)(vmsf_plugin p, vmsf_server s, vmsf_server *out);
    /*
     The id of a monitored server, at most 64 bytes.
     [any-thread]
     Memory: text out, rule 3.
     Errors: VMSF_ERR_TOO_SMALL.
     Since: major 1.
     */
    vmsf_result (*server_id)(vmsf_plugin p, vmsf_server s, char *buf, size_t cap, size_t *len);
    /*
     The configuration in force, with every default written out.
     [any-thread]
     Memory: text out, rule 3.
     Errors: VMSF_ERR_TOO_SMALL.
     Since: major 1.
     */
    vmsf_result (*config)(vmsf_plugin p, char *buf, size_t cap, size_t *len);
    /*
     The status of one server, or of all (`s` 0), in the JSON described at the top (include/schema/status.json).
     In worker mode it knows all that was reported before the call, with VMSF_HOST_DRIVES what the last poll took
     in.
     [any-thread]
     Memory: text out, rule 3. It may grow between two calls: on VMSF_ERR_TOO_SMALL give more and try again.
     Errors: VMSF_ERR_TOO_SMALL.
     Since: major 1.
     */
    vmsf_result (*status)(vmsf_plugin p, vmsf_server s, char *buf, size_t cap, size_t *len);
    /*
     Log entries from `since_seq` on (0: the oldest kept), at most `max_entries`, at most 10,000:
     {"first_seq", "last_seq", "next_seq", "entries":[...]}. The next page begins at `next_seq`; there is none when that
     is above `last_seq`. The newest 1,024 entries come from memory; a page that begins further back is read from disk.
     Also waits while entries are written.
     [any-thread]
     Memory: text out, rule 3.
     Errors: VMSF_ERR_TOO_SMALL, VMSF_ERR_IO an older page cannot be read.
     Since: major 1.
     */
    vmsf_result (*log)(vmsf_plugin p,
                       uint64_t since_seq,
                       uint32_t max_entries,
                       char *buf,
                       size_t cap,
                       size_t *len);
    /*
     Writes the recordings parameter, <key>=<server_communication.address><separator><host of the server>, into the
     text of a settings file of the monitored server (DivaServer.ini, SenseVideoManager.ini) and gives the new text.
     No other byte is touched, and twice is the same as once. `recordings_ini` of the configuration names section,
     key and separator. The first section of that name counts. A line is corrected only if it is certainly this
     failover server's; else one is added, at the end of the section, which is added itself if it is missing. With
     an empty separator the end of an address often cannot be told: then a line for an earlier address stays.
     In and out the text is bytes in whatever 8-bit encoding, not checked to be UTF-8 (a byte order mark of UTF-8 is
     kept), at most 64 KiB in. Reading and writing the file is the host's.
     [any-thread]
     Memory: text out, rule 3, as bytes.
     Errors: VMSF_ERR_TOO_SMALL. VMSF_ERR_LIMIT. VMSF_ERR_STATE the configuration has no recordings_ini or no
     server_communication; last_error names the key to set. VMSF_ERR_UTF8 the text is UTF-16 or holds a NUL, or it is
     not UTF-8 while section, key or separator have letters outside ASCII.
     Since: major 1.
     */
    vmsf_result (*recordings_ini)(vmsf_plugin p,
                                  vmsf_server s,
                                  const char *ini_text,
                                  size_t len,
                                  char *buf,
                                  size_t cap,
                                  size_t *out_len);
    /*
     How far an operation is, 0 to 1000, with a text. Shown; moves no deadline.
     [any-thread]
     Errors: VMSF_ERR_NOT_FOUND no such operation runs, VMSF_ERR_INVALID permille above 1000, VMSF_ERR_STATE stopped.
     Since: major 1.
     */
    vmsf_result (*progress)(vmsf_plugin p, uint64_t op_id, uint32_t permille, const char *text, size_t len);
    /*
     Code and text of the last error of this instance; VMSF_OK and "" before the first. `code` MAY be NULL.
     [any-thread]
     Memory: text out, rule 3.
     Errors: VMSF_ERR_TOO_SMALL.
     Since: major 1.
     */
    vmsf_result (*last_error)(vmsf_plugin p, vmsf_result *code, char *buf, size_t cap, size_t *len);
    /*
     Tells whether this failover server has joined the cluster (0 or 1). The last word is kept, over starts, too; before
     the first it counts as not joined. Until it has joined, takeovers and backups are refused; what has begun goes on.
     [any-thread, disk]
     Errors: VMSF_ERR_INVALID `joined`. VMSF_ERR_IO not on disk, so not taken in.
     Since: major 1.
     */
    vmsf_result (*cluster)(vmsf_plugin p, uint32_t joined, const char *json, size_t len);
    /*
     Joins the cluster through the management server: the host is asked by VMSF_OP_JOIN_CLUSTER, and its
     VMSF_OUTCOME_OK is as good as `cluster(1)`. `json` is {"host", "port":443?, "actor"?}. The secret is the
     credentials for it, if it needs any. Cut off by a stop or a kill it ends as `interrupted`. `*req` as for
     `takeover`.
     [any-thread, disk]
     Memory: the secret is copied once and zeroized.
     Errors: VMSF_ERR_JSON no such host or port, VMSF_ERR_BUSY it is being joined already, VMSF_ERR_STATE stopped,
     VMSF_ERR_UNSUPPORTED not among the `operations` of create, VMSF_ERR_LIMIT secret. VMSF_ERR_IO as for `cluster`.
     Since: major 1.
     */
    vmsf_result (*join_cluster)(vmsf_plugin p,
                                const char *json,
                                size_t len,
                                const uint8_t *secret,
                                size_t secret_len,
                                uint64_t *req);
    /*
     Authorizes this failover server at a monitored server: the secret, administrator credentials, is handed to the host
     in VMSF_OP_AUTHORIZE and forgotten; the host answers with a token, which takes the place of the one before. Cut off
     by a stop or a kill it ends as `interrupted`, and has to be called again. `*req` as for `takeover`.
     [any-thread, disk]
     Memory: the secret is copied once and zeroized.
     Errors: VMSF_ERR_INVALID no secret, VMSF_ERR_BUSY another operation of this server runs, VMSF_ERR_STATE it is being
     taken over or restored, or stopped, VMSF_ERR_UNSUPPORTED not among the `operations` of create, VMSF_ERR_LIMIT
     secret. VMSF_ERR_IO as for `cluster`.
     Since: major 1.
     */
    vmsf_result (*authorize)(vmsf_plugin p,
                             vmsf_server s,
                             const char *json,
                             size_t len,
                             const uint8_t *secret,
                             size_t secret_len,
                             uint64_t *req);
    /*
     Has the host revoke the token of a monitored server (VMSF_OP_DEAUTHORIZE) and deletes it; where the host fails, the
     token stays. Without that among the `operations` of create it is deleted here alone. While stopped it is accepted,
     and the host asked at the next start. `*req` as for `takeover`.
     [any-thread, disk]
     Errors: VMSF_ERR_NOT_AUTHORIZED there is no token, VMSF_ERR_BUSY another operation of this server runs,
     VMSF_ERR_STATE its takeover state is neither none nor queued. VMSF_ERR_IO as for `cluster`.
     Since: major 1.
     */
    vmsf_result (*deauthorize)(vmsf_plugin p, vmsf_server s, const char *json, size_t len, uint64_t *req);
    /*
     Backs up the settings of one server (VMSF_OP_BACKUP), or of all (`s` 0), one after another, without those that are
     failed, taken over or not authorized when their turn comes. What the host writes is published as
     <backup_directory>/<server id>/<UTC>-<number>.backup with a manifest beside it. `*req` as for `takeover`.
     [any-thread, disk]
     Errors: VMSF_ERR_NOT_IN_CLUSTER, VMSF_ERR_NOT_AUTHORIZED, VMSF_ERR_BUSY another operation of this server runs; for
     all: a run by hand is under way (a daily one is not in the way). VMSF_ERR_STATE it is being taken over, or about to
     be, or restored, or stopped, VMSF_ERR_UNSUPPORTED not among the `operations` of create. VMSF_ERR_IO as for
     `cluster`.
     Since: major 1.
     */
    vmsf_result (*backup)(vmsf_plugin p, vmsf_server s, const char *json, size_t len, uint64_t *req);
    /*
     Takes a server over by hand, whatever its health. `*req` is what everything that follows carries as "request";
     `req` MAY be NULL. A backup, authorize or deauthorize of this server that runs is superseded.
     [any-thread, disk]
     Errors: VMSF_ERR_STATE the slot is held by another server, this one is neither in none nor queued, or stopped;
     VMSF_ERR_NOT_IN_CLUSTER, VMSF_ERR_NOT_AUTHORIZED, VMSF_ERR_NO_BACKUP blocked. VMSF_ERR_IO as for `cluster`.
     Since: major 1.
     */
    vmsf_result (*takeover)(vmsf_plugin p, vmsf_server s, const char *json, size_t len, uint64_t *req);
    /*
     Restores a taken over server by hand, whatever its health. `*req` as for `takeover`.
     [any-thread, disk]
     Errors: VMSF_ERR_STATE unless taken_over, or stopped. VMSF_ERR_BUSY another operation of this server runs.
     VMSF_ERR_IO as for `cluster`.
     Since: major 1.
     */
    vmsf_result (*restore)(vmsf_plugin p, vmsf_server s, const char *json, size_t len, uint64_t *req);
    /*
     Takes a queued server out of the queue, for this failure only.
     [any-thread, disk]
     Errors: VMSF_ERR_STATE unless queued. VMSF_ERR_IO as for `cluster`.
     Since: major 1.
     */
    vmsf_result (*cancel)(vmsf_plugin p, vmsf_server s, const char *json, size_t len);
    /*
     Holds the takeover of a server until a UTC time.
     [any-thread, disk]
     Errors: VMSF_ERR_INVALID.
     Not yet: VMSF_ERR_UNSUPPORTED.
     Since: major 1.
     */
    vmsf_result (*maintenance)(vmsf_plugin p, vmsf_server s, const char *json, size_t len);
    /*
     Runs the whole takeover check of a server without taking it over.
     [any-thread, disk]
     Errors: VMSF_ERR_STATE, VMSF_ERR_BUSY.
     Not yet: VMSF_ERR_UNSUPPORTED.
     Since: major 1.
     */
    vmsf_result (*drill)(vmsf_plugin p, vmsf_server s, const char *json, size_t len, uint64_t *req);
    /*
     The host's answer to `begin`. `outcome` is one of VMSF_OUTCOME_...; `json` {"error":"text"} says why it failed;
     `secret` is the token that an `authorize` brings, and its VMSF_OUTCOME_OK without one is a failure. A backup is
     checked and published after its VMSF_OUTCOME_OK, and may still fail.
     [any-thread, disk]
     Memory: the secret is copied once; what is not kept is zeroized.
     Errors: VMSF_ERR_NOT_FOUND no such operation runs: answered already, or given up (rule 9). VMSF_ERR_INVALID
     outcome, or a secret to anything but an `authorize`. VMSF_ERR_LIMIT a secret of more than 4 KiB, VMSF_ERR_INVALID
     one that is NULL with a length: an `authorize` answered with VMSF_OUTCOME_OK has failed by that; any other answer
     is not taken, answer again. VMSF_ERR_STATE stopped. VMSF_ERR_IO not on disk, so not taken: answer again.
     Since: major 1.
     */
    vmsf_result (*complete)(vmsf_plugin p,
                            uint64_t op_id,
                            uint32_t outcome,
                            const char *json,
                            size_t len,
                            const uint8_t *secret,
                            size_t secret_len);
    /*
     The name of a result code, such as "VMSF_ERR_STATE"; "VMSF_ERR_?" for a number that is none.
     [static]
     Memory: a static string, never NULL.
     Since: major 1.
     */
    const char *(*result_name)(vmsf_result code);
    /*
     An extension table of the plugin, or NULL.
     [static]
     Memory: a static table.
     Since: major 1.
     */
    const void *(*get_extension)(const char *id);
} vmsf_api;

/* Who the plugin is. Static: valid as long as the library is loaded. */
typedef struct vmsf_info {
    /* Size of this struct as the plugin knows it. */
    uint32_t struct_size;
    /* Highest `"schema"` of a configuration that the plugin reads. */
    uint32_t config_schema;
    /* `"schema"` of the status that the plugin writes. */
    uint32_t status_schema;
    /* Reserved: 0. */
    uint32_t reserved;
    /* Stable id, never translated. */
    const char *id;
    /* Name for people. */
    const char *name;
    /* Version, semver. */
    const char *version;
    /* What was built: profile, target. */
    const char *build;
} vmsf_info;

/* What host and plugin tell each other first. Frozen for ever. */
typedef struct vmsf_handshake {
    /* In: size of this struct as the host knows it. */
    uint32_t struct_size;
    /* In: lowest major that the host speaks. */
    uint32_t abi_min;
    /* In: highest major that the host speaks. */
    uint32_t abi_max;
    /* Out: the major chosen; 0 when refused. */
    uint32_t abi_chosen;
    /* Out: the minor of the plugin, for people. */
    uint32_t abi_minor;
    /* In: 0. Out: VMSF_PLUGIN_RESIDENT. */
    uint32_t flags;
    /* Out: who the plugin is; also when refused. */
    const vmsf_info *info;
    /* Out: the table of the chosen major; NULL when refused. */
    const vmsf_api *api;
} vmsf_handshake;

/*
 The entry function: negotiates (rule 1).
 [static]
 Errors: VMSF_ERR_INVALID NULL, a struct too small, flags. VMSF_ERR_ABI no common major; `info` is filled in all the
 same.
 Since: the handshake, which no major changes.
 */
typedef vmsf_result (*vmsf_entry_fn)(vmsf_handshake *io);

/*
 The extension VMSF_EXT_SECRETS: the host keeps the tokens of the monitored servers, in a vault of the system for one.
 `get_extension` of `vmsf_host` is asked for it once, inside `create`, and gives this table or NULL; the table is
 copied, so it need not outlive `create`. All three functions are required; `ctx` is that of `vmsf_host`, borrowed
 until `release`.

 The functions come one at a time, on the plugin's file worker or inside `poll`, with no lock held, beside `event` and
 `begin`. They MAY block, and SHOULD NOT for long: no deadline and no callback waits for them (with VMSF_HOST_DRIVES
 `poll` does), but each other does, and so does the search for a backup before a takeover. From
 inside them the same members may be called as from other callbacks. The host MUST keep a token across starts of the
 plugin, for each state directory apart; `server_id` is unique in one. A result below 0 is a failure, of which the
 plugin shows the name; a number that is no result code counts as one, too.
 */
typedef struct vmsf_secrets {
    /* Size of this struct as the host knows it. */
    uint32_t struct_size;
    /* Reserved: 0. */
    uint32_t reserved;
    /*
     Keeps the token of a server, in the place of the one it had. VMSF_OK MUST mean that it outlives a power loss.
     On the plugin's file worker, or inside `poll`; MAY block.
     [callback]
     Memory: id and token live until the function returns; the plugin wipes the token then, the host MUST wipe every
     copy of its own but the kept one.
     Errors: any VMSF_ERR_...; then the token that was there MUST be there still. The operation fails.
     Since: vmsf.secrets/1.
     */
    vmsf_result (*store)(void *ctx,
                         const char *server_id,
                         size_t len,
                         const uint8_t *secret,
                         size_t secret_len);
    /*
     Gives the token of a server: writes it into `buf` and its length into `*secret_len`.
     On the plugin's file worker, or inside `poll`; MAY block.
     [callback]
     Memory: the host MUST NOT write behind `cap` bytes, which is room for every token. The plugin wipes `buf`.
     Errors: VMSF_ERR_NOT_FOUND there is none, which is an answer and no failure. VMSF_ERR_TOO_SMALL it has more than
     `cap` bytes: nothing is written but `*secret_len`. Any other VMSF_ERR_...; the operation fails.
     Since: vmsf.secrets/1.
     */
    vmsf_result (*load)(void *ctx,
                        const char *server_id,
                        size_t len,
                        uint8_t *buf,
                        size_t cap,
                        size_t *secret_len);
    /*
     Deletes the token of a server. VMSF_OK MUST mean that a power loss does not bring it back.
     On the plugin's file worker, or inside `poll`; MAY block.
     [callback]
     Memory: the id lives until the function returns.
     Errors: VMSF_ERR_NOT_FOUND there is none, which is as good as VMSF_OK. Any other VMSF_ERR_...; the plugin MAY try
     again.
     Since: vmsf.secrets/1.
     */
    vmsf_result (*remove)(void *ctx, const char *server_id, size_t len);
} vmsf_secrets;


/* The layout, proven when this header is compiled. */
#if defined(__cplusplus)
#define VMSF_STATIC_ASSERT(condition, name) static_assert(condition, #name)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define VMSF_STATIC_ASSERT(condition, name) _Static_assert(condition, #name)
#else
#define VMSF_STATIC_ASSERT(condition, name) typedef char vmsf_assert_##name[(condition) ? 1 : -1]
#endif

VMSF_STATIC_ASSERT(sizeof(vmsf_info) == 48, vmsf_info_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_info, struct_size) == 0, vmsf_info_struct_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_info, config_schema) == 4, vmsf_info_config_schema);
VMSF_STATIC_ASSERT(offsetof(vmsf_info, status_schema) == 8, vmsf_info_status_schema);
VMSF_STATIC_ASSERT(offsetof(vmsf_info, reserved) == 12, vmsf_info_reserved);
VMSF_STATIC_ASSERT(offsetof(vmsf_info, id) == 16, vmsf_info_id);
VMSF_STATIC_ASSERT(offsetof(vmsf_info, name) == 24, vmsf_info_name);
VMSF_STATIC_ASSERT(offsetof(vmsf_info, version) == 32, vmsf_info_version);
VMSF_STATIC_ASSERT(offsetof(vmsf_info, build) == 40, vmsf_info_build);

VMSF_STATIC_ASSERT(sizeof(vmsf_handshake) == 40, vmsf_handshake_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_handshake, struct_size) == 0, vmsf_handshake_struct_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_handshake, abi_min) == 4, vmsf_handshake_abi_min);
VMSF_STATIC_ASSERT(offsetof(vmsf_handshake, abi_max) == 8, vmsf_handshake_abi_max);
VMSF_STATIC_ASSERT(offsetof(vmsf_handshake, abi_chosen) == 12, vmsf_handshake_abi_chosen);
VMSF_STATIC_ASSERT(offsetof(vmsf_handshake, abi_minor) == 16, vmsf_handshake_abi_minor);
VMSF_STATIC_ASSERT(offsetof(vmsf_handshake, flags) == 20, vmsf_handshake_flags);
VMSF_STATIC_ASSERT(offsetof(vmsf_handshake, info) == 24, vmsf_handshake_info);
VMSF_STATIC_ASSERT(offsetof(vmsf_handshake, api) == 32, vmsf_handshake_api);

VMSF_STATIC_ASSERT(sizeof(vmsf_event) == 80, vmsf_event_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, struct_size) == 0, vmsf_event_struct_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, kind) == 4, vmsf_event_kind);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, severity) == 8, vmsf_event_severity);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, flags) == 12, vmsf_event_flags);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, seq) == 16, vmsf_event_seq);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, mono_ns) == 24, vmsf_event_mono_ns);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, utc_ms) == 32, vmsf_event_utc_ms);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, server) == 40, vmsf_event_server);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, json) == 48, vmsf_event_json);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, json_len) == 56, vmsf_event_json_len);
VMSF_STATIC_ASSERT(offsetof(vmsf_event, reserved) == 64, vmsf_event_reserved);

VMSF_STATIC_ASSERT(sizeof(vmsf_operation) == 88, vmsf_operation_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, struct_size) == 0, vmsf_operation_struct_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, kind) == 4, vmsf_operation_kind);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, flags) == 8, vmsf_operation_flags);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, attempt) == 12, vmsf_operation_attempt);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, id) == 16, vmsf_operation_id);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, deadline_ns) == 24, vmsf_operation_deadline_ns);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, server) == 32, vmsf_operation_server);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, json) == 40, vmsf_operation_json);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, json_len) == 48, vmsf_operation_json_len);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, secret) == 56, vmsf_operation_secret);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, secret_len) == 64, vmsf_operation_secret_len);
VMSF_STATIC_ASSERT(offsetof(vmsf_operation, reserved) == 72, vmsf_operation_reserved);

VMSF_STATIC_ASSERT(sizeof(vmsf_host) == 104, vmsf_host_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, struct_size) == 0, vmsf_host_struct_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, flags) == 4, vmsf_host_flags);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, ctx) == 8, vmsf_host_ctx);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, name) == 16, vmsf_host_name);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, version) == 24, vmsf_host_version);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, log) == 32, vmsf_host_log);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, log_level) == 40, vmsf_host_log_level);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, event) == 48, vmsf_host_event);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, begin) == 56, vmsf_host_begin);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, wake) == 64, vmsf_host_wake);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, release) == 72, vmsf_host_release);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, get_extension) == 80, vmsf_host_get_extension);
VMSF_STATIC_ASSERT(offsetof(vmsf_host, reserved) == 88, vmsf_host_reserved);

VMSF_STATIC_ASSERT(sizeof(vmsf_secrets) == 32, vmsf_secrets_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_secrets, struct_size) == 0, vmsf_secrets_struct_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_secrets, reserved) == 4, vmsf_secrets_reserved);
VMSF_STATIC_ASSERT(offsetof(vmsf_secrets, store) == 8, vmsf_secrets_store);
VMSF_STATIC_ASSERT(offsetof(vmsf_secrets, load) == 16, vmsf_secrets_load);
VMSF_STATIC_ASSERT(offsetof(vmsf_secrets, remove) == 24, vmsf_secrets_remove);

VMSF_STATIC_ASSERT(sizeof(vmsf_api) == 256, vmsf_api_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, struct_size) == 0, vmsf_api_struct_size);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, reserved) == 4, vmsf_api_reserved);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, create) == 8, vmsf_api_create);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, start) == 16, vmsf_api_start);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, stop) == 24, vmsf_api_stop);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, destroy) == 32, vmsf_api_destroy);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, configure) == 40, vmsf_api_configure);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, edit) == 48, vmsf_api_edit);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, poll) == 56, vmsf_api_poll);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, notify) == 64, vmsf_api_notify);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, now_ns) == 72, vmsf_api_now_ns);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, server) == 80, vmsf_api_server);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, next_server) == 88, vmsf_api_next_server);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, server_id) == 96, vmsf_api_server_id);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, config) == 104, vmsf_api_config);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, status) == 112, vmsf_api_status);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, log) == 120, vmsf_api_log);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, recordings_ini) == 128, vmsf_api_recordings_ini);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, progress) == 136, vmsf_api_progress);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, last_error) == 144, vmsf_api_last_error);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, cluster) == 152, vmsf_api_cluster);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, join_cluster) == 160, vmsf_api_join_cluster);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, authorize) == 168, vmsf_api_authorize);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, deauthorize) == 176, vmsf_api_deauthorize);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, backup) == 184, vmsf_api_backup);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, takeover) == 192, vmsf_api_takeover);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, restore) == 200, vmsf_api_restore);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, cancel) == 208, vmsf_api_cancel);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, maintenance) == 216, vmsf_api_maintenance);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, drill) == 224, vmsf_api_drill);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, complete) == 232, vmsf_api_complete);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, result_name) == 240, vmsf_api_result_name);
VMSF_STATIC_ASSERT(offsetof(vmsf_api, get_extension) == 248, vmsf_api_get_extension);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* VMS_FAILOVER_H */
