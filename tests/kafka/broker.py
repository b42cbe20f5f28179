#!/usr/bin/env python3
"""One Kafka node in KRaft mode: broker and controller in one small process, on a folder of its own.

As a module: `Broker(folder).start()`. As a program, through broker.sh, see there. Wants the jars of
tests/install/kafka.sh and nothing but the standard library; topics and offsets are in cluster.py.
"""

import argparse
import base64
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What the broker logs when it serves: behind recovery, and behind the controller's leave to serve.
READY = b"Kafka Server started"
# Settings of a node that is alone, does not wait where others would, and lets members of a group fail quickly.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A node that was killed waits for its own session to end before it may serve again.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "auto.create.topics.enable": "false",
    "log.retention.ms": "-1",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


class Failed(RuntimeError):
    """Something did not come about; the text says what and why."""


def cache():
    """Where the install scripts put things."""
    return Path(os.environ.get("TIDEMILL_CACHE") or REPOSITORY / ".cache").resolve()


def jars():
    """The class path of Kafka's jars."""
    folder = cache() / "kafka"
    if not (folder / ".artifacts").exists():
        raise Failed(f"no Kafka in {folder}: run tests/install/kafka.sh")
    return f"{folder}/*"


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


_libc = ctypes.CDLL(None)


def die_with_parent():
    """Run in a child before its program: the kernel kills it when its parent is gone, however that ended (PR_SET_PDEATHSIG)."""
    _libc.prctl(1, signal.SIGKILL)


def java(heap, log="warn"):
    """The head of a command that runs a class of Kafka's; `log` is the level of what its libraries say."""
    return ["java", f"-Xmx{heap}", f"-Xms{heap}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
            f"-Dorg.slf4j.simpleLogger.defaultLogLevel={log}", "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
            "-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", jars()]


class Broker:
    """A node: its folder keeps settings, data, log and the process id, so that another program can go on with it."""

    def __init__(self, folder, port=0, settings=None, heap="512m", stays=False):
        # With `stays` the node outlives this program.
        self.stays = stays
        self.folder = Path(folder).resolve()
        self.heap = heap
        self.settings = settings or {}
        self.child = None
        self.port = port

    @property
    def address(self):
        """What clients call `bootstrap.servers`."""
        return f"127.0.0.1:{self.port}"

    @property
    def _pid_file(self):
        return self.folder / "pid"

    @property
    def _log_file(self):
        return self.folder / "broker.log"

    def _configure(self):
        """Writes the settings and formats the data folder, once; a folder that is there keeps its port."""
        properties = self.folder / "server.properties"
        if properties.exists():
            for line in properties.read_text().splitlines():
                if line.startswith("listeners=PLAINTEXT://127.0.0.1:"):
                    self.port = int(line.split(":")[2].split(",")[0])
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        controller = free_port()
        settings = {
            **SETTINGS,
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "log.dirs": str(self.folder / "data"),
            **self.settings,
        }
        draft = properties.with_suffix(".draft")
        draft.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode().replace("-", "a")
        done = subprocess.run([*java("128m"), "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", str(draft)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Failed(f"the broker's folder could not be formatted: {done.stdout.strip()[-500:]}")
        draft.rename(properties)

    def pid(self):
        """The running process, or None."""
        try:
            pid = int(self._pid_file.read_text())
            # A recycled id belongs to another program: look at its command.
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (OSError, ValueError):
            return None
        return pid if str(self.folder).encode() in command and state != "Z" else None

    def start(self, seconds=90, wait=True):
        """Starts the node and, with `wait`, returns when it serves."""
        self._configure()
        if self.pid():
            return self
        begun = self._log_file.stat().st_size if self._log_file.exists() else 0
        with open(self._log_file, "ab") as log:
            self.child = subprocess.Popen([*java(self.heap), "kafka.Kafka", str(self.folder / "server.properties")],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                                          preexec_fn=None if self.stays else die_with_parent)
        self._pid_file.write_text(str(self.child.pid))
        self._begun = begun
        if wait:
            self.await_ready(seconds)
        return self

    def await_ready(self, seconds=90):
        """Returns when the node started last serves; Failed when it ends before, or takes too long."""
        limit = time.monotonic() + seconds
        with open(self._log_file, "rb") as log:
            log.seek(self._begun)
            text = b""
            while READY not in text:
                if self.child.poll() is not None:
                    raise Failed(f"the broker ended with status {self.child.returncode}: {self.last_words()}")
                if time.monotonic() > limit:
                    raise Failed(f"the broker was not ready in {seconds} s: {self.last_words()}")
                more = log.read()
                # The word may lie across two reads.
                text = text[-len(READY):] + more
                if not more:
                    time.sleep(0.02)

    def last_words(self):
        """The log's end, for a message."""
        try:
            return " | ".join(self._log_file.read_text(errors="replace").strip().splitlines()[-4:])
        except OSError as error:
            return str(error)

    def _signal(self, number, seconds):
        """Sends a signal that ends the node and awaits its end; False if none ran."""
        pid = self.pid()
        if not pid:
            return False
        os.kill(pid, number)
        limit = time.monotonic() + seconds
        while self.pid():
            if self.child and self.child.pid == pid and self.child.poll() is not None:
                break
            if time.monotonic() > limit:
                raise Failed(f"the broker did not end {seconds} s after signal {number}")
            time.sleep(0.01)
        if self.child and self.child.pid == pid:
            self.child.wait()
        self._pid_file.unlink(missing_ok=True)
        return True

    def kill(self):
        """SIGKILL, as a crash would."""
        return self._signal(signal.SIGKILL, 20)

    def stop(self, seconds=60):
        """A graceful end; one that takes too long is killed, and Failed tells."""
        try:
            return self._signal(signal.SIGTERM, seconds)
        except Failed:
            self.kill()
            raise

    def restart(self):
        """Stop, then start."""
        self.stop()
        return self.start()


def _topic(broker, words):
    """Runs Kafka's own topic tool on the node."""
    os.execvp("java", [*java("128m"), "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker.address, *words])


def main():
    ask = argparse.ArgumentParser(description="One Kafka node in KRaft mode, on a folder of its own.")
    ask.add_argument("action", choices=["start", "stop", "kill", "restart", "status", "topic"])
    ask.add_argument("--dir", default=str(cache() / "kafka-node"), help="the node's folder")
    ask.add_argument("--port", type=int, default=0, help="port of the first start; 0 picks one, which stays")
    ask.add_argument("--heap", default="512m", help="Java's heap")
    ask.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the first start")
    options, words = ask.parse_known_args()
    if words and options.action != "topic":
        ask.error(f"unknown: {' '.join(words)}")
    broker = Broker(options.dir, options.port, dict(pair.split("=", 1) for pair in options.set), options.heap, stays=True)
    try:
        if options.action == "start":
            broker.start()
        elif options.action == "stop":
            broker.stop()
        elif options.action == "kill":
            broker.kill()
        elif options.action == "restart":
            broker.restart()
        else:
            if not broker.pid():
                sys.exit("the broker is not running")
            broker._configure()
            if options.action == "topic":
                _topic(broker, words)
    except Failed as error:
        sys.exit(str(error))
    if options.action not in ("stop", "kill"):
        print(broker.address)


if __name__ == "__main__":
    main()
