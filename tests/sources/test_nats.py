"""NATS JetStream: each message once, whoever is killed."""

import json
import socket
import threading
import time

from harness import Case, Failed, Server, await_true


class NatsServer(Server):
    def command(self):
        return ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder / "js")]


class Client:
    """NATS' protocol, as far as it is needed: requests, one at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(5)
        self.file = self.socket.makefile("rb")
        self.replies = 0
        self._send(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB inbox.* 1\r\nPING\r\n')
        while self.file.readline() != b"PONG\r\n":
            pass

    def _send(self, data):
        self.socket.sendall(data)

    def publish(self, subject, payload):
        """Without an answer."""
        self._send(f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def request(self, subject, payload=b""):
        self.replies += 1
        inbox = f"inbox.{self.replies}"
        self._send(f"PUB {subject} {inbox} {len(payload)}\r\n".encode() + payload + b"\r\n")
        while True:
            line = self.file.readline()
            if not line:
                raise OSError("the connection is lost")
            words = line.split()
            if words[0] == b"PING":
                self._send(b"PONG\r\n")
            elif words[0] == b"MSG":
                body = self.file.read(int(words[-1]) + 2)[:-2]
                if words[1].decode() == inbox:
                    return json.loads(body)
            elif words[0] == b"HMSG":
                self.file.read(int(words[-1]) + 2)
                raise OSError("no responders")

    def api(self, verb, stream, **what):
        answer = self.request(f"$JS.API.STREAM.{verb}.{stream}", json.dumps(what).encode() if what else b"")
        if "error" in answer:
            raise Failed(str(answer["error"]))
        return answer

    def close(self):
        self.file.close()
        self.socket.close()


class Nats(Case):
    def setUp(self):
        super().setUp()
        self.server = self.run_server(NatsServer(self.folder, "nats"))
        self.make()

    def make(self):
        def try_it():
            try:
                client = Client(self.server.port)
                client.api("CREATE", "ORDERS", name="ORDERS", subjects=["orders.>"], retention="limits", storage="file",
                           max_consumers=-1, max_msgs=-1, max_bytes=-1, max_age=0, num_replicas=1, discard="old")
                client.close()
                return True
            except OSError:
                return False
        await_true("the stream can't be made", try_it)

    def last(self):
        client = Client(self.server.port)
        state = client.api("INFO", "ORDERS")["state"]
        client.close()
        return state["last_seq"]

    def declare(self, node, more=""):
        node.sql("CREATE STREAM s (value STRING) WITH (nats_stream = 'ORDERS', value_format = 'text', include = 'offset', "
                 f"nats_url = 'nats://127.0.0.1:{self.server.port}' {more})")

    def publish(self, count, subject="orders.a"):
        client = Client(self.server.port)
        for n in range(count - 1):
            client.publish(subject, b"%d" % n)
        client.request(subject, b"last")
        client.close()

    def load(self):
        """Publishes until it is told to end. What is there in the end the stream tells: an answer may be lost."""
        over = threading.Event()

        def run():
            while not over.is_set():
                try:
                    self.publish(200)
                except (OSError, ValueError):
                    time.sleep(0.02)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def end():
            over.set()
            thread.join(20)
        self.addCleanup(end)
        return end

    def test_kills(self):
        node = self.node()
        self.declare(node)
        end = self.load()
        for _ in range(self.rounds):
            self.await_progress(node)
            time.sleep(self.rng.uniform(0, 0.5))
            act = self.rng.choice(["kill", "kill nats", "kill both", "stop"])
            if act in ("kill nats", "kill both"):
                self.server.kill()
            if act in ("kill", "kill both"):
                node.kill()
            elif act == "stop":
                self.assertEqual(node.stop(), 0)
            if act in ("kill nats", "kill both"):
                self.server.start()
            if act != "kill nats":
                node.start()
        end()
        last = self.last()
        self.await_count(node, last)
        self.say(f"{last} messages")
        self.once(node, "offset", range(1, last + 1))

    def test_made_anew(self):
        node = self.node()
        self.declare(node)
        self.publish(50)
        self.await_count(node, 50)
        node.kill()
        client = Client(self.server.port)
        client.api("DELETE", "ORDERS")
        client.close()
        self.make()
        self.publish(70)
        node.start()
        await_true(node.sources, lambda: "made anew" in node.sources())
        self.assertEqual(node.count(), 50)

    def test_purged(self):
        node = self.node()
        self.declare(node)
        self.publish(50)
        self.await_count(node, 50)
        node.kill()
        self.publish(10)
        client = Client(self.server.port)
        client.api("PURGE", "ORDERS")
        client.close()
        self.publish(5)
        node.start()
        await_true(node.sources, lambda: "purged" in node.sources())
        self.assertEqual(node.count(), 50)
