"""Transactions: what was committed is stored, what was aborted or is open is not."""

import json
import unittest

import checks
import purchases
from cluster import put
from confluent_kafka import Producer
from harness import Case, knob

PARTITIONS = 4


class Transactions(Case):
    def begin(self, name):
        """A transactional producer; one of the same name that is open is fenced off, and its records aborted."""
        producer = Producer({"bootstrap.servers": self.broker.address, "transactional.id": f"{self.topic}-{name}", "log_level": 0,
                             "compression.type": "lz4", "linger.ms": 1, "transaction.timeout.ms": 120_000})
        producer.init_transactions(60)
        return producer

    def some(self, producer, records):
        """So many records, each with a value that names it."""
        for _ in range(records):
            partition, self.made = self.made % PARTITIONS, self.made + 1
            put(producer, self.topic, partition, purchases.value(partition, self.made))
            producer.poll(0)

    def check(self, nodes, wanted):
        """Exactly the committed records, with their values."""
        count = checks.exact(nodes, set(wanted))
        self.assertTrue(count.right, str(count))
        held = {(partition, offset): seq for node in nodes
                for partition, offset, seq in node.sql('SELECT partition, "offset", seq FROM purchases')}
        self.assertEqual(held, {place: json.loads(value)["seq"] for place, value in wanted.items()})
        self.check_views(nodes)
        return count

    def test_transactions(self):
        self.made = 0
        self.cluster.create(self.topic, PARTITIONS)
        node = self.node()
        self.consume(node)
        plain = self.cluster.producer()
        producer = self.begin("a")
        aborted = fenced = 0
        turns = knob("TRANSACTIONS", 40)
        broken = set(self.rng.sample(range(turns), max(1, turns // 20)))
        for turn in range(turns):
            producer.begin_transaction()
            size = self.rng.choice([1, 3, 50, 400])
            self.some(producer, size)
            # Records outside of transactions lie between.
            self.some(plain, 5)
            end = self.rng.random()
            if end < 0.3:
                producer.flush()
                producer.abort_transaction(60)
                aborted += size
            elif end < 0.4:
                # A second producer of the same name takes over, as after a crash.
                producer.flush()
                producer = self.begin("a")
                fenced += size
            else:
                if turn in broken:
                    # Its retries are told apart by the broker.
                    self.broker.kill()
                    self.broker.start()
                producer.commit_transaction(60)
            if turn % 20 == 10:
                node.kill()
                node.start()
        plain.flush()
        wanted = self.cluster.committed(self.topic)
        ends = self.cluster.ends(self.topic)
        self.assertLess(len(wanted), sum(ends.values()) - aborted - fenced, "there were no markers, so nothing was proved")
        self.settle([node], len(wanted))
        count = self.check([node], wanted)
        self.say(f"{count}; {aborted} aborted, {fenced} of a fenced producer, seed {self.seed}")

    def test_open_transaction(self):
        """Records of an open transaction, and those behind them, wait for its end; the lag then says so, or not: no row must show."""
        self.made = 0
        self.cluster.create(self.topic, PARTITIONS)
        node = self.node()
        self.consume(node)
        plain = self.cluster.producer()
        self.some(plain, 100)
        plain.flush()
        self.settle([node], 100)
        first, second = self.begin("first"), self.begin("second")
        for producer in (first, second):
            producer.begin_transaction()
            self.some(producer, 40)
            producer.flush()
        self.some(plain, 40)
        plain.flush()
        # A record of another topic that comes later is an event to wait for: what would show has shown by then.
        other = f"{self.topic}-other"
        self.cluster.create(other, 1)
        self.consume(node, "others", topic=other, views=False)
        self.cluster.send(other, [(0, None, purchases.value(0, n)) for n in range(10)])
        self.settle([node], 10, "others")
        self.assertEqual(node.count(), 100)
        first.abort_transaction(60)
        second.commit_transaction(60)
        self.settle([node], 180)
        self.check([node], self.cluster.committed(self.topic))
        self.assertEqual(node.count(), 180)


if __name__ == "__main__":
    unittest.main()
