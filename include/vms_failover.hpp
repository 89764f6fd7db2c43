/*
 * vms-failover for C++17: the C ABI of vms_failover.h with owners, exceptions and std::string. Header only.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * vms_failover.h is the reference and its rules hold here word for word. What this header adds:
 *
 *  1. Owners. `vmsf::library` and `vmsf::plugin` are move-only. A plugin keeps its library loaded; its destructor stops
 *     and destroys the instance. Never let that happen inside a callback (VMSF_ERR_REENTRANT, and the instance leaks).
 *  2. Errors are exceptions, `vmsf::error`, with the code and the text of last_error. What is no error is a return
 *     value: `stop` that was not in time, the end of `next_server`, `notify` into a full list.
 *  3. Callbacks are the virtual members of `vmsf::host`. The functions that the plugin calls are noexcept: whatever a
 *     member throws ends in `host::threw`. An operation whose `begin` threw still waits for `complete`.
 *  4. `host` is kept by a shared_ptr until `release`. Threads, states and time are as vms_failover.h says; a member of
 *     `plugin` has the thread class of the table's member of the same name.
 *
 * Every member of the table is here under its own name; `api()` gives the table itself.
 */
#ifndef VMS_FAILOVER_HPP
#define VMS_FAILOVER_HPP

#include "vms_failover.h"

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace vmsf {

/* A failed call. */
class error : public std::runtime_error {
  public:
    error(vmsf_result code, const std::string &text, std::string report = {})
        : std::runtime_error(text), code_(code), report_(std::move(report)) {}

    /* One of VMSF_ERR_... */
    vmsf_result code() const noexcept { return code_; }
    /* Of VMSF_ERR_CONFIG {"faults":[...]}, else "". */
    const std::string &report() const noexcept { return report_; }

  private:
    vmsf_result code_;
    std::string report_;
};

/* Bytes of a secret; borrowed for the call. The owner wipes them afterwards. */
struct secret_view {
    secret_view() noexcept = default;
    secret_view(const std::uint8_t *bytes, std::size_t size) noexcept : data(bytes), length(size) {}
    secret_view(std::string_view text) noexcept
        : data(reinterpret_cast<const std::uint8_t *>(text.data())), length(text.size()) {}
    secret_view(const std::vector<std::uint8_t> &bytes) noexcept : data(bytes.data()), length(bytes.size()) {}

    const std::uint8_t *data = nullptr;
    std::size_t length = 0;
};

/* The log entry of an event; valid until the callback returns. */
inline std::string_view json(const vmsf_event &event) noexcept { return {event.json, event.json_len}; }
/* The request of an operation; valid until the callback returns. */
inline std::string_view json(const vmsf_operation &operation) noexcept { return {operation.json, operation.json_len}; }
/* Credentials or token of an operation; wiped when the callback returns. */
inline secret_view secret(const vmsf_operation &operation) noexcept { return {operation.secret, operation.secret_len}; }

/*
 The extension VMSF_EXT_SECRETS: a host that keeps the tokens itself gives one from `host::secrets`. On the plugin's file
 worker or inside `poll`; MAY block. Whatever throws is VMSF_ERR_INTERNAL to the plugin, so the operation fails.
 */
class secret_store {
  public:
    virtual ~secret_store() = default;
    /* [callback] Keeps the token of a server; returning means that it outlives a power loss. */
    virtual void store(std::string_view server_id, secret_view token) = 0;
    /* [callback] The token of a server, if there is one. The plugin's copy is wiped, and so is the one returned here. */
    virtual std::optional<std::vector<std::uint8_t>> load(std::string_view server_id) = 0;
    /* [callback] Deletes the token of a server; none is as good. */
    virtual void remove(std::string_view server_id) = 0;
};

/* The callbacks of one instance; derive from it. */
class host {
  public:
    /* `flags` is 0 or VMSF_HOST_DRIVES. */
    host(std::string name, std::string version, std::uint32_t flags = 0)
        : name_(std::move(name)), version_(std::move(version)), flags_(flags) {}
    host(const host &) = delete;
    host &operator=(const host &) = delete;
    virtual ~host() = default;

    /* [callback] A line of the diagnostic log. From any thread. */
    virtual void log(std::uint32_t level, std::string_view target, std::string_view text) = 0;
    /* [callback] The lowest level wanted. From any thread. */
    virtual std::uint32_t log_level() { return VMSF_SEVERITY_DEBUG; }
    /* [callback] A log entry, change or alarm. In `seq` order, one at a time with `begin`. */
    virtual void event(const vmsf_event &event) = 0;
    /* [callback] Do this, then call `plugin::complete`, from here or later from any thread. */
    virtual void begin(const vmsf_operation &operation) = 0;
    /* [callback] With VMSF_HOST_DRIVES: call `plugin::poll` at `next_ns`, 0 = now. MUST only signal and call nothing. */
    virtual void wake(std::uint64_t next_ns) { static_cast<void>(next_ns); }
    /* [callback] The last call. */
    virtual void release() {}
    /* [callback] An own place for the tokens, or NULL; asked only inside the constructor of `plugin`. Lives as long as
       the host. */
    virtual secret_store *secrets() { return nullptr; }
    /* [callback] Any other extension table of the host, or NULL; asked as `secrets` is. */
    virtual const void *get_extension(const char *id) { return static_cast<void>(id), nullptr; }
    /* [callback] A member, named by `where`, threw; `what` is its text. Here is the place to log it. */
    virtual void threw(const char *where, const char *what) noexcept {
        std::fprintf(stderr, "vms_failover: the host's %s threw: %s\n", where, what);
    }

    const std::string &name() const noexcept { return name_; }
    const std::string &version() const noexcept { return version_; }
    std::uint32_t flags() const noexcept { return flags_; }

  private:
    std::string name_, version_;
    std::uint32_t flags_;
};

/* What the plugin calls. (C and C++ functions are called alike by every compiler for a 64-bit target.) */
namespace detail {

struct context {
    std::shared_ptr<vmsf::host> host;
    secret_store *secrets = nullptr;
};

/* Nothing that `call` throws leaves this. */
template <class R, class Call> R guarded(context &me, const char *where, R otherwise, Call call) noexcept {
    try {
        return call();
    } catch (const std::exception &e) {
        me.host->threw(where, e.what());
    } catch (...) {
        me.host->threw(where, "something that is no std::exception");
    }
    return otherwise;
}

inline context &of(void *ctx) noexcept { return *static_cast<context *>(ctx); }

inline void on_log(void *ctx, std::uint32_t level, const char *target, const char *text, std::size_t len) noexcept {
    guarded(of(ctx), "log", 0, [&] { return of(ctx).host->log(level, target, {text, len}), 0; });
}
inline std::uint32_t on_log_level(void *ctx) noexcept {
    return guarded(of(ctx), "log_level", VMSF_SEVERITY_DEBUG, [&] { return of(ctx).host->log_level(); });
}
inline void on_event(void *ctx, const vmsf_event *event) noexcept {
    guarded(of(ctx), "event", 0, [&] { return of(ctx).host->event(*event), 0; });
}
inline void on_begin(void *ctx, const vmsf_operation *operation) noexcept {
    guarded(of(ctx), "begin", 0, [&] { return of(ctx).host->begin(*operation), 0; });
}
inline void on_wake(void *ctx, std::uint64_t next_ns) noexcept {
    guarded(of(ctx), "wake", 0, [&] { return of(ctx).host->wake(next_ns), 0; });
}
inline void on_release(void *ctx) noexcept {
    const std::unique_ptr<context> me(&of(ctx));
    guarded(*me, "release", 0, [&] { return me->host->release(), 0; });
}

inline vmsf_result on_store(void *ctx, const char *id, std::size_t len, const std::uint8_t *secret,
                            std::size_t secret_len) noexcept {
    return guarded(of(ctx), "secret_store::store", vmsf_result{VMSF_ERR_INTERNAL}, [&] {
        of(ctx).secrets->store({id, len}, {secret, secret_len});
        return vmsf_result{VMSF_OK};
    });
}
inline vmsf_result on_load(void *ctx, const char *id, std::size_t len, std::uint8_t *buf, std::size_t cap,
                           std::size_t *secret_len) noexcept {
    return guarded(of(ctx), "secret_store::load", vmsf_result{VMSF_ERR_INTERNAL}, [&]() -> vmsf_result {
        std::optional<std::vector<std::uint8_t>> token = of(ctx).secrets->load({id, len});
        if (!token) return VMSF_ERR_NOT_FOUND;
        *secret_len = token->size();
        if (token->size() > cap) return VMSF_ERR_TOO_SMALL;
        /* volatile: the compiler would leave out the wiping of what is freed right after it. */
        for (std::size_t i = 0; i < token->size(); i++) {
            volatile std::uint8_t &byte = (*token)[i];
            buf[i] = byte;
            byte = 0;
        }
        return VMSF_OK;
    });
}
inline vmsf_result on_remove(void *ctx, const char *id, std::size_t len) noexcept {
    return guarded(of(ctx), "secret_store::remove", vmsf_result{VMSF_ERR_INTERNAL}, [&] {
        of(ctx).secrets->remove({id, len});
        return vmsf_result{VMSF_OK};
    });
}
inline const vmsf_secrets *secrets_table() noexcept {
    static const vmsf_secrets table = {sizeof(vmsf_secrets), 0, on_store, on_load, on_remove};
    return &table;
}
inline const void *on_get_extension(void *ctx, const char *id) noexcept {
    return guarded(of(ctx), "get_extension", static_cast<const void *>(nullptr), [&]() -> const void * {
        if (std::string_view(id) != VMSF_EXT_SECRETS) return of(ctx).host->get_extension(id);
        of(ctx).secrets = of(ctx).host->secrets();
        return of(ctx).secrets != nullptr ? secrets_table() : nullptr;
    });
}

/* The open library; closed with its last owner. */
inline std::shared_ptr<void> open(const std::filesystem::path &path) {
#ifdef _WIN32
    void *image = reinterpret_cast<void *>(::LoadLibraryW(path.c_str()));
    const std::string why = image != nullptr ? "" : "error " + std::to_string(::GetLastError());
    const auto close = [](void *opened) { ::FreeLibrary(static_cast<HMODULE>(opened)); };
#else
    void *image = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    const char *said = image != nullptr ? "" : ::dlerror();
    const std::string why = said != nullptr ? said : "";
    const auto close = [](void *opened) { ::dlclose(opened); };
#endif
    if (image == nullptr) throw error(VMSF_ERR_IO, "the plugin does not load: " + path.string() + ": " + why);
    return {image, close};
}

inline vmsf_entry_fn entry(void *image, const std::filesystem::path &path) {
#ifdef _WIN32
    const auto symbol = ::GetProcAddress(static_cast<HMODULE>(image), VMSF_ENTRY_SYMBOL);
#else
    void *const symbol = ::dlsym(image, VMSF_ENTRY_SYMBOL);
#endif
    if (symbol == nullptr)
        throw error(VMSF_ERR_NOT_FOUND, "not a vms-failover plugin, it has no " VMSF_ENTRY_SYMBOL ": " + path.string());
    return reinterpret_cast<vmsf_entry_fn>(symbol);
}

} // namespace detail

/* A loaded plugin library, negotiated with. */
class library {
  public:
    /*
     Loads the library and negotiates.
     Errors: VMSF_ERR_IO it does not load, VMSF_ERR_NOT_FOUND it is no plugin, VMSF_ERR_ABI no common major; the text
     names both sides.
     */
    explicit library(const std::filesystem::path &path) : image_(detail::open(path)) {
        negotiate(detail::entry(image_.get(), path));
    }
    library(library &&) noexcept = default;
    library &operator=(library &&) noexcept = default;
    library(const library &) = delete;
    library &operator=(const library &) = delete;

    /* Who the plugin is. */
    const vmsf_info &info() const noexcept { return *shake_.info; }
    /* The major chosen. */
    std::uint32_t abi_major() const noexcept { return shake_.abi_chosen; }
    /* The minor of the plugin, for people. */
    std::uint32_t abi_minor() const noexcept { return shake_.abi_minor; }
    /* The table itself. */
    const vmsf_api &api() const noexcept { return *shake_.api; }
    /* [static] The name of a result code. */
    const char *result_name(vmsf_result code) const noexcept { return shake_.api->result_name(code); }
    /* [static] An extension table of the plugin, or NULL. */
    const void *get_extension(const char *id) const noexcept { return shake_.api->get_extension(id); }

  private:
    friend class plugin;

    void negotiate(vmsf_entry_fn entry) {
        shake_.struct_size = sizeof shake_;
        shake_.abi_min = shake_.abi_max = VMSF_ABI_MAJOR;
        const vmsf_result result = entry(&shake_);
        if (result == VMSF_OK) return;
        std::string text = "no common ABI: the host speaks " + std::to_string(VMSF_ABI_MAJOR);
        if (shake_.info != nullptr) text += std::string(", the plugin is ") + shake_.info->name + " " + shake_.info->version;
        throw error(result, text);
    }

    std::shared_ptr<void> image_;
    vmsf_handshake shake_{};
};

/* An instance of the plugin. `json` of a call may be left out: {}. A request id is what everything that follows carries. */
class plugin {
  public:
    /*
     [control] Creates an instance in state stopped.
     Errors: those of `create`; `error::report` has the faults of a configuration.
     */
    plugin(const library &library, std::shared_ptr<host> host, std::string_view options_json)
        : image_(library.image_), api_(&library.api()) {
        auto context = std::make_unique<detail::context>();
        context->host = std::move(host);
        vmsf_host table{};
        table.struct_size = sizeof table;
        table.flags = context->host->flags();
        table.ctx = context.get();
        table.name = context->host->name().c_str();
        table.version = context->host->version().c_str();
        table.log = detail::on_log;
        table.log_level = detail::on_log_level;
        table.event = detail::on_event;
        table.begin = detail::on_begin;
        table.wake = (table.flags & VMSF_HOST_DRIVES) != 0 ? detail::on_wake : nullptr;
        table.release = detail::on_release;
        table.get_extension = detail::on_get_extension;
        std::string text(report_size, '\0');
        const vmsf_result result =
            api_->create(&table, options_json.data(), options_json.size(), &p_, text.data(), text.size());
        text.resize(std::char_traits<char>::length(text.c_str()));
        if (result != VMSF_OK) throw error(result, named(result, text), result == VMSF_ERR_CONFIG ? text : std::string());
        static_cast<void>(context.release()); /* the plugin's until on_release */
    }
    plugin(plugin &&other) noexcept : image_(std::move(other.image_)), api_(other.api_), p_(std::exchange(other.p_, 0)) {}
    plugin &operator=(plugin &&other) noexcept {
        plugin moved(std::move(other)); /* what this one had ends with it */
        std::swap(image_, moved.image_), std::swap(api_, moved.api_), std::swap(p_, moved.p_);
        return *this;
    }
    plugin(const plugin &) = delete;
    plugin &operator=(const plugin &) = delete;
    /* [control] Stops, however long a callback takes, and destroys. */
    ~plugin() {
        if (p_ == 0) return;
        while (api_->stop(p_, 1000) == VMSF_ERR_TIMEOUT) {}
        static_cast<void>(api_->destroy(p_));
    }

    /* The checked handle, for calls through `api()`. */
    vmsf_plugin handle() const noexcept { return p_; }
    /* The table itself. */
    const vmsf_api &api() const noexcept { return *api_; }

    /* [control] Starts monitoring. */
    void start() { check(api_->start(p_)); }
    /* [control] Stops monitoring; false: a callback did not return in time, the stop stays in force, call it again. */
    bool stop(std::chrono::milliseconds timeout) {
        const vmsf_result result = api_->stop(p_, static_cast<std::uint32_t>(timeout.count()));
        return result != VMSF_ERR_TIMEOUT && (check(result), true);
    }
    /* [control] Ends the instance, which must be stopped. The destructor does both; this one says what is wrong. */
    void destroy() {
        check(api_->destroy(p_));
        p_ = 0;
    }
    /* [control] Replaces the configuration; `flags` is 0 or VMSF_DRY_RUN. Gives the report, and an error has it too. */
    std::string configure(std::string_view json, std::uint32_t flags = 0) {
        return reported([&](char *report, std::size_t *len) {
            return api_->configure(p_, json.data(), json.size(), flags, report, report_size, len);
        });
    }
    /* [control] Changes the configuration, all or nothing; as `configure`. */
    std::string edit(std::string_view json, std::uint32_t flags = 0) {
        return reported([&](char *report, std::size_t *len) {
            return api_->edit(p_, json.data(), json.size(), flags, report, report_size, len);
        });
    }

    /* [poll] Moves time, runs the callbacks, and gives the instant of the next work or VMSF_NEVER. */
    std::uint64_t poll(std::uint64_t now_ns, std::int64_t utc_ms) {
        std::uint64_t next = 0;
        return check(api_->poll(p_, now_ns, utc_ms, &next)), next;
    }

    /* [any-thread] Reports an event of a server, 0 = now. False: its list is full, only the newest stamp is kept. */
    bool notify(vmsf_server s, std::uint32_t event_kind, std::uint64_t mono_ns = 0) {
        const vmsf_result result = api_->notify(p_, s, event_kind, mono_ns);
        return result != VMSF_ERR_BUSY && (check(result), true);
    }
    /* [any-thread] The plugin's monotonic clock in ns. */
    std::uint64_t now_ns() const {
        std::uint64_t now = 0;
        return check(api_->now_ns(p_, &now)), now;
    }
    /* [any-thread] A server by its id; none is an error, because 0 means all to `status` and `backup`. */
    vmsf_server server(std::string_view id) const {
        vmsf_server found = 0;
        return check(api_->server(p_, id.data(), id.size(), &found)), found;
    }
    /* [any-thread] The server after `s`, 0 = the first; 0: there is none. */
    vmsf_server next_server(vmsf_server s = 0) const {
        vmsf_server found = 0;
        const vmsf_result result = api_->next_server(p_, s, &found);
        return result == VMSF_ERR_NOT_FOUND ? 0 : (check(result), found);
    }
    /* [any-thread] The id of a server. */
    std::string server_id(vmsf_server s) const {
        return text([&](char *buf, std::size_t cap, std::size_t *len) { return api_->server_id(p_, s, buf, cap, len); });
    }
    /* [any-thread] The configuration in force. */
    std::string config() const {
        return text([&](char *buf, std::size_t cap, std::size_t *len) { return api_->config(p_, buf, cap, len); });
    }
    /* [any-thread] The status of one server, or of all: 0. */
    std::string status(vmsf_server s = 0) const {
        return text([&](char *buf, std::size_t cap, std::size_t *len) { return api_->status(p_, s, buf, cap, len); });
    }
    /* [any-thread] A page of log entries. */
    std::string log(std::uint64_t since_seq, std::uint32_t max_entries) const {
        return text([&](char *buf, std::size_t cap, std::size_t *len) {
            return api_->log(p_, since_seq, max_entries, buf, cap, len);
        });
    }
    /* [any-thread] The text of a settings file with the recordings parameter in it; bytes in whatever encoding. */
    std::string recordings_ini(vmsf_server s, std::string_view ini) const {
        return text([&](char *buf, std::size_t cap, std::size_t *len) {
            return api_->recordings_ini(p_, s, ini.data(), ini.size(), buf, cap, len);
        });
    }
    /* [any-thread] How far an operation is, 0 to 1000. */
    void progress(std::uint64_t op_id, std::uint32_t permille, std::string_view text) {
        check(api_->progress(p_, op_id, permille, text.data(), text.size()));
    }
    /* [any-thread] Code and text of the last error of this instance. */
    std::pair<vmsf_result, std::string> last_error() const {
        vmsf_result code = VMSF_OK;
        std::string said = text([&](char *buf, std::size_t cap, std::size_t *len) {
            return api_->last_error(p_, &code, buf, cap, len);
        });
        return {code, std::move(said)};
    }

    /* [any-thread, disk] Tells whether this failover server has joined the cluster. */
    void cluster(bool joined, std::string_view json = {}) {
        check(api_->cluster(p_, joined ? 1 : 0, json.data(), json.size()));
    }
    /* [any-thread, disk] Joins the cluster through a management server. Gives the request id. */
    std::uint64_t join_cluster(std::string_view json, secret_view credentials = {}) {
        return requested([&](std::uint64_t *req) {
            return api_->join_cluster(p_, json.data(), json.size(), credentials.data, credentials.length, req);
        });
    }
    /* [any-thread, disk] Authorizes this failover server at a server. Gives the request id. */
    std::uint64_t authorize(vmsf_server s, secret_view credentials, std::string_view json = {}) {
        return requested([&](std::uint64_t *req) {
            return api_->authorize(p_, s, json.data(), json.size(), credentials.data, credentials.length, req);
        });
    }
    /* [any-thread, disk] Revokes and deletes the token of a server. Gives the request id. */
    std::uint64_t deauthorize(vmsf_server s, std::string_view json = {}) { return call(api_->deauthorize, s, json); }
    /* [any-thread, disk] Backs up the settings of one server, or of all: 0. Gives the request id. */
    std::uint64_t backup(vmsf_server s, std::string_view json = {}) { return call(api_->backup, s, json); }
    /* [any-thread, disk] Takes a server over by hand. Gives the request id. */
    std::uint64_t takeover(vmsf_server s, std::string_view json = {}) { return call(api_->takeover, s, json); }
    /* [any-thread, disk] Restores a taken over server by hand. Gives the request id. */
    std::uint64_t restore(vmsf_server s, std::string_view json = {}) { return call(api_->restore, s, json); }
    /* [any-thread, disk] Takes a queued server out of the queue. */
    void cancel(vmsf_server s, std::string_view json = {}) { check(api_->cancel(p_, s, json.data(), json.size())); }
    /* [any-thread, disk] Holds the takeover of a server. Not yet: VMSF_ERR_UNSUPPORTED. */
    void maintenance(vmsf_server s, std::string_view json) { check(api_->maintenance(p_, s, json.data(), json.size())); }
    /* [any-thread, disk] Checks a takeover without doing it. Not yet: VMSF_ERR_UNSUPPORTED. */
    std::uint64_t drill(vmsf_server s, std::string_view json = {}) { return call(api_->drill, s, json); }
    /* [any-thread, disk] The answer to `begin`; `token` is what an `authorize` brings. */
    void complete(std::uint64_t op_id, std::uint32_t outcome, std::string_view json = {}, secret_view token = {}) {
        check(api_->complete(p_, op_id, outcome, json.data(), json.size(), token.data, token.length));
    }

    /* [static] The name of a result code. */
    const char *result_name(vmsf_result code) const noexcept { return api_->result_name(code); }
    /* [static] An extension table of the plugin, or NULL. */
    const void *get_extension(const char *id) const noexcept { return api_->get_extension(id); }

  private:
    /* Room for every report (rule 14). */
    static constexpr std::size_t report_size = 64 * 1024 + 1;

    using member = vmsf_result (*)(vmsf_plugin, vmsf_server, const char *, std::size_t, std::uint64_t *);

    std::uint64_t call(member function, vmsf_server s, std::string_view json) {
        return requested([&](std::uint64_t *req) { return function(p_, s, json.data(), json.size(), req); });
    }
    template <class Call> std::uint64_t requested(Call call) {
        std::uint64_t request = 0;
        return check(call(&request)), request;
    }
    template <class Call> std::string reported(Call call) {
        std::string report(report_size, '\0');
        std::size_t len = 0;
        const vmsf_result result = call(report.data(), &len);
        report.resize(std::char_traits<char>::length(report.c_str()));
        return check(result, report), report;
    }
    /* What is read may grow between two calls (a status does), so it is asked again with more room than it needed. */
    template <class Call> std::string text(Call call) const {
        std::string out(1024, '\0');
        std::size_t len = 0;
        for (;;) {
            const vmsf_result result = call(out.data(), out.size(), &len);
            if (result != VMSF_ERR_TOO_SMALL) return check(result), out.resize(len), out;
            out.resize(len + len / 8 + 1);
        }
    }
    std::string named(vmsf_result code, const std::string &text) const {
        return std::string(api_->result_name(code)) + (text.empty() ? "" : ": ") + text;
    }
    void check(vmsf_result result, std::string report = {}) const {
        if (result == VMSF_OK) return;
        /* Some errors set no text (rule 7), and another thread may have set one: only the text of this code is taken. */
        vmsf_result last = VMSF_OK;
        std::string said(4097, '\0');
        std::size_t len = 0;
        const bool is_its = api_->last_error(p_, &last, said.data(), said.size(), &len) == VMSF_OK && last == result;
        said.resize(is_its ? len : 0);
        throw error(result, named(result, said), std::move(report));
    }

    std::shared_ptr<void> image_;
    const vmsf_api *api_;
    vmsf_plugin p_ = 0;
};

} // namespace vmsf

#endif /* VMS_FAILOVER_HPP */
