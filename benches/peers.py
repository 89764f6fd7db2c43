#!/usr/bin/env python3
"""How late other failover programs act, beside the plugin: time past the configured timeout until the action.

Redis Sentinel, keepalived and corosync run from the distribution's packages in name spaces (mounts, network, processes) of
their own, which end with this program, however it ends. How each is measured stands in README.md beside this file.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"error: {sys.argv[0]} needs Python 3.11 or later, this is {sys.version.split()[0]}")

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

# Nothing compiled is left beside it.
sys.dont_write_bytecode = True
from reading import (
    LOST,
    MOVED,
    STANDBY,
    announces_address,
    corosync_event,
    figures_of,
    is_advert,
    is_token,
    keepalived_down_timer_ms,
    plugin_figures,
    redis_message,
    self_test,
    sentinel_event,
)
from stopwatch import PATIENCE_S, Skipped, Watch, now_ns

PACKAGES = "redis-sentinel keepalived corosync iproute2"
ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLES = f"""
examples:
  sudo benches/peers.py                          all, in less than three minutes
  sudo benches/peers.py --runs 200 --json        more samples, as JSON
  sudo benches/peers.py --hogs 4                 beside four busy processes
  benches/peers.py --only plugin                 the plugin alone: needs no rights
  benches/peers.py --self-test                   the readers of logs and packets, on recorded ones

It installs nothing. On Debian: apt-get install --no-install-recommends {PACKAGES}
The plugin is measured by host-sim: cargo build --release -p host-sim

exit status:
  0  every program that was asked for was measured
  1  one was not: its row says why; or the self-test failed
  2  bad command line
"""

# Where all files of the peers are: below a /run that is this program's alone.
HOME = pathlib.Path("/run/peers")
NEAR, FAR = "peer-standby", "peer-lost"
# Where the lost server's programs live; the standby's are where this program is.
NETNS = "lost"


# --- processes ------------------------------------------------------------------------------------------------------------


def program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Skipped(f"no {name}: apt-get install --no-install-recommends {PACKAGES}")
    return path


def said(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skipped(f"{' '.join(command)}: {(done.stdout + done.stderr).strip() or done.returncode}")
    return done.stdout + done.stderr


def version(*command):
    found = re.search(r"\d+\.\d+(\.\d+)?", said(*command))
    return found[0] if found else "?"


def tied(command):
    """The command, which the kernel kills when this program is gone."""
    return (program("setpriv"), "--pdeathsig", "KILL", "--", *command)


@contextlib.contextmanager
def running(*commands):
    """Runs programs side by side; each ends with this, and its whole output is a pipe."""
    started = []
    try:
        for command in commands:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            # Beside a terminal, Ctrl-C is for this program, which ends the others itself. No session of its own: the scheduler
            # would give it a share of its own, beside the hogs.
            started.append(subprocess.Popen(tied(command), process_group=0, **pipes))
        yield started
    finally:
        for process in started:
            for number in reversed(family(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            process.wait()
            process.stdout.close()


def family(number):
    """A process and all that it started."""
    try:
        children = pathlib.Path(f"/proc/{number}/task/{number}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [number] + [each for child in children for each in family(int(child))]


def send(process, what):
    for number in family(process.pid):
        os.kill(number, what)


@contextlib.contextmanager
def silenced(process):
    """It and its children say nothing meanwhile, and do not know it: as when power is lost, but it comes back."""
    send(process, signal.SIGSTOP)
    try:
        yield
    finally:
        send(process, signal.SIGCONT)


def lost(*command):
    """The command, in the lost server's network and with a /run of its own (corosync allows one process for each)."""
    away = HOME / "lost"
    (away / HOME.name).mkdir(parents=True, exist_ok=True)
    mounts = f"mount --bind {HOME} {away}/{HOME.name} && mount --rbind {away} /run"
    return (program("ip"), "netns", "exec", NETNS, "sh", "-c", f'{mounts} && exec "$@"', "sh", *command)


def network():
    """The two servers' network: this one's end, and the lost one's in a name space."""
    ip = program("ip")
    HOME.mkdir(exist_ok=True)
    said(ip, "link", "set", "lo", "up")
    said(ip, "netns", "add", NETNS)
    said(ip, "link", "add", NEAR, "type", "veth", "peer", "name", FAR, "netns", NETNS)
    for prefix, name, address in (((), NEAR, STANDBY), (("-n", NETNS), FAR, LOST)):
        said(ip, *prefix, "address", "add", f"{address}/24", "dev", name)
        said(ip, *prefix, "link", "set", name, "up")
    said(ip, "-n", NETNS, "link", "set", "lo", "up")


# --- the peers: each gives (what is configured, {measure: samples in ms}) -------------------------------------------------

DOWN_AFTER_MS = 1000
SERVERS = 10
FIRST_PORT = 7001


class Server:
    """A server that Sentinel watches, and what was heard of it."""

    def __init__(self, process, port):
        self.process, self.port = process, port
        self.pong_ns, self.unanswered_ns, self.stopped = 0, 0, False
        self.next_change, self.fell = 0.0, False

    def hear(self, what, stamp):
        if what == "PONG":
            self.pong_ns, self.unanswered_ns = stamp, 0
        elif not self.unanswered_ns:
            self.unanswered_ns = stamp


def sentinel_commands():
    """A Sentinel with its servers. The one binary is server or Sentinel by its name."""
    binary = os.path.realpath(program("redis-sentinel"))
    server = HOME / "redis-server"
    server.unlink(missing_ok=True)
    server.symlink_to(binary)
    ports = [FIRST_PORT + n for n in range(SERVERS)]
    watched = "".join(
        f"sentinel monitor m{port} 127.0.0.1 {port} 1\nsentinel down-after-milliseconds m{port} {DOWN_AFTER_MS}\n" for port in ports
    )
    settings = HOME / "sentinel.conf"
    settings.write_text(f"port 26379\nbind 127.0.0.1\ndir {HOME}\n{watched}")
    quiet = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", str(HOME))
    yield from ((str(server), "--port", str(port), *quiet) for port in ports)
    yield (program("redis-sentinel"), str(settings))


def sentinel(runs, progress):
    samples = {"own timer": [], "last heartbeat": []}
    with running(*sentinel_commands()) as processes:
        watch = Watch()
        watch.packets("lo")
        watch.lines(processes[-1].stdout)
        servers = {FIRST_PORT + n: Server(process, FIRST_PORT + n) for n, process in enumerate(processes[:-1])}
        for server in servers.values():
            server.next_change = time.monotonic() + random.uniform(3, 6)
        while len(samples["own timer"]) < runs:
            watch.rest(0.02, lambda *event: sentinel_look(servers, samples, *event))
            for server in servers.values():
                sentinel_turn(server)
            progress(len(samples["own timer"]))
    return f"down-after-milliseconds {DOWN_AFTER_MS}, quorum 1, {SERVERS} servers", samples


def sentinel_look(servers, samples, stamp, kind, content):
    if kind == "packet":
        message = redis_message(content)
        if message and message[1] in servers:
            servers[message[1]].hear(message[0], stamp)
        return
    event = sentinel_event(content)
    if event is None:
        return
    server = servers[int(event[1][1:])]
    if event[0] == "+odown" and server.stopped and not server.fell:
        for name, began in (("own timer", server.unanswered_ns), ("last heartbeat", server.pong_ns)):
            samples[name].append((stamp - began) / 1e6 - DOWN_AFTER_MS)
        server.fell, server.next_change = True, time.monotonic() + 0.1
    if event[0] == "-sdown" and not server.stopped:
        server.next_change = time.monotonic() + random.uniform(2, 4)


def sentinel_turn(server):
    """Stops a server whose time has come, and lets one go on that fell."""
    now = time.monotonic()
    if server.stopped and now > server.next_change + (0 if server.fell else PATIENCE_S):
        if not server.fell:
            raise Skipped(f"Sentinel did not notice within {PATIENCE_S:.0f} s that a server was silent")
        send(server.process, signal.SIGCONT)
        # It is stopped again some time after Sentinel has said that it is back.
        server.stopped, server.fell, server.next_change = False, False, now + PATIENCE_S
    elif not server.stopped and now > server.next_change:
        send(server.process, signal.SIGSTOP)
        server.stopped, server.next_change = True, now


ADVERT_S = 0.1


def keepalived_settings(name, priority, notify):
    return f"""
global_defs {{
  router_id {name}
  script_user root
  enable_script_security
}}
vrrp_instance peers {{
  state BACKUP
  interface {NEAR if notify else FAR}
  version 3
  virtual_router_id 51
  priority {priority}
  advert_int {ADVERT_S}
  virtual_ipaddress {{
    {MOVED}/24
  }}
  {f'notify_master "{notify}"' if notify else ""}
}}
"""


def keepalived_command(name, priority, notify=""):
    settings = HOME / f"{name}.keepalived"
    settings.write_text(keepalived_settings(name, priority, notify))
    files = [f"--{kind}={HOME}/{name}.{kind}" for kind in ("pid", "vrrp_pid")]
    return (program("keepalived"), "--dont-fork", "--log-console", "--no-syslog", "--vrrp", f"--use-file={settings}", *files)


def keepalived(runs, progress):
    told = HOME / "told"
    told.unlink(missing_ok=True)
    os.mkfifo(told)
    notify = HOME / "notify"
    # The first thing that the script does: its own clock, in µs.
    notify.write_text(f'#!{program("bash")}\necho "told $EPOCHREALTIME" >{told}\n')
    notify.chmod(0o755)
    away = keepalived_command("lost", 200)
    commands = (program("ip"), "netns", "exec", NETNS, *away), keepalived_command("standby", 100, notify)
    samples = {"address moved": [], "notify script": []}
    with open(os.open(told, os.O_RDWR | os.O_NONBLOCK), "rb") as script, running(*commands) as (gone, near):
        watch = Watch()
        watch.packets(NEAR)
        watch.lines(near.stdout)
        watch.lines(script)
        watch.until(lambda _, kind, text: kind == "packet" and is_advert(text), "advert of the lost server")
        watch.rest(2)
        timeout_ms = keepalived_timeout_ms(near)
        while len(samples["address moved"]) < runs:
            keepalived_run(watch, gone, timeout_ms, samples)
            progress(len(samples["address moved"]))
    return f"VRRP 3, advert_int {ADVERT_S} s, priority 100: master-down interval {timeout_ms:.1f} ms", samples


def keepalived_timeout_ms(near):
    """What the standby itself says that its timer is."""
    dump = HOME / "keepalived.data"
    # Its parent would write one of its own into the system's /tmp.
    for number in family(near.pid)[1:]:
        os.kill(number, signal.SIGUSR1)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            timeout_ms = keepalived_down_timer_ms(dump.read_text())
            if timeout_ms:
                return timeout_ms
        time.sleep(0.05)
    raise Skipped("keepalived gave no dump of its data")


def keepalived_run(watch, gone, timeout_ms, samples):
    """Silences the lost server once, and lets it be master again."""
    seen = {}

    def look(stamp, kind, content):
        if kind == "packet" and is_advert(content):
            # What came before it is of the takeover before.
            seen.clear()
            seen["advert"] = stamp
        elif kind == "packet" and announces_address(content):
            seen.setdefault("moved", stamp)
        elif kind == "line" and content.startswith("told "):
            seen["told"] = int(content.split()[1].replace(".", "")) * 1000
        return {"advert", "moved", "told"} <= seen.keys()

    watch.rest(random.uniform(2, 4) * ADVERT_S, look)
    with silenced(gone):
        watch.until(look, "takeover of the address")
    for name, what in (("address moved", "moved"), ("notify script", "told")):
        samples[name].append((seen[what] - seen["advert"]) / 1e6 - timeout_ms)
    watch.until(lambda _, kind, text: kind == "line" and "Entering BACKUP STATE" in text, "return of the lost server")


TOKEN_MS = 300


def corosync_settings(name):
    nodes = "".join(
        f"node {{\n name: {node}\n nodeid: {number}\n ring0_addr: {address}\n}}\n"
        for number, (node, address) in enumerate((("lost", LOST), ("standby", STANDBY)), 1)
    )
    state = HOME / f"{name}.corosync.d"
    state.mkdir(exist_ok=True)
    return f"""
totem {{
  version: 2
  cluster_name: peers
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: {TOKEN_MS}
}}
nodelist {{
{nodes}}}
quorum {{
  provider: corosync_votequorum
  two_node: 1
  wait_for_all: 0
}}
system {{
  state_dir: {state}
}}
logging {{
  to_stderr: yes
  to_logfile: no
  to_syslog: no
  timestamp: off
}}
"""


def corosync_command(name):
    settings = HOME / f"{name}.corosync"
    settings.write_text(corosync_settings(name))
    return (program("corosync"), "-f", "-c", str(settings))


def corosync(runs, progress):
    samples, timers = {"token loss": [], "new membership": []}, set()
    with running(lost(*corosync_command("lost")), corosync_command("standby")) as (gone, near):
        watch = Watch()
        watch.packets(NEAR)
        watch.lines(near.stdout)
        corosync_joined(watch)
        while len(samples["token loss"]) < runs:
            timers.add(corosync_run(watch, gone, samples))
            progress(len(samples["token loss"]))
    (token_ms, consensus_ms), *others = timers
    assert not others, timers
    return f"knet, token {token_ms} ms, consensus {consensus_ms} ms", samples


def corosync_joined(watch):
    """Waits until both are members."""
    both = ("members", 2)
    watch.until(lambda _, kind, text: kind == "line" and corosync_event(text) == both, "membership of both")


def corosync_run(watch, gone, samples):
    """Silences the other member once, and lets it join again; gives the timers that corosync names."""
    heard = {"token": 0}

    def look(stamp, kind, content):
        if kind == "packet" and is_token(content):
            heard["token"] = stamp
        event = corosync_event(content) if kind == "line" else None
        return event and (stamp, event)

    # In a new membership the token goes round at once for a while, later it is held.
    watch.rest(random.uniform(0.6, 0.9), look)
    with silenced(gone):
        lost_ns, (what, token_ms, consensus_ms) = watch.until(look, "loss of the token")
        last = heard["token"]
        formed_ns, _ = watch.until(lambda *event: (found := look(*event)) and found[1] == ("left",) and found, "new membership")
    samples["token loss"].append((lost_ns - last) / 1e6 - token_ms)
    samples["new membership"].append((formed_ns - last) / 1e6 - token_ms - consensus_ms)
    corosync_joined(watch)
    return token_ms, consensus_ms


# --- the plugin, by its own benchmark -------------------------------------------------------------------------------------


def host_sim(path):
    """The program that measures the plugin."""
    targets = [pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")), ROOT / "target"]
    for candidate in [path] if path else [target / "release/host-sim" for target in targets]:
        if candidate.is_file():
            return str(candidate)
    raise Skipped("no host-sim: cargo build --release -p host-sim")


def plugin_rows(args):
    program_path = host_sim(args.host_sim)
    size = [] if args.runs > 300 else ["--quick"]
    command = ("bench", "--only", "detection", "--json", *size)
    # What it leaves when it is killed lies in a folder that goes with this program.
    with tempfile.TemporaryDirectory() as folder, running(("env", f"TMPDIR={folder}", program_path, *command)) as (bench,):
        text = bench.stdout.read().decode(errors="replace")
        # 1: a bound of its own was missed, which does not matter here.
        if bench.wait() not in (0, 1):
            raise Skipped(text.strip())
    figures = plugin_figures(text)
    if figures.keys() != {"median", "p99", "max", "n"}:
        raise Skipped(f"{program_path} gave no such figures: build it anew")
    return [row("plugin", "failure told", version(program_path, "--version"), "keep_alive_s 30 s", figures)]


# --- the table ------------------------------------------------------------------------------------------------------------

# Of each measure: from when to when.
MEASURES = {
    "plugin": {"failure told": ("stamp of the last keep-alive", "the host's callback is entered with the change to failed")},
    "sentinel": {
        "own timer": ("first PING that stays unanswered, on the wire", "+odown in its log"),
        "last heartbeat": ("last PONG, on the wire", "+odown in its log"),
    },
    "keepalived": {
        "address moved": ("last advertisement, on the wire", "gratuitous ARP of the address, on the wire"),
        "notify script": ("last advertisement, on the wire", "the script's first command"),
    },
    "corosync": {
        "token loss": ("last token from the other, on the wire", "loss of the token in its log"),
        "new membership": ("last token from the other, on the wire", "membership without the other in its log"),
    },
}
PROGRAMS = {
    "sentinel": (sentinel, ("redis-sentinel", "--version")),
    "keepalived": (keepalived, ("keepalived", "--version")),
    "corosync": (corosync, ("corosync", "-v")),
}


def row(peer, measure, peer_version, timeout, figures):
    began, ended = MEASURES[peer][measure]
    return {"program": peer, "version": peer_version, "measure": measure, "timeout": timeout, "from": began, "to": ended} | figures


def skipped(peer, why):
    return {"program": peer, "skipped": str(why)}


def table(report):
    """The report for people."""
    machine = report["machine"]
    head = f"time past the configured timeout until the action, in ms; {machine['hogs']} busy processes beside it"
    lines = [head, f"{report['date']}, {machine['cpus']} CPUs ({machine['cpu']}), {machine['kernel']}"]
    if (late := machine.get("log_line_read_late_ms")) is not None:
        reading = f"a log line is read {late['median']:.2f} ms after it was written (p99 {late['p99']:.2f})"
        lines.append(f"{reading}; packets have the kernel's stamps")
    lines += ["", f"{'program':<20} {'measure':<16} {'median':>9} {'p99':>9} {'max':>9} {'n':>6}  timeout"]
    for each in report["rows"]:
        if "skipped" in each:
            lines.append(f"{each['program']:<20} skipped: {each['skipped']}")
            continue
        figures = " ".join(f"{each[key]:>9.2f}" for key in ("median", "p99", "max"))
        name = f"{each['program']} {each['version']}"
        lines.append(f"{name:<20} {each['measure']:<16} {figures} {each['n']:>6}  {each['timeout']}")
    lines.append("")
    for each in report["rows"]:
        if "skipped" not in each:
            lines.append(f"{each['program']}, {each['measure']}: {each['from']} + timeout -> {each['to']}")
    return "\n".join(lines)


def machine(hogs):
    """What the figures depend on."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return {"cpus": os.cpu_count(), "cpu": line.split(":", 1)[1].strip(), "kernel": platform.release(), "hogs": hogs}
    return {"cpus": os.cpu_count(), "cpu": platform.machine(), "kernel": platform.release(), "hogs": hogs}


# --- the run: the plugin here, the others in name spaces of their own -----------------------------------------------------


def shows(peer, runs):
    """Shows on a terminal how far it is."""
    def progress(done):
        if sys.stderr.isatty():
            sys.stderr.write(f"\rmeasuring: {peer} {min(done, runs)}/{runs}\033[K" + ("\r\033[K" if done >= runs else ""))
    return progress


def busy(hogs):
    return running(*[(sys.executable, "-c", "while True: pass")] * hogs)


def reading_delay():
    """How late a line of a program is read here, in ms: what a figure that ends with a log line is too long by."""
    code = "import time\nfor _ in range(200): time.sleep(0.003); print(time.clock_gettime_ns(time.CLOCK_REALTIME), flush=True)"
    late = []
    with running((sys.executable, "-c", code)) as (writer,):
        watch = Watch()
        watch.lines(writer.stdout)
        while len(late) < 200:
            watch.until(lambda stamp, _, text: late.append((stamp - int(text)) / 1e6) or True, "line of a program")
    return figures_of(late)


def inside(args):
    """In the name spaces: measures the others, and gives machine-readable rows."""
    said(program("mount"), "-t", "tmpfs", "tmpfs", "/run")
    HOME.mkdir()
    # keepalived's dump goes there.
    os.environ["TMPDIR"] = str(HOME)
    # So that the one who looks at the clock is not late itself. What it starts is as usual.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(50))
    rows, late, why_no_network = [], None, None
    try:
        network()
    except Skipped as why:
        why_no_network = why
    with busy(args.hogs):
        late = reading_delay()
        for peer in args.only:
            try:
                if why_no_network:
                    raise Skipped(why_no_network)
                rows += peer_rows(peer, args.runs)
            except Skipped as why:
                rows.append(skipped(peer, why))
    print(json.dumps({"rows": rows, "late": late}))


def peer_rows(peer, runs):
    measure, asked = PROGRAMS[peer]
    peer_version = version(program(asked[0]), *asked[1:])
    ahead = lambda: now_ns() - time.monotonic_ns()
    before = ahead()
    timeout, samples = measure(runs, shows(peer, runs))
    if abs(ahead() - before) > 10**6:
        raise Skipped("the system's clock was set meanwhile: run it again")
    return [row(peer, name, peer_version, timeout, figures_of(values[:runs])) for name, values in samples.items()]


def others(args, peers):
    """The rows of programs that need name spaces, and how late their lines are read."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise Skipped("needs root (network and mounts of its own): sudo")
    own = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
    asked = (f"--runs={args.runs}", f"--hogs={args.hogs}", *(f"--only={peer}" for peer in peers))
    command = tied((program("unshare"), *own, sys.executable, __file__, "--inside", *asked))
    # A process group of its own: Ctrl-C is for this one, whose end is the end of all.
    inner = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0)
    try:
        text, _ = inner.communicate(timeout=120 + len(peers) * args.runs * 6)
    except subprocess.TimeoutExpired:
        raise Skipped("it took too long") from None
    finally:
        inner.kill()
        inner.wait()
    if inner.returncode != 0:
        raise Skipped("no name spaces of its own here, or it failed in them: see above")
    told = json.loads(text)
    return told["rows"], told["late"]


def measured(args):
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    report = {"date": date, "machine": machine(args.hogs), "rows": []}
    if "plugin" in args.only:
        shows("plugin", args.runs)(0)
        try:
            with busy(args.hogs):
                report["rows"] += plugin_rows(args)
        except Skipped as why:
            report["rows"].append(skipped("plugin", why))
    peers = [peer for peer in args.only if peer != "plugin"]
    if peers:
        try:
            rows, report["machine"]["log_line_read_late_ms"] = others(args, peers)
            report["rows"] += rows
        except Skipped as why:
            report["rows"] += [skipped(peer, why) for peer in peers]
    return report


def at_least(least):
    def number(text):
        if int(text) < least:
            raise ValueError
        return int(text)
    number.__name__ = f"number of at least {least}"
    return number


def arguments():
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=shape)
    parser.add_argument("--runs", type=at_least(2), default=50, metavar="N", help="samples of each program [default: 50]")
    parser.add_argument("--hogs", type=at_least(0), default=0, metavar="N", help="so many busy processes beside it [default: 0]")
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="this program alone; can be given again")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--host-sim", type=pathlib.Path, metavar="PATH", help="what measures the plugin [default: built]")
    parser.add_argument("--self-test", action="store_true", help="hold the readers of logs and packets against recorded ones")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.only = [peer for peer in MEASURES if not args.only or peer in args.only]
    return args


def main():
    args = arguments()
    if args.self_test:
        return self_test()
    if args.inside:
        inside(args)
        return 0
    # What was started ends first; also where a shell has these ignored, as for what runs in its background.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.default_int_handler)
    report = measured(args)
    print(json.dumps(report, indent=2) if args.json else table(report))
    return 1 if any("skipped" in each for each in report["rows"]) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
