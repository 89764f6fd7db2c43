"""What peers.py reads: log lines and packets of the programs, and the figures that come of it; each held against recorded ones."""

import json
import pathlib
import re
import socket
import struct
import sys

LOST, STANDBY, MOVED = "10.77.0.1", "10.77.0.2", "10.77.0.100"


def sentinel_event(line):
    """('+sdown', 'm3') of a line of Sentinel's log about a master; None of others."""
    found = re.search(r"[#*] ([+-][a-z-]+) master (\S+) ", line)
    return found.groups() if found else None


def corosync_event(line):
    """('lost', token_ms, consensus_ms), ('left',) or ('members', how many) of a line of corosync's log; None of others."""
    found = re.search(r"\[TOTEM *\] A processor failed, .*token timed out \((\d+)ms\), waiting (\d+)ms for consensus", line)
    if found:
        return ("lost", int(found[1]), int(found[2]))
    if re.search(r"\[TOTEM *\] A new membership \(\S+\) was formed\. Members left:", line):
        return ("left",)
    found = re.search(r"\[QUORUM\] Members\[(\d+)\]:", line)
    return ("members", int(found[1])) if found else None


def keepalived_down_timer_ms(dump):
    """The master-down interval that keepalived computed, from the dump of its data."""
    found = re.search(r"Master down timer = (\d+) usecs", dump)
    return int(found[1]) / 1e3 if found else None


def ipv4(frame):
    """(protocol, source, destination, payload) of an Ethernet frame; None of other protocols."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00":
        return None
    packet = frame[14 : 14 + struct.unpack_from("!H", frame, 16)[0]]
    return packet[9], socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]), packet[(packet[0] & 15) * 4 :]


def is_advert(frame):
    """Whether it is an advertisement of VRRP from the lost server."""
    packet = ipv4(frame)
    return packet is not None and packet[0] == 112 and packet[1] == LOST and packet[3][0] & 15 == 1


def announces_address(frame):
    """Whether it is a gratuitous ARP of the address that moves."""
    moved = socket.inet_aton(MOVED)
    return frame[12:14] == b"\x08\x06" and len(frame) >= 42 and frame[28:32] == moved == frame[38:42]


def is_token(frame):
    """Whether it is corosync's token from the lost server: data of knet (no heartbeat), and in it a message of totem of type 0."""
    packet = ipv4(frame)
    if packet is None or packet[0] != socket.IPPROTO_UDP or packet[1] != LOST:
        return False
    datagram = packet[3][8:]
    return datagram[:2] == b"\x01\x00" and datagram[14:18] == b"\x70\xc0\x03\x00"


def redis_message(frame):
    """('PING' or 'PONG', port of the server) of a packet between Sentinel and a server; None of others."""
    packet = ipv4(frame)
    if packet is None or packet[0] != socket.IPPROTO_TCP:
        return None
    source, target = struct.unpack_from("!HH", packet[3])
    text = packet[3][(packet[3][12] >> 4) * 4 :]
    if b"\r\n$4\r\nPING\r\n" in text:
        return ("PING", target)
    return ("PONG", source) if text.startswith(b"+PONG\r\n") else None


def plugin_figures(text):
    """{'median', 'p99', 'max', 'n'} in ms, from the rows of the benchmark that are measured idle: the hogs are this program's."""
    figures = {}
    for row in json.loads(text)["rows"]:
        found = re.fullmatch(r"failure told after its deadline, idle, (median|p99|max) ?(?:of (\d+))?", row["what"])
        if found and row["unit"] == "ms":
            figures[found[1]] = row["value"]
            figures |= {"n": int(found[2])} if found[2] else {}
    return figures


def figures_of(samples):
    """Of samples in ms: each is the one below which that part lies."""
    ordered = sorted(samples)
    at = lambda part: round(ordered[int((len(ordered) - 1) * part + 0.5)], 4)
    return {"min": at(0), "median": at(0.5), "p99": at(0.99), "max": at(1), "n": len(ordered)}


def self_test():
    """Holds each reader against what was recorded, and says what differs."""
    lines = (sentinel_event, corosync_event, keepalived_down_timer_ms, plugin_figures)
    readers = {each.__name__: each for each in (*lines, is_advert, announces_address, is_token, redis_message)}
    recorded = json.loads(pathlib.Path(__file__).with_name("recorded.json").read_text())
    faults = [f"{name}: nothing recorded" for name in readers.keys() - {each["reader"] for each in recorded}]
    for each in recorded:
        content = bytes.fromhex(each["frame"]) if "frame" in each else each["text"]
        found = readers[each["reader"]](content)
        found = list(found) if isinstance(found, tuple) else found
        if found != each["gives"]:
            faults.append(f"{each['reader']}({each.get('frame') or each.get('text')!r}) gives {found}, not {each['gives']}")
    if figures_of(range(101)) != {"min": 0, "median": 50, "p99": 99, "max": 100, "n": 101}:
        faults.append(f"figures_of: {figures_of(range(101))}")
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    print(f"{len(recorded)} recorded, {len(faults)} wrong")
    return 1 if faults else 0
