"""What the cases share: servers that are killed whatever happens, SQL over HTTP, and waiting for an end."""

import atexit
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path


class Failed(RuntimeError):
    """Something did not come about; the text says what and why."""


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_true(what, holds, seconds=60):
    """Returns the first true answer; fails with `what` when there is none in time."""
    limit, pause = time.monotonic() + seconds, 0.01
    while True:
        answer = holds()
        if answer:
            return answer
        if time.monotonic() > limit:
            raise Failed(f"{what() if callable(what) else what}: not within {seconds} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.3)


class Server:
    """A program that listens on a port that stays across restarts."""

    def __init__(self, folder, name):
        self.name = name
        self.folder = Path(folder) / name
        self.folder.mkdir(parents=True)
        self.log = self.folder / "log"
        self.port = free_port()
        self.child = None

    def command(self):
        """The program and its arguments."""
        raise NotImplementedError

    def ready(self):
        """Whether it serves."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def start(self, wait=True):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        if wait:
            self.await_ready()
        return self

    def await_ready(self):
        def up():
            if self.child.poll() is not None:
                raise Failed(f"{self.name} ended with status {self.child.returncode}: {self.last_words()}")
            return self.ready()
        await_true(lambda: f"{self.name} is not ready: {self.last_words()}", up)

    def kill(self):
        """SIGKILL."""
        if self.child:
            self.child.kill()
            self.child.wait()

    def stop(self):
        """SIGTERM, and waits for its end."""
        self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} did not end 30 s after SIGTERM: {self.last_words()}") from None

    def last_words(self):
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-4:])


class Node(Server):
    """A Tidemill server."""

    def __init__(self, folder, name="tidemill", config=""):
        super().__init__(folder, name)
        self.config = self.folder / "tidemill.toml"
        self.config.write_text(config)

    def command(self):
        return [os.environ["TIDEMILL_BIN"], "serve", "--config", str(self.config), "--data-dir", str(self.folder / "data"),
                "--listen", f"127.0.0.1:{self.port}"]

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "text/plain"} if body else {})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def ready(self):
        try:
            return self._call("GET", "/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def sql(self, text):
        """The rows of the statement."""
        status, body = self._call("POST", "/api/v1/sql", text.encode())
        if status != 200:
            raise Failed(f"{text[:200]}: {status} {body[:400].decode(errors='replace')}")
        return json.loads(body)["rows"]

    def count(self, stream="s"):
        return self.sql(f"SELECT count(*) AS n FROM {stream}")[0][0]

    def sources(self):
        """What SHOW SOURCES says, as text."""
        return str(self.sql("SHOW SOURCES"))


class Case(unittest.TestCase):
    """One case with a folder of its own."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tidemill-sources-"))
        self.seed = int(os.environ.get("SOURCES_SEED") or random.SystemRandom().randrange(1 << 32))
        self.rng = random.Random(self.seed)
        self.rounds = int(os.environ.get("SOURCES_ROUNDS", 8))
        if os.environ.get("SOURCES_KEEP"):
            print(f"kept: {self.folder}")
        else:
            self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_server(self, server):
        """Starts a server that is killed when the case is over, or the run."""
        self.addCleanup(server.kill)
        atexit.register(server.kill)
        return server.start()

    def node(self, config=""):
        return self.run_server(Node(self.folder, config=config))

    def say(self, words):
        print(f"{self.id().rsplit('.', 1)[1]}: {words} (seed {self.seed})", flush=True)

    def await_count(self, node, wanted):
        """Returns when a stream has so many rows; more are left to the check that follows."""
        await_true(lambda: f"{node.count()} of {wanted} rows: {node.sources()}", lambda: node.count() >= wanted, 120)

    def await_progress(self, node):
        before = node.count()
        await_true(lambda: f"no row came: {node.sources()}", lambda: node.count() > before, 60)

    def once(self, node, column, wanted):
        """Every value of a column is there, once."""
        rows = [row[0] for row in node.sql(f'SELECT "{column}" AS v FROM s')]
        counts = {}
        for value in rows:
            counts[value] = counts.get(value, 0) + 1
        lost = [v for v in wanted if v not in counts]
        double = [v for v, times in counts.items() if times > 1]
        strange = set(counts) - set(wanted)
        self.assertEqual((lost[:5], double[:5], sorted(strange)[:5]), ([], [], []), "lost, double, strange")


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
