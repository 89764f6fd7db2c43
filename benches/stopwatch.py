"""What happened and when, on one clock: packets with the kernel's stamps, lines of programs as they are read."""

import os
import select
import socket
import struct
import time

PATIENCE_S = 30.0


class Skipped(Exception):
    """Why there are no figures of a program."""


SO_TIMESTAMPNS = 35
ETH_P_ALL = 3


def now_ns():
    """The clock of the kernel's stamps on packets."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


class Watch:
    """Packets of interfaces, stamped by the kernel, and lines of programs, stamped when they are read."""

    def __init__(self):
        self.poll, self.sources, self.waiting = select.epoll(), {}, []

    def packets(self, interface):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        tap.bind((interface, 0))
        self._add(tap.fileno(), ("packet", tap, b""))

    def lines(self, stream):
        self._add(stream.fileno(), ("line", stream, b""))

    def _add(self, number, source):
        os.set_blocking(number, False)
        self.sources[number] = source
        self.poll.register(number, select.EPOLLIN)

    def next(self, until):
        """The next (ns, 'packet' or 'line', content); None once `until` (of time.monotonic) has passed."""
        while not self.waiting:
            left = until - time.monotonic()
            if left <= 0:
                return None
            for number, _ in self.poll.poll(left):
                self._take(number)
            self.waiting.sort(key=lambda event: event[0])
        return self.waiting.pop(0)

    def _take(self, number):
        stamp = now_ns()
        kind, source, rest = self.sources[number]
        try:
            if kind == "packet":
                while True:
                    frame, extra, _, _ = source.recvmsg(2048, 64)
                    seconds, ns = struct.unpack("qq", extra[0][2])
                    self.waiting.append((seconds * 10**9 + ns, "packet", frame))
            chunk = os.read(number, 65536)
        except BlockingIOError:
            return
        if not chunk:
            self.poll.unregister(number)
        *lines, rest = (rest + chunk).split(b"\n")
        self.sources[number] = (kind, source, rest)
        self.waiting.extend((stamp, "line", line.decode(errors="replace")) for line in lines)

    def until(self, wanted, what, seconds=PATIENCE_S):
        """Waits for an event of which `wanted(ns, kind, content)` gives something, and gives that."""
        end, seen = time.monotonic() + seconds, []
        while event := self.next(end):
            if found := wanted(*event):
                return found
            if event[1] == "line":
                seen.append(event[2])
        raise Skipped(f"no {what} within {seconds:.0f} s; it last said: {' | '.join(seen[-3:]) or 'nothing'}")

    def rest(self, seconds, look=lambda *_: None):
        """Lets time pass, and shows what happens meanwhile."""
        end = time.monotonic() + seconds
        while event := self.next(end):
            look(*event)
