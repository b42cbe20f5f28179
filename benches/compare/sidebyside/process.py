"""Child processes: started with a log, awaited until ready, always stopped."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """A server or a client did not do what was asked; the text says which and why."""


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One running server and its log file."""

    def __init__(self, name, command, log_path, env=None):
        self.name = name
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

    def await_ready(self, probe, seconds=60):
        """Calls `probe` until it returns without an error; raises Failed when the child dies first."""
        limit = time.monotonic() + seconds
        while True:
            if self.child.poll() is not None:
                raise Failed(f"{self.name} ended with status {self.child.returncode}: {self.last_words()}")
            try:
                return probe()
            except (OSError, http.client.HTTPException, Failed) as error:
                if time.monotonic() > limit:
                    raise Failed(f"{self.name} was not ready in {seconds} s: {error}") from error
                time.sleep(0.05)

    def last_words(self):
        """The log's last lines, for a message."""
        try:
            with open(self.log_path, "rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - 2000))
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError as error:
            return str(error)
        return " | ".join(lines[-4:])

    def cpu_seconds(self):
        """Processor time used so far, user and system."""
        with open(f"/proc/{self.child.pid}/stat", "rb") as stat:
            # The command's name, the second field, may hold blanks: count from behind its bracket.
            fields = stat.read().rsplit(b")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_memory(self):
        """Largest resident set so far, in bytes."""
        with open(f"/proc/{self.child.pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0

    def stop(self, seconds=120):
        """SIGTERM, then SIGKILL when it does not end in time. May be called twice."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                raise Failed(f"{self.name} did not end {seconds} s after SIGTERM") from None


# Seconds after which an idle connection is opened anew; servers close theirs after a minute or so.
IDLE = 20


class Http:
    """One keep-alive connection to one server."""

    def __init__(self, port, timeout=600):
        self.port = port
        self.timeout = timeout
        self.connection = None
        self.last_used = 0.0

    def call(self, method, path, body=None, headers=None):
        """(status, headers, body); a connection that the server closed meanwhile raises."""
        if time.monotonic() > self.last_used + IDLE:
            self.close()
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.connection.request(method, path, body=body, headers=headers or {})
            reply = self.connection.getresponse()
            answer = reply.status, reply.headers, reply.read()
            self.last_used = time.monotonic()
            return answer
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def expect(self, method, path, body=None, headers=None):
        """The body of a 2xx reply; anything else raises Failed with the server's words."""
        status, _, reply = self.call(method, path, body, headers)
        if status // 100 != 2:
            raise Failed(f"{method} {path.split('?')[0]}: {status} {reply[:300].decode(errors='replace')}")
        return reply

    def download(self, path, target, headers=None):
        """Streams the body of a GET into the file `target`, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        try:
            connection.request("GET", path, headers=headers or {})
            reply = connection.getresponse()
            if reply.status != 200:
                raise Failed(f"GET {path.split('?')[0]}: {reply.status} {reply.read(300).decode(errors='replace')}")
            with open(target, "wb") as file:
                shutil.copyfileobj(reply, file, 1 << 20)
        finally:
            connection.close()

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
