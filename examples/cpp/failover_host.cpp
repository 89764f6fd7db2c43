/* A complete host in C++17 with include/vms_failover.hpp: joins the cluster, is authorized at a server and backs it up,
 * takes it over when it falls silent and gives it back. It drives the plugin in virtual time, so that all this takes
 * milliseconds. A real host lets the plugin run its own thread: no VMSF_HOST_DRIVES, no wake, no poll. */
#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include "vms_failover.hpp"

namespace fs = std::filesystem;

struct operation {
    std::uint64_t id;
    std::uint32_t kind; /* VMSF_OP_... */
    std::string file;   /* where a backup is to be written */
};

class failover_host : public vmsf::host {
  public:
    failover_host() : host("failover_host.cpp", "1", VMSF_HOST_DRIVES) {}

    void log(std::uint32_t level, std::string_view target, std::string_view text) override {
        std::cerr << "log " << level << ' ' << target << ": " << text << '\n';
    }
    void event(const vmsf_event &event) override {
        std::cout << "event " << vmsf::json(event) << '\n';
        if (event.kind == VMSF_EVENT_OPERATION_OVER) begun.reset(); /* a real host stops and undoes it */
    }
    void begin(const vmsf_operation &op) override { /* copies what it needs, works elsewhere, answers later */
        std::cout << "begin " << vmsf::json(op) << '\n'; /* never the secret: credentials, or the token of the server */
        begun = operation{op.id, op.kind, text_of(vmsf::json(op), "\"file\":\"")};
    }
    void release() override { std::cout << "released\n"; } /* this object lives until here, whoever else lets go of it */

    std::optional<operation> begun;

  private:
    static std::string text_of(std::string_view json, std::string_view key) { /* a real host has a JSON reader */
        const auto at = json.find(key);
        if (at == json.npos) return {};
        const auto rest = json.substr(at + key.size());
        return std::string(rest.substr(0, rest.find('"')));
    }
};

/* On disk before the host says that it is; a std::ofstream cannot promise that. */
static bool write_archive(const std::string &path) {
    const std::string_view settings = "settings";
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0) return false;
    const bool written = write(file, settings.data(), settings.size()) == static_cast<ssize_t>(settings.size());
    const bool synced = fsync(file) == 0;
    return close(file) == 0 && written && synced;
}

/* The plugin and its virtual clock. */
struct driver {
    vmsf::plugin plugin;
    std::shared_ptr<failover_host> host;
    std::uint64_t now_ns = 1'000'000'000;

    void perform(const operation &op) { /* a real host logs in, revokes, takes over and restores on threads of its own */
        const bool known = op.kind <= VMSF_OP_JOIN_CLUSTER;
        if (op.kind == VMSF_OP_BACKUP && !write_archive(op.file))
            return plugin.complete(op.id, VMSF_OUTCOME_FAILED, R"({"error":"the archive cannot be written"})");
        /* the token comes with every later operation on the server */
        const std::string_view token = op.kind == VMSF_OP_AUTHORIZE ? "session 1" : "";
        plugin.complete(op.id, known ? VMSF_OUTCOME_OK : VMSF_OUTCOME_UNSUPPORTED, {}, token);
    }

    void run(std::uint64_t seconds) { /* answers what was begun, else moves the clock to the next work */
        const std::uint64_t end = now_ns + seconds * 1'000'000'000;
        for (std::uint64_t next = 0; next <= end;) {
            next = plugin.poll(now_ns, 1'767'225'600'000 + static_cast<std::int64_t>(now_ns / 1'000'000));
            if (const auto op = std::exchange(host->begun, std::nullopt)) perform(*op), next = 0;
            else if (next > now_ns && next <= end) now_ns = next;
        }
        now_ns = end;
    }

    void hear(vmsf_server server, std::uint32_t event_kind, std::uint64_t seconds) {
        plugin.notify(server, event_kind, now_ns);
        run(seconds);
    }
};

static driver create(const vmsf::library &library, const char *config_path, const fs::path &directory) {
    std::ifstream file(config_path, std::ios::binary);
    const std::string config{std::istreambuf_iterator<char>(file), {}};
    if (config.empty()) throw std::runtime_error(std::string("cannot read ") + config_path);
    const std::string dir = directory.generic_string(); /* a quote in it would need escaping in JSON */
    auto host = std::make_shared<failover_host>();
    vmsf::plugin plugin(library, host, R"({"schema":1,"state_directory":")" + dir + R"(/state","config":)" + config + "}");
    fs::create_directory(directory / "b"); /* the plugin does not: what is missing may be a mount */
    plugin.edit(R"({"set":{"backup_directory":")" + dir + R"(/b","store_path":")" + dir + R"(/v"}})");
    return {std::move(plugin), std::move(host)};
}

static void prepare(driver &d, vmsf_server server) { /* once for all: it is kept in the state directory */
    std::string password = "admin:1234"; /* from a person; the plugin wipes its copies, the host its own */
    d.plugin.join_cluster(R"({"host":"management.example"})", std::string_view(password)), d.run(1);
    d.plugin.authorize(server, std::string_view(password)), d.run(1);
    std::fill(password.begin(), password.end(), '\0'); /* better with explicit_bzero, which is never left out */
    d.plugin.backup(server), d.run(1);
}

static void story(const char *library_path, const char *config_path, const char *directory) {
    const vmsf::library library(library_path); /* closed once the plugin below is gone, too */
    std::cout << "host: ABI " << VMSF_ABI_MAJOR << '.' << VMSF_ABI_MINOR << '\n';
    std::cout << "plugin: " << library.info().name << ' ' << library.info().version << ", ABI " << library.abi_major() << '.'
              << library.abi_minor() << '\n';
    driver d = create(library, config_path, directory);
    d.plugin.start();
    const vmsf_server server = d.plugin.next_server(); /* the first of the configuration */
    prepare(d, server);
    d.plugin.cluster(true), d.run(1); /* at every start, and when it changes */
    d.hear(server, VMSF_NOTIFY_CONNECTED, 1);
    d.hear(server, VMSF_NOTIFY_STARTUP, 1);
    for (int i = 0; i < 3; i++) d.hear(server, VMSF_NOTIFY_KEEP_ALIVE, 10);
    d.run(60); /* silence: the server fails and is taken over */
    d.hear(server, VMSF_NOTIFY_STARTUP, 1);
    d.hear(server, VMSF_NOTIFY_KEEP_ALIVE, 1);
    d.plugin.restore(server), d.run(1);
    d.plugin.deauthorize(server), d.run(1); /* when it is watched no longer */
    if (!d.plugin.stop(std::chrono::seconds(1))) throw std::runtime_error("a callback has not returned");
} /* the plugin is destroyed here, which calls release */

int main(int argc, char **argv) try {
    if (argc != 4) throw std::runtime_error("usage: failover_host <plugin library> <configuration> <absolute scratch directory>");
    story(argv[1], argv[2], argv[3]);
    return 0;
} catch (const std::exception &e) {
    std::cerr << "failed: " << e.what() << '\n';
    return 1;
}
