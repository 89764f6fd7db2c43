#!/usr/bin/env python3
"""A complete host with ctypes alone: joins the cluster, is authorized at a server and backs it up, takes it over when it
falls silent and gives it back. It drives the plugin in virtual time, so that all this takes milliseconds. A real host lets
the plugin run its own thread: flags 0, no wake, no poll. Then callbacks come on that thread and wait for the interpreter
lock, so hand long work to a queue. Structs and signatures are those of include/vms_failover.h and include/abi.txt."""

import json
import os
import sys
from ctypes import (CDLL, CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int32, c_int64, c_size_t, c_uint32,
                    c_uint64, c_void_p, create_string_buffer, memset, sizeof, string_at)

ENTRY_SYMBOL, ABI_MAJOR, ABI_MINOR = "vmsf_plugin_entry", 1, 0
OK, ERR_TIMEOUT = 0, -10
HOST_DRIVES = 1
CONNECTED, STARTUP, KEEP_ALIVE = 1, 3, 4  # VMSF_NOTIFY_...
EVENT_OPERATION_OVER = 6
OP_BACKUP, OP_AUTHORIZE, OP_JOIN_CLUSTER = 3, 4, 6
OUTCOME_OK, OUTCOME_FAILED, OUTCOME_UNSUPPORTED = 0, 1, 2
SECOND = 1_000_000_000
Result, Handle = c_int32, c_uint64


class Event(Structure):
    _fields_ = [("struct_size", c_uint32), ("kind", c_uint32), ("severity", c_uint32), ("flags", c_uint32), ("seq", c_uint64),
                ("mono_ns", c_uint64), ("utc_ms", c_int64), ("server", Handle), ("json", c_void_p), ("json_len", c_size_t),
                ("reserved", c_uint64 * 2)]


class Operation(Structure):
    _fields_ = [("struct_size", c_uint32), ("kind", c_uint32), ("flags", c_uint32), ("attempt", c_uint32), ("id", c_uint64),
                ("deadline_ns", c_uint64), ("server", Handle), ("json", c_void_p), ("json_len", c_size_t), ("secret", c_void_p),
                ("secret_len", c_size_t), ("reserved", c_uint64 * 2)]


class Host(Structure):
    Log = CFUNCTYPE(None, c_void_p, c_uint32, c_char_p, c_void_p, c_size_t)
    LogLevel = CFUNCTYPE(c_uint32, c_void_p)
    OnEvent = CFUNCTYPE(None, c_void_p, POINTER(Event))
    Begin = CFUNCTYPE(None, c_void_p, POINTER(Operation))
    Wake = CFUNCTYPE(None, c_void_p, c_uint64)
    Release = CFUNCTYPE(None, c_void_p)
    GetExtension = CFUNCTYPE(c_void_p, c_void_p, c_char_p)
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("ctx", c_void_p), ("name", c_char_p), ("version", c_char_p),
                ("log", Log), ("log_level", LogLevel), ("event", OnEvent), ("begin", Begin), ("wake", Wake),
                ("release", Release), ("get_extension", GetExtension), ("reserved", c_uint64 * 2)]


def _members():
    """The table of major 1, in its order; texts, buffers and secrets come with a length."""
    text, buf, secret, out = [c_char_p, c_size_t], [c_char_p, c_size_t, POINTER(c_size_t)], [c_char_p, c_size_t], POINTER
    p, s, request, edit = [Handle], [Handle, Handle], [out(c_uint64)], text + [c_uint32] + buf
    signatures = {
        "create": [POINTER(Host)] + text + [out(Handle), c_char_p, c_size_t], "start": p, "stop": p + [c_uint32], "destroy": p,
        "configure": p + edit, "edit": p + edit, "poll": p + [c_uint64, c_int64, out(c_uint64)],
        "notify": s + [c_uint32, c_uint64], "now_ns": p + [out(c_uint64)], "server": p + text + [out(Handle)],
        "next_server": s + [out(Handle)], "server_id": s + buf, "config": p + buf, "status": s + buf,
        "log": p + [c_uint64, c_uint32] + buf, "recordings_ini": s + text + buf, "progress": p + [c_uint64, c_uint32] + text,
        "last_error": p + [out(Result)] + buf, "cluster": p + [c_uint32] + text, "join_cluster": p + text + secret + request,
        "authorize": s + text + secret + request, "deauthorize": s + text + request, "backup": s + text + request,
        "takeover": s + text + request, "restore": s + text + request, "cancel": s + text, "maintenance": s + text,
        "drill": s + text + request, "complete": p + [c_uint64, c_uint32] + text + secret,
    }
    members = [(name, CFUNCTYPE(Result, *arguments)) for name, arguments in signatures.items()]
    return members + [("result_name", CFUNCTYPE(c_char_p, Result)), ("get_extension", CFUNCTYPE(c_void_p, c_char_p))]


class Api(Structure):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32)] + _members()


class Info(Structure):
    _fields_ = [("struct_size", c_uint32), ("config_schema", c_uint32), ("status_schema", c_uint32), ("reserved", c_uint32),
                ("id", c_char_p), ("name", c_char_p), ("version", c_char_p), ("build", c_char_p)]


class Handshake(Structure):
    _fields_ = [("struct_size", c_uint32), ("abi_min", c_uint32), ("abi_max", c_uint32), ("abi_chosen", c_uint32),
                ("abi_minor", c_uint32), ("flags", c_uint32), ("info", POINTER(Info)), ("api", POINTER(Api))]


class PluginError(Exception):
    """A call failed: its name, the code and the text of last_error."""


def negotiate(path):
    """The table of the plugin. ctypes never unloads a library, and this one stays mapped anyway (rule 13)."""
    try:
        library = CDLL(path)  # CDLL lets go of the interpreter lock during a call, which callbacks on other threads need
    except OSError as error:
        raise PluginError(f"the plugin does not load: {error}") from None
    try:
        entry = library[ENTRY_SYMBOL]
    except AttributeError:
        raise PluginError(f"not a vms-failover plugin, it has no {ENTRY_SYMBOL}: {path}") from None
    entry.argtypes, entry.restype = [POINTER(Handshake)], Result
    shake = Handshake(struct_size=sizeof(Handshake), abi_min=ABI_MAJOR, abi_max=ABI_MAJOR)
    result = entry(byref(shake))
    print(f"host: ABI {ABI_MAJOR}.{ABI_MINOR}")
    if not shake.info:
        raise PluginError("negotiation: the plugin does not say who it is")
    info = shake.info.contents
    print(f"plugin: {info.name.decode()} {info.version.decode()}, ABI {shake.abi_chosen}.{shake.abi_minor}")
    if result != OK:
        raise PluginError("negotiation: no common ABI major")
    return shake.api.contents


class FailoverHost:
    """An instance of the plugin, and the host's side of it; `with` stops and destroys it."""

    def __init__(self, api, config_path, directory):
        self.api, self.plugin, self.now_ns, self.begun = api, Handle(), SECOND, None
        # Kept here: ctypes frees the machine code of a callback with its object, and the plugin calls until `release`.
        self.table = Host(struct_size=sizeof(Host), flags=HOST_DRIVES, name=b"failover_host.py", version=b"1",
                          log=Host.Log(self.on_log), event=Host.OnEvent(self.on_event), begin=Host.Begin(self.on_begin),
                          wake=Host.Wake(lambda ctx, next_ns: None),  # `run` polls after every call anyway
                          release=Host.Release(lambda ctx: print("released")))
        with open(config_path, encoding="utf-8") as file:
            options = {"schema": 1, "state_directory": os.path.join(directory, "state"), "config": json.load(file)}
        text, error = json.dumps(options).encode(), create_string_buffer(64 * 1024)
        result = api.create(byref(self.table), text, len(text), byref(self.plugin), error, len(error))
        if result != OK:
            raise PluginError(f"create: {api.result_name(result).decode()}: {error.value.decode()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        while self.api.stop(self.plugin, 1000) == ERR_TIMEOUT:
            pass
        self.check("destroy", self.api.destroy(self.plugin))

    # An exception that leaves a callback is printed by ctypes and goes no further.
    def on_log(self, _ctx, level, target, text, length):
        print(f"log {level} {target.decode()}: {string_at(text, length).decode()}", file=sys.stderr)

    def on_event(self, _ctx, event):
        print("event", string_at(event.contents.json, event.contents.json_len).decode())
        if event.contents.kind == EVENT_OPERATION_OVER:
            self.begun = None  # a real host stops and undoes it

    def on_begin(self, _ctx, operation):  # copies what it needs, works elsewhere, answers later
        request = string_at(operation.contents.json, operation.contents.json_len).decode()
        print("begin", request)  # never the secret: the credentials given, or the token of the server
        self.begun = operation.contents.id, operation.contents.kind, json.loads(request)

    def check(self, what, result):
        if result == OK:
            return
        text, length = create_string_buffer(4097), c_size_t()
        self.api.last_error(self.plugin, None, text, len(text), byref(length))
        raise PluginError(f"{what}: {self.api.result_name(result).decode()}: {text.value.decode()}")

    def call(self, what, *arguments, seconds=1):
        """Makes a call; then time passes."""
        self.check(what, getattr(self.api, what)(self.plugin, *arguments))
        self.run(seconds)

    def notify(self, server, kind, seconds=1):
        self.call("notify", server, kind, self.now_ns, seconds=seconds)

    def run(self, seconds):
        """Answers what was begun, else moves the clock to the next work."""
        end, next_ns = self.now_ns + seconds * SECOND, c_uint64(0)
        while next_ns.value <= end:
            utc_ms = 1_767_225_600_000 + self.now_ns // 1_000_000
            self.check("poll", self.api.poll(self.plugin, self.now_ns, utc_ms, byref(next_ns)))
            if self.begun:
                self.perform(*self.begun)
                next_ns.value = 0
            elif self.now_ns < next_ns.value <= end:
                self.now_ns = next_ns.value
        self.now_ns = end

    def perform(self, op_id, kind, request):  # a real host logs in, takes over and restores on threads of its own
        self.begun = None
        outcome, why = OUTCOME_OK if kind <= OP_JOIN_CLUSTER else OUTCOME_UNSUPPORTED, b""
        token = b"session 1" if kind == OP_AUTHORIZE else b""  # comes with every later operation on the server
        try:
            if kind == OP_BACKUP:
                write_archive(request["file"])
        except OSError as error:
            outcome, why = OUTCOME_FAILED, json.dumps({"error": f"the archive cannot be written: {error}"}).encode()
        self.check("complete", self.api.complete(self.plugin, op_id, outcome, why, len(why), token, len(token)))


def write_archive(path):
    with open(path, "wb") as file:  # on disk before the host says that it is
        file.write(b"settings")
        file.flush()
        os.fsync(file.fileno())


def story(library_path, config_path, directory):
    with FailoverHost(negotiate(library_path), config_path, directory) as host:
        os.mkdir(os.path.join(directory, "b"))  # the plugin does not: what is missing may be a mount
        places = {"backup_directory": os.path.join(directory, "b"), "store_path": os.path.join(directory, "v")}
        edit = json.dumps({"set": places}).encode()
        host.check("edit", host.api.edit(host.plugin, edit, len(edit), 0, None, 0, None))
        host.check("start", host.api.start(host.plugin))
        server = Handle()  # the first of the configuration
        host.check("next_server", host.api.next_server(host.plugin, 0, byref(server)))
        # Once for all: it is kept in the state directory. The plugin wipes its copies of the password, the host its own.
        password, place = create_string_buffer(b"admin:1234", 10), b'{"host":"management.example"}'
        host.call("join_cluster", place, len(place), password, len(password), None)
        host.call("authorize", server, None, 0, password, len(password), None)
        memset(password, 0, len(password))  # a real host never has it as str or bytes, which cannot be wiped
        host.call("backup", server, None, 0, None)
        host.call("cluster", 1, None, 0)  # at every start, and when it changes
        host.notify(server, CONNECTED)
        host.notify(server, STARTUP)
        for _ in range(3):
            host.notify(server, KEEP_ALIVE, seconds=10)
        host.run(60)  # silence: the server fails and is taken over
        host.notify(server, STARTUP)
        host.notify(server, KEEP_ALIVE)
        host.call("restore", server, None, 0, None)
        host.call("deauthorize", server, None, 0, None)  # when it is watched no longer


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("failed: usage: failover_host.py <plugin library> <configuration file> <absolute scratch directory>")
    try:
        story(*sys.argv[1:])
    except (PluginError, OSError) as problem:
        sys.exit(f"failed: {problem}")
