"""Tables that follow a compacted topic: the last record of a key wins, one without a value takes the key out."""

import json
import unittest

from harness import Case, knob


class Tables(Case):
    def expect(self, node, wanted, marks):
        """Waits until the last record of each partition has come, and holds the table to the model: {id: (name, plan)}."""
        for mark in marks:
            self.await_true(lambda: f"mark {mark} has not come: {node.describe()}",
                            lambda mark=mark: node.sql(f"SELECT plan FROM users WHERE id = {mark}") == [[wanted[mark][1]]])
        rows = node.sql("SELECT id, name, plan FROM users ORDER BY id")
        self.assertEqual(rows, [[key, *wanted[key]] for key in sorted(wanted)])

    def test_compacted_topic(self):
        """Changes of many keys in random order, with kills between: the table is what a dictionary is."""
        rounds, changes, keys, partitions = knob("ROUNDS", 4), knob("TABLE_CHANGES", 5000), 400, 3
        self.cluster.create(self.topic, partitions, cleanup__policy="compact", segment__ms=100, min__cleanable__dirty__ratio=0.01)
        node = self.node()
        source = self.source(include=None, event_time=None)
        node.sql(f"CREATE TABLE users (id BIGINT PRIMARY KEY, name STRING, plan STRING) WITH ({source})")
        node.sql("CREATE STREAM clicks (user_id BIGINT, ts TIMESTAMP) WITH (event_time = 'ts')")
        node.sql("CREATE STREAM named AS SELECT c.user_id, u.name, c.ts FROM clicks AS c LEFT JOIN users AS u ON c.user_id = u.id")
        wanted, number = {}, 0
        for round_ in range(rounds):
            records = []
            for _ in range(changes):
                number += 1
                key = self.rng.randrange(keys)
                if self.rng.random() < 0.3:
                    wanted.pop(key, None)
                    value = None
                else:
                    wanted[key] = (f"name {number}", self.rng.choice(["free", "pro"]))
                    value = json.dumps({"id": key, "name": wanted[key][0], "plan": wanted[key][1]}).encode()
                records.append((key % partitions, str(key).encode(), value))
            if round_ % 2:
                node.kill()
            # A mark behind the last record of each partition tells when all of them have come.
            marks = range(-partitions, 0)
            for mark in marks:
                wanted[mark] = ("mark", f"plan {round_}")
                value = json.dumps({"id": mark, "name": "mark", "plan": f"plan {round_}"}).encode()
                records.append((mark % partitions, str(mark).encode(), value))
            self.cluster.send(self.topic, records)
            if round_ % 2 == 0:
                node.kill()
            node.start()
            self.expect(node, wanted, marks)
        # Looked up at ingest: what the table says now goes into the row.
        some = self.rng.sample(range(keys), 20)
        node.sql("INSERT INTO clicks (user_id, ts) VALUES " + ", ".join(f"({key}, '2026-01-01T00:00:00Z')" for key in some))
        named = dict(node.sql("SELECT user_id, name FROM named"))
        self.assertEqual(named, {key: wanted.get(key, (None,))[0] for key in some})
        self.check_no_letters(node)
        self.say(f"{number:,} changes in {rounds} rounds, {len(wanted)} keys left, seed {self.seed}")

    def test_keys_that_say_nothing(self):
        """A tombstone whose key does not fit is a dead letter; the partition goes on."""
        self.cluster.create(self.topic, 1)
        node = self.node()
        source = self.source(include=None, event_time=None)
        node.sql(f"CREATE TABLE prices (city STRING, sku BIGINT, price DOUBLE, PRIMARY KEY (city, sku)) WITH ({source})")
        row = {"city": "Oslo", "sku": 1, "price": 1.5}
        key = {"city": "Oslo", "sku": 1}
        other = {**row, "sku": 2}
        self.cluster.send(self.topic, [(0, None, json.dumps(row).encode()), (0, b"Oslo", None), (0, None, None),
                                       (0, None, b'{"city":"Oslo","price":3}'), (0, json.dumps(key).encode(), None),
                                       (0, None, json.dumps(other).encode())])
        self.await_true(lambda: f"the last record has not come: {node.describe()}",
                        lambda: node.sql("SELECT sku, price FROM prices") == [[2, 1.5]])
        letters = node.dicts("SELECT position, reason FROM dead_letters ORDER BY position")
        self.assertEqual([letter["position"] for letter in letters], [f"{self.topic}/0@{offset}" for offset in (1, 2, 3)])
        self.assertIn("JSON object with city, sku", letters[0]["reason"])
        self.assertIn("cannot be NULL", letters[2]["reason"])

    def test_what_a_derived_stream_refuses(self):
        """Records that a derived stream can't be computed from are dead letters with their places; all others are there."""
        self.cluster.create(self.topic, 2)
        node = self.node()
        node.sql(f"CREATE STREAM raw (seq BIGINT, n BIGINT, ts TIMESTAMP) WITH ({self.source()})")
        node.sql("CREATE STREAM shares AS SELECT seq, 100 / n AS share, ts FROM raw")
        records, bad = [], set()
        for number in range(20_000):
            n = 0 if self.rng.random() < 0.002 else 1 + number % 7
            bad |= {number} if n == 0 else set()
            value = json.dumps({"seq": number, "n": n, "ts": "2026-01-01T00:00:00Z"}).encode()
            records.append((number % 2, None, value))
        self.cluster.send(self.topic, records)
        self.settle([node], len(records) - len(bad), stream="raw")
        self.await_true(lambda: f"letters are missing: {node.describe()}", lambda: self.letters(node) >= len(bad))
        for stream in ("raw", "shares"):
            rows = [seq for (seq,) in node.sql(f"SELECT seq FROM {stream} ORDER BY seq")]
            self.assertEqual(rows, [number for number in range(len(records)) if number not in bad])
        found = {position for (position,) in node.sql("SELECT position FROM dead_letters")}
        self.assertEqual(found, {f"{self.topic}/{number % 2}@{number // 2}" for number in bad})
        self.assertEqual(self.letters(node), len(bad))
        self.say(f"{len(records):,} records, {len(bad)} of them refused, seed {self.seed}")

    def letters(self, node):
        names = [name for (name, *_) in node.sql("SHOW STREAMS")]
        return node.count("dead_letters") if "dead_letters" in names else 0


if __name__ == "__main__":
    unittest.main()
