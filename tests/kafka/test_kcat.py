"""kcat, the command-line client that people use by hand: what it produces is read, and what sinks produce it reads."""

import json
import subprocess
import unittest

from harness import Case


class Kcat(Case):
    def kcat(self, *options, sent=None):
        """What kcat prints."""
        done = subprocess.run(["kcat", "-b", self.broker.address, "-q", *options], input=sent, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_both_ways(self):
        self.cluster.create(self.topic, 1)
        node = self.node()
        node.sql("CREATE STREAM readings (room STRING TAG, degrees DOUBLE, ts TIMESTAMP) "
                 f"WITH ({self.source(include='key, header:trace as trace')})")
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            value = json.dumps({"room": codec, "degrees": 20.5, "ts": "2026-05-01T00:00:00Z"})
            self.kcat("-P", "-t", self.topic, "-K", ":", "-z", codec, "-H", f"trace=t-{codec}", sent=f"key-{codec}:{value}\n")
        # With -Z no value is a tombstone, of which the key is left; and what is no JSON is a dead letter.
        self.kcat("-P", "-t", self.topic, "-K", ":", "-Z", sent="gone:\nbad:{\n")
        self.settle([node], 6, "readings")
        self.assertEqual(node.sql("SELECT key, degrees, trace FROM readings WHERE room IS NULL"), [["gone", None, None]])
        rows = sorted(node.sql("SELECT room, key, trace FROM readings WHERE room IS NOT NULL"))
        codecs = sorted(["none", "gzip", "snappy", "lz4", "zstd"])
        self.assertEqual([tuple(row) for row in rows], [(codec, f"key-{codec}", f"t-{codec}") for codec in codecs])
        self.await_true("the bad record is no dead letter", lambda: node.sql("SELECT COUNT(*) FROM dead_letters") == [[1]])

        out = f"{self.topic}-out"
        node.sql(f"CREATE SINK rooms AS SELECT room, degrees FROM readings WHERE room IS NOT NULL EMIT CHANGES WITH (kafka_topic = '{out}', kafka_brokers = '{self.broker.address}', key = 'room', "
                 "partitions = 2, replicas = 1)")
        self.await_true("the sink lags", lambda: next(
            (row["state"], row["lag"]) == ("running", 0) for row in node.dicts("SHOW SINKS") if row["name"] == "rooms"))
        printed = self.kcat("-C", "-t", out, "-o", "beginning", "-e", "-X", "isolation.level=read_committed", "-f", "%k %s\\n")
        got = {}
        for line in printed.splitlines():
            key, value = line.split(" ", 1)
            got[key] = json.loads(value)["degrees"]
        self.assertEqual(len(printed.splitlines()), 5)
        self.assertEqual(sorted(got.values()), [20.5] * 5)
        self.assertEqual(sorted(json.loads(key)["room"] for key in got), codecs)


if __name__ == "__main__":
    unittest.main()
