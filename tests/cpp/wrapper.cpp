/* What include/vms_failover.hpp promises beyond the C header, on the built plugin: owners, errors, callbacks that throw,
 * tokens kept by the host, texts of any length. Prints what was shown, one word a line; exits with 1 at the first fault. */
#include "unit.hpp"

#include <cstdlib>
#include <iostream>
#include <map>
#include <type_traits>

static_assert(!std::is_copy_constructible_v<vmsf::library> && !std::is_copy_assignable_v<vmsf::library>);
static_assert(!std::is_copy_constructible_v<vmsf::plugin> && !std::is_copy_assignable_v<vmsf::plugin>);
static_assert(std::is_nothrow_move_constructible_v<vmsf::library> && std::is_nothrow_move_assignable_v<vmsf::library>);
static_assert(std::is_nothrow_move_constructible_v<vmsf::plugin> && std::is_nothrow_move_assignable_v<vmsf::plugin>);
static_assert(noexcept(vmsf::detail::on_event(nullptr, nullptr)) && noexcept(vmsf::detail::on_begin(nullptr, nullptr)));

static void require(bool holds, const std::string &what) {
    if (holds) return;
    std::cerr << "does not hold: " << what << '\n';
    std::exit(1);
}

template <class Call> static vmsf::error error_of(Call call) {
    try {
        call();
    } catch (const vmsf::error &e) {
        return e;
    }
    require(false, "a call that must fail did not");
    std::abort();
}

static constexpr std::uint64_t second = 1'000'000'000;

/* Throws from every callback when told to, and keeps the tokens. */
struct recorder : vmsf::host, vmsf::secret_store {
    recorder() : host("wrapper.cpp", "1", VMSF_HOST_DRIVES) {}
    ~recorder() override { ended = true; }

    void log(std::uint32_t, std::string_view, std::string_view) override { may_throw("log"); }
    std::uint32_t log_level() override { return may_throw("log_level"), VMSF_SEVERITY_DEBUG; }
    void event(const vmsf_event &) override { events++, may_throw("event"); }
    void begin(const vmsf_operation &op) override {
        operation = op.id, begun = vmsf::json(op);
        const vmsf::secret_view given = vmsf::secret(op);
        secret.assign(given.data, given.data + given.length);
        may_throw("begin");
    }
    void wake(std::uint64_t) override { throw 1; /* no std::exception */ }
    void release() override { released = true, may_throw("release"); }
    vmsf::secret_store *secrets() override { return this; }
    void threw(const char *where, const char *what) noexcept override { thrown[where] = what; }

    void store(std::string_view id, vmsf::secret_view token) override {
        if (refuse_tokens) throw std::runtime_error("no room in the vault");
        tokens[std::string(id)].assign(token.data, token.data + token.length);
    }
    std::optional<std::vector<std::uint8_t>> load(std::string_view id) override {
        const auto found = tokens.find(std::string(id));
        return found == tokens.end() ? std::nullopt : std::optional(found->second);
    }
    void remove(std::string_view id) override { tokens.erase(std::string(id)); }

    void may_throw(const char *where) {
        if (throws) throw std::runtime_error(std::string("thrown in ") + where);
    }

    bool throws = false, refuse_tokens = false;
    std::uint64_t operation = 0, events = 0;
    std::string begun;
    std::vector<std::uint8_t> secret;
    std::map<std::string, std::string> thrown;
    std::map<std::string, std::vector<std::uint8_t>> tokens;
    static inline bool ended = false, released = false;
};

static void errors(vmsf::plugin &plugin) {
    const vmsf::error unknown = error_of([&] { plugin.server("nobody"); });
    require(unknown.code() == VMSF_ERR_NOT_FOUND, unknown.what());
    const vmsf::error fault = error_of([&] { plugin.edit(R"({"set":{"restore_stable_s":-1}})"); });
    require(fault.code() == VMSF_ERR_CONFIG && fault.report().find("/restore_stable_s") != std::string::npos, fault.what());
    require(plugin.last_error().first == VMSF_ERR_CONFIG, "last_error has the code of the last call");
    require(std::string(fault.what()).find(plugin.last_error().second) != std::string::npos, "and what() its text");
    const vmsf::error handle = error_of([&] { plugin.status(7); });
    require(std::string(handle.what()) == "VMSF_ERR_HANDLE", "a code that sets no text takes no other's");
    require(error_of([&] { plugin.destroy(); }).code() == VMSF_ERR_STATE, "a running instance cannot be destroyed");
    require(error_of([&] { plugin.drill(1); }).code() != VMSF_OK, "drill");
    std::cout << "errors\n";
}

static void texts(vmsf::plugin &plugin, vmsf_server server) {
    require(plugin.server_id(server) == "recorder-1" && plugin.server("recorder-1") == server, "an id and back");
    require(plugin.next_server(server) == 0, "there is one server");
    std::string more;
    for (const char n : std::string_view("abcdefghijklmnop"))
        more += std::string(more.empty() ? "" : ",") + R"({"id":")" + n + R"(","name":"N","host":"h)" + n + "\"}";
    plugin.edit(R"({"add":[)" + more + "]}");
    for (const std::string &text : {plugin.status(), plugin.config()})
        require(text.size() > 1024 && text.front() == '{' && text.back() == '}', "longer than the first buffer, and whole");
    require(plugin.log(0, 100).find("\"entries\"") != std::string::npos, "a page of the log");
    require(plugin.edit("{}").find("faults") != std::string::npos, "the report of an edit without faults");
    require(std::string(plugin.result_name(VMSF_ERR_IO)) == "VMSF_ERR_IO", "a name");
    require(plugin.get_extension("vmsf.none/1") == nullptr, "no such extension");
    std::cout << "texts\n";
}

/* Nothing that a callback throws stops the plugin, and all of it is told. */
static void exceptions(vmsf::plugin &plugin, recorder &host, vmsf_server server) {
    while (plugin.poll(second, 0) <= second) {} /* until there is nothing to do: only then is there something to wake for */
    host.throws = true;
    plugin.cluster(true);
    plugin.authorize(server, vmsf::secret_view(std::string_view("admin")));
    const std::uint64_t events = host.events;
    plugin.poll(2 * second, 0);
    require(host.events > events && host.operation != 0, "callbacks came");
    for (const char *where : {"log", "log_level", "event", "begin"})
        require(host.thrown[where] == std::string("thrown in ") + where, std::string("was told: ") + where);
    require(host.thrown["wake"] == "something that is no std::exception", "whatever is thrown");
    host.throws = false;
    require(std::string(host.secret.begin(), host.secret.end()) == "admin", "the credentials reached the host");
    plugin.progress(host.operation, 500, "half");
    std::cout << "exceptions\n";
}

static void tokens(vmsf::plugin &plugin, recorder &host, vmsf_server server) {
    plugin.complete(host.operation, VMSF_OUTCOME_OK, {}, vmsf::secret_view(std::string_view("token")));
    for (std::uint64_t now = 3; now < 6; now++) plugin.poll(now * second, 0);
    require(host.tokens.count("recorder-1") == 1 && host.tokens["recorder-1"].size() == 5, "the host keeps the token");
    host.operation = 0;
    plugin.deauthorize(server);
    for (std::uint64_t now = 6; now < 9 && host.operation == 0; now++) plugin.poll(now * second, 0);
    require(std::string(host.secret.begin(), host.secret.end()) == "token", "and gets it with the next operation");
    plugin.complete(host.operation, VMSF_OUTCOME_OK);
    for (std::uint64_t now = 9; now < 12; now++) plugin.poll(now * second, 0);
    require(host.tokens.empty(), "and deletes it");
    host.refuse_tokens = true;
    plugin.authorize(server, vmsf::secret_view(std::string_view("admin")));
    plugin.poll(12 * second, 0);
    plugin.complete(host.operation, VMSF_OUTCOME_OK, {}, vmsf::secret_view(std::string_view("token")));
    for (std::uint64_t now = 13; now < 16; now++) plugin.poll(now * second, 0);
    require(host.thrown["secret_store::store"] == "no room in the vault", "a vault that throws is a failure, and is told");
    require(plugin.status(server).find("\"authorized\":false") != std::string::npos, "of the operation");
    std::cout << "tokens\n";
}

/* The library goes first, the plugin moves twice, and the host lives until release. */
static void owners(const char *path, const std::string &options) {
    std::optional<vmsf::library> library(std::in_place, path);
    require(!version_of(*library).empty(), "a version");
    vmsf::library moved(std::move(*library));
    library.reset();
    auto host = std::make_shared<recorder>();
    const std::weak_ptr<recorder> watched = host;
    vmsf::plugin first(moved, host, options);
    require(error_of([&] { vmsf::plugin(moved, std::make_shared<recorder>(), options); }).code() == VMSF_ERR_BUSY,
            "the state directory is in use");
    require(recorder::ended && !recorder::released, "a host whose instance was not created ends, without release");
    recorder::ended = false;
    { const vmsf::library closed(std::move(moved)); }
    vmsf::plugin second_owner(std::move(first));
    require(first.handle() == 0, "what was moved from is empty");
    second_owner.start();
    const vmsf_server server = second_owner.next_server();
    second_owner.poll(second, 0);
    errors(second_owner);
    texts(second_owner, server);
    exceptions(second_owner, *host, server);
    tokens(second_owner, *host, server);
    require(second_owner.notify(server, VMSF_NOTIFY_CONNECTED), "taken in");
    require(second_owner.now_ns() == 15 * second, "the last poll's time");
    host->throws = true; /* through stop and release, too */
    host.reset();
    require(!watched.expired(), "the plugin keeps the host");
    { const vmsf::plugin last(std::move(second_owner)); }
    require(recorder::released && recorder::ended && watched.expired(), "until release");
    std::cout << "owners\n";
}

int main(int argc, char **argv) try {
    require(argc == 3, "two arguments: the library and a scratch directory");
    const std::string dir = argv[2];
    const std::string config = R"({"schema":1,"backup_directory":")" + dir + R"(/b","store_path":")" + dir +
                               R"(/v","monitored_servers":[{"id":"recorder-1","name":"R","host":"192.0.2.1"}]})";
    owners(argv[1], R"({"schema":1,"state_directory":")" + dir + R"(/state","config":)" + config + "}");
    return 0;
} catch (const std::exception &e) {
    std::cerr << "thrown: " << e.what() << '\n';
    return 1;
}
