"""Bounded memory: a full topic, a small write buffer, and readers that do not read, under a limit of the kernel."""

import os
import socket
import struct
import time
import unittest
from pathlib import Path

from harness import Case, knob
from purchases import fill

CGROUP = Path("/sys/fs/cgroup")
MIB = 1 << 20


class Limit:
    """A memory cgroup, of the first or the second version. A process that goes over it is killed by the kernel."""

    def __init__(self, name, bytes_):
        old = (CGROUP / "memory").is_dir()
        self.folder = (CGROUP / "memory" if old else CGROUP) / name
        self.folder.mkdir()
        if old:
            (self.folder / "memory.limit_in_bytes").write_text(str(bytes_))
        else:
            (self.folder / "memory.max").write_text(str(bytes_))

    def enter(self):
        """Run in a child before its program."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        for _ in range(100):
            try:
                return self.folder.rmdir()
            except OSError:
                time.sleep(0.05)  # the kernel still takes the process apart


class Memory(Case):
    def limited(self, bytes_):
        try:
            limit = Limit(f"tidemill-{os.getpid()}-{self.topic}", bytes_)
        except OSError as error:
            self.say(f"no memory cgroup can be had here ({error}); the largest resident set is looked at alone")
            return None
        self.addCleanup(limit.remove)
        return limit

    def subscribe_and_sleep(self, node):
        """A client that subscribes to the view over WebSocket and never reads."""
        link = socket.create_connection(("127.0.0.1", node.port))
        self.addCleanup(link.close)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.sendall(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        text = b'{"action":"subscribe","topics":["view:by_city"]}'
        link.sendall(struct.pack("!BB", 0x81, 0x80 | len(text)) + bytes(4) + text)

    def test_flood(self):
        records, head, room = knob("FLOOD_RECORDS", 3_000_000), 96, 640
        self.cluster.create(self.topic, 8)
        ends = fill(self.broker.address, self.topic, 8, records)
        limit = self.limited(room * MIB)
        env = {"TIDEMILL_HEAD_MIB": str(head), "TIDEMILL_FLUSH_MIB": "32"}
        node = self.node(env=env, enter=limit.enter if limit else None)
        self.consume(node)
        for _ in range(20):
            self.subscribe_and_sleep(node)
        self.settle([node], records)
        peak = node.peak_memory()
        self.check_whole([node], ends)
        self.check_no_letters(node)
        self.say(f"{records:,} records with a write buffer of {head} MiB under a limit of {room} MiB: "
                 f"{peak / MIB:,.0f} MiB resident at most, mapped files among them")
        if limit is None:
            self.assertLess(peak, room * MIB)


if __name__ == "__main__":
    unittest.main()
