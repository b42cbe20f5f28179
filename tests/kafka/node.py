"""One Tidemill server: started, asked, killed, stopped, frozen."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from broker import REPOSITORY, Failed, die_with_parent, free_port


def binary():
    """The server's binary."""
    return Path(os.environ.get("TIDEMILL_BIN") or REPOSITORY / "target" / "release" / "tidemill")


class Refused(Failed):
    """A statement was answered with an error; `status` is HTTP's."""

    def __init__(self, status, words):
        super().__init__(words)
        self.status = status


class Node:
    """A server with its data folder and a port that stays across restarts."""

    def __init__(self, folder, name="node", env=None, enter=None):
        # `enter` is called in the child before its program.
        self.enter = enter
        self.name = name
        self.folder = Path(folder) / name
        self.log_path = Path(folder) / f"{name}.log"
        self.port = free_port()
        self.env = env or {}
        self.child = None

    @property
    def running(self):
        return self.child is not None and self.child.poll() is None

    def start(self, wait=True):
        """Starts the server and, with `wait`, returns when it is ready."""
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(
                [str(binary()), "serve", "--data-dir", str(self.folder), "--listen", f"127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **self.env}, preexec_fn=self._begin)
        if wait:
            self.await_ready()
        return self

    def _begin(self):
        die_with_parent()
        if self.enter:
            self.enter()

    def await_ready(self, seconds=120):
        """Returns when /ready says so; Failed when the server has ended or takes too long."""
        limit = time.monotonic() + seconds
        while True:
            if self.child.poll() is not None:
                raise Failed(f"{self.name} ended with status {self.child.returncode}: {self.last_words()}")
            try:
                status, _ = self._call("GET", "/ready", timeout=5)
                if status == 200:
                    return
            except OSError:
                pass
            except http.client.HTTPException:
                pass
            if time.monotonic() > limit:
                raise Failed(f"{self.name} was not ready in {seconds} s: {self.last_words()}")
            time.sleep(0.02)

    def kill(self):
        """SIGKILL."""
        if self.child:
            self.child.kill()
            self.child.wait()

    def stop(self, seconds=60):
        """SIGTERM; the server must end with status 0, in time."""
        if not self.running:
            return
        self.child.send_signal(signal.SIGTERM)
        try:
            status = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} did not end {seconds} s after SIGTERM: {self.last_words()}") from None
        if status != 0:
            raise Failed(f"{self.name} ended with status {status} after SIGTERM: {self.last_words()}")

    def freeze(self):
        """SIGSTOP: alive for the machine, dead for its peers."""
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self):
        """SIGCONT."""
        self.child.send_signal(signal.SIGCONT)

    def last_words(self):
        """The log's last lines, for a message."""
        try:
            return " | ".join(self.log_path.read_text(errors="replace").strip().splitlines()[-4:])
        except OSError as error:
            return str(error)

    def _call(self, method, path, body=None, headers=None, timeout=120):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def sql(self, text):
        """The rows of the statement."""
        return self.table(text)["rows"]

    def table(self, text):
        """The whole answer: columns and rows."""
        status, body = self._call("POST", "/api/v1/sql", text.encode(), {"Content-Type": "text/plain"})
        if status != 200:
            raise Refused(status, f"{self.name}: {text[:300]}: {status} {body[:400].decode(errors='replace')}")
        return json.loads(body)

    def dicts(self, text):
        """The rows of the statement as {column: value}."""
        answer = self.table(text)
        names = [column["name"] for column in answer["columns"]]
        return [dict(zip(names, row, strict=True)) for row in answer["rows"]]

    def sources(self):
        """SHOW SOURCES, a dictionary each."""
        return self.dicts("SHOW SOURCES")

    def count(self, stream="purchases", where=""):
        """Rows of a stream."""
        return self.sql(f"SELECT count(*) AS n FROM {stream} {where}")[0][0]

    def describe(self):
        """What the server says of its sources, for a message."""
        try:
            said = [f"{row['partition']} {row['state']} {row['position']}/{row['end']} {row['error'] or ''}".strip()
                    for row in self.sources()]
            return ", ".join(said)[:1500]
        except (Failed, OSError, http.client.HTTPException) as error:
            return str(error)

    def peak_memory(self):
        """Largest resident set so far, in bytes."""
        for line in Path(f"/proc/{self.child.pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0
