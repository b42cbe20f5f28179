"""MQTT: no message that the broker has accepted is lost; without faults none counts twice."""

import socket
import threading
import time

from harness import Case, Failed, Server, await_true


class Mosquitto(Server):
    def command(self):
        config = self.folder / "conf"
        # It gives up root's rights otherwise, and with them its folder.
        config.write_text(f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
                          f"persistence_location {self.folder}/\nmax_queued_messages 0\nmax_inflight_messages 200\n")
        return ["mosquitto", "-c", str(config)]


class Publisher:
    """MQTT 3.1.1, as far as it is needed: publishing at QoS 1, one at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(5)
        self._packet(0x10, b"\0\4MQTT\4\2\0\0\0\4test")
        if self._read() != (0x20, b"\0\0"):
            raise OSError("refused")

    def _packet(self, kind, body):
        length, left = b"", len(body)
        while True:
            left, byte = left >> 7, left & 127
            length += bytes([byte | (128 if left else 0)])
            if not left:
                break
        self.socket.sendall(bytes([kind]) + length + body)

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise OSError("the connection is lost")
            data += more
        return data

    def _read(self):
        kind, length = self._exactly(2)
        return kind, self._exactly(length)

    def publish(self, topic, payload):
        """Returns when the broker has it."""
        name = topic.encode()
        self._packet(0x32, len(name).to_bytes(2, "big") + name + b"\0\1" + payload)
        if self._read() != (0x40, b"\0\1"):
            raise OSError("no acknowledgement")


class Mqtt(Case):
    def setUp(self):
        super().setUp()
        self.broker = self.run_server(Mosquitto(self.folder, "mosquitto"))

    def declared(self):
        node = self.node()
        node.sql("CREATE STREAM s (value STRING) WITH (mqtt_topic = 'house/+', value_format = 'text', "
                 f"mqtt_url = 'mqtt://127.0.0.1:{self.broker.port}')")
        # Until the subscription stands, the broker keeps nothing for us.
        await_true("no subscription", lambda: self.probe(node))
        return node

    def probe(self, node):
        Publisher(self.broker.port).publish("house/0", b"probe")
        return node.count() > 0

    def load(self, accepted, over):
        number = 0
        while not over.is_set():
            try:
                publisher = Publisher(self.broker.port)
                while not over.is_set():
                    number += 1
                    publisher.publish(f"house/{number % 5}", b"m%d" % number)
                    accepted.append(f"m{number}")
            except OSError:
                time.sleep(0.02)

    def under_load(self, acts):
        node = self.declared()
        accepted, over = [], threading.Event()
        thread = threading.Thread(target=self.load, args=(accepted, over), daemon=True)
        thread.start()
        try:
            for _ in range(self.rounds):
                self.await_progress(node)
                time.sleep(self.rng.uniform(0, 0.3))
                self.rng.choice(acts)(node)
        finally:
            over.set()
            thread.join()
        last = accepted[-1]
        await_true(lambda: f"{last} did not come: {node.sources()}",
                   lambda: node.sql(f"SELECT count(*) AS n FROM s WHERE value = '{last}'")[0][0] > 0)
        rows = [r[0] for r in node.sql("SELECT value FROM s") if r[0] != "probe"]
        lost = set(accepted) - set(rows)
        self.assertEqual(sorted(lost)[:5], [], f"{len(lost)} of {len(accepted)} are lost")
        self.say(f"{len(accepted)} messages, {len(rows) - len(set(rows))} rows twice")
        return rows

    def restart(self, node):
        if node.stop() != 0:
            raise Failed("a bad end")
        node.start()

    def test_kills(self):
        def kill(node):
            node.kill()
            node.start()

        def restart_broker(_):
            self.broker.stop()
            self.broker.start()
        self.under_load([kill, restart_broker, self.restart])

    def test_orderly_restarts(self):
        rows = self.under_load([self.restart])
        self.assertEqual(len(rows), len(set(rows)), "rows came twice")
