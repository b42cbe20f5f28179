"""A cluster that wants TLS and a password. Wants a server built with `--features kafka-tls`, and is left out without one."""

import subprocess
import unittest

import checks
import harness
from broker import Broker, free_port
from cluster import Cluster
from harness import Case
from node import Refused
from purchases import fill


class Tls(Case):
    def certificate(self):
        """A certificate for 127.0.0.1 that signs itself: paths of its key with it, and of it alone."""
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        both = self.folder / "both.pem"
        both.write_text(key.read_text() + certificate.read_text())
        return both, certificate

    def secured(self):
        """A broker with a listener for TLS and SASL besides: its address, and what a client must know."""
        both, certificate = self.certificate()
        plain, secure, controller = free_port(), free_port(), free_port()
        login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_reader="let me in";'
        broker = Broker(self.folder / "broker", plain, {
            "listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secure}",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL",
            "ssl.keystore.type": "PEM", "ssl.keystore.location": str(both),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": login,
        })
        self.addCleanup(broker.kill)
        broker.start()
        return broker, f"127.0.0.1:{secure}", {
            "security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "reader",
            "sasl.password": "let me in", "ssl.ca.location": str(certificate),
        }

    def test_sasl_ssl(self):
        broker, secure, settings = self.secured()
        cluster = Cluster(broker.address)
        cluster.create(self.topic, 3)
        ends = fill(broker.address, self.topic, 3, 30_000)
        node = self.node()
        self.consume(node, settings={**harness.QUICK, **settings}, kafka_brokers=secure, group="readers")
        self.await_true(lambda: f"the source says nothing: {node.describe()}", lambda: node.sources())
        if any("ssl support" in str(row["error"]).lower() or "openssl" in str(row["error"]).lower() for row in node.sources()):
            self.skipTest("the server was built without TLS for Kafka")
        self.settle([node], 30_000)
        count = checks.whole([node], ends)
        self.say(str(count))
        self.assertTrue(count.right, str(count))
        # And out again, by a sink.
        options = ", ".join(f"\"kafka.{name}\" = '{value}'" for name, value in settings.items())
        cluster.create("out", 1)
        node.sql(f"CREATE SINK back FROM by_city WITH (kafka_topic = 'out', kafka_brokers = '{secure}', {options})")
        self.await_true("nothing came back", lambda: len(cluster.committed("out")) > 0)
        # A wrong password is told, not swallowed, and the word itself is not shown.
        wrong = {**settings, "sasl.password": "no idea"}
        with self.assertRaises(Refused):
            node.sql("SELECT * FROM refused")
        self.consume(node, stream="refused", views=False, settings={**harness.QUICK, **wrong}, kafka_brokers=secure)
        told = self.await_true("a wrong password is not told", lambda: [
            row for row in node.sources() if row["stream"] == "refused" and "authentication" in str(row["error"]).lower()])
        self.assertNotIn("no idea", str(told))


if __name__ == "__main__":
    unittest.main()
