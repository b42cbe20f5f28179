"""Topics that change: more partitions, more topics, records that go, topics made anew; and very many partitions."""

import time
import unittest

import checks
import purchases
from harness import Case, knob
from purchases import fill


def words_of(row):
    """All that a row of SHOW SOURCES says, as one text in small letters."""
    return " ".join(str(value) for value in row.values() if value is not None).lower()


class Topics(Case):
    def alarms(self, node):
        """Rows of SHOW SOURCES about a topic that tell of a partition that stands still for good."""
        return [row for row in node.sources() if self.topic in words_of(row)
                and any(word in words_of(row) for word in ("drop the stream", "is gone"))]

    def test_new_partitions(self):
        self.cluster.create(self.topic, 2)
        node = self.node()
        self.consume(node)
        fill(self.broker.address, self.topic, 2, 20_000)
        self.settle([node], 20_000)
        self.cluster.widen(self.topic, 5)
        ends = fill(self.broker.address, self.topic, 5, 50_000)
        self.settle([node], sum(ends.values()))
        self.check_whole([node], ends)
        # Also those that were added while the server was away.
        node.kill()
        self.cluster.widen(self.topic, 7)
        ends = fill(self.broker.address, self.topic, 7, 70_000)
        node.start()
        self.settle([node], sum(ends.values()))
        self.check_whole([node], ends)

    def test_pause(self):
        """A paused source reads nothing, also of partitions that it gets later, and after a restart."""
        self.cluster.create(self.topic, 2)
        node = self.node()
        self.consume(node)
        fill(self.broker.address, self.topic, 2, 10_000)
        self.settle([node], 10_000)
        node.sql("PAUSE SOURCE purchases")
        self.await_true("it does not say that it is paused", lambda: {row["state"] for row in node.sources()} == {"paused"})
        for partitions, restart in ((4, False), (6, True)):
            self.cluster.widen(self.topic, partitions)
            ends = fill(self.broker.address, self.topic, partitions, partitions * 5000)
            if restart:
                node.kill()
                node.start()
            # Once a partition is known, and where it ends, it would be read.
            known = [str(end) for end in ends.values()]
            self.await_true(lambda: f"the partitions are not known: {node.describe()}",
                            lambda known=known: sorted(str(row["end"]) for row in node.sources()) == sorted(known), 90)
            self.assertEqual({row["state"] for row in node.sources()}, {"paused"})
            self.assertEqual(node.count(), 10_000)
        node.sql("RESUME SOURCE purchases")
        self.settle([node], sum(ends.values()))
        self.check_whole([node], ends)

    def test_pattern(self):
        def names(numbers):
            return [f"{self.topic}.{number}" for number in numbers]

        self.cluster.create_many([*names(range(4)), f"other.{self.topic}.1", self.topic], 2)
        node = self.node()
        self.consume(node, topic=None, views=False, include="topic, partition, offset", kafka_topic=None,
                     kafka_topic_pattern=rf"{self.topic}\..*")
        for name in (*names(range(4)), f"other.{self.topic}.1", self.topic):
            fill(self.broker.address, name, 2, 1000)
        self.settle([node], 4000)
        # Topics that come later belong, too, and so do they after a restart.
        self.cluster.create_many(names(range(4, 6)), 2)
        for name in names(range(4, 6)):
            fill(self.broker.address, name, 2, 1000)
        self.settle([node], 6000)
        node.kill()
        node.start()
        fill(self.broker.address, names([0])[0], 2, 1000)
        self.settle([node], 7000)
        held = node.sql('SELECT topic, partition, COUNT(*) AS n, COUNT(DISTINCT "offset") AS d FROM purchases GROUP BY topic, partition')
        wanted = [[name, partition, 1000 if name == names([0])[0] else 500] for name in names(range(6)) for partition in range(2)]
        self.assertEqual(sorted(held), sorted([*row, row[2]] for row in wanted))

    def test_records_deleted(self):
        """Records that went before they were read: the partition stops and says so, the others go on."""
        self.cluster.create(self.topic, 2)
        node = self.node()
        self.consume(node)
        fill(self.broker.address, self.topic, 2, 2000)
        self.settle([node], 2000)
        self.assertEqual(self.alarms(node), [])
        node.stop()
        fill(self.broker.address, self.topic, 2, 2000)
        self.cluster.delete_records(self.topic, {0: 1500})
        node.start()
        self.await_true(lambda: f"no alarm: {node.describe()}", lambda: self.alarms(node))
        self.settle([node], 3000)
        held = dict(node.sql("SELECT partition, COUNT(*) AS n FROM purchases GROUP BY partition"))
        self.assertEqual(held, {0: 1000, 1: 2000}, "partition 0 must not go on by itself")
        # A restart does not hide it.
        node.kill()
        node.start()
        self.await_true(lambda: f"no alarm after a restart: {node.describe()}", lambda: self.alarms(node))
        self.assertEqual(dict(node.sql("SELECT partition, COUNT(*) AS n FROM purchases GROUP BY partition")), held)

    def recreate(self, running, before, after):
        """A topic that is deleted and made again with so many records; the old ones stay, none of the new is taken for one that follows."""
        self.cluster.create(self.topic, 1)
        node = self.node()
        self.consume(node)
        fill(self.broker.address, self.topic, 1, before)
        self.settle([node], before)
        if not running:
            node.stop()
        self.cluster.delete(self.topic)
        # A topic's name is free again once its log is gone; the broker refuses it until then.
        self.await_true("the name is not free", self.make_again)
        fill(self.broker.address, self.topic, 1, after)
        if not running:
            node.start()
        self.await_true(lambda: f"no alarm: {node.describe()}", lambda: self.alarms(node))
        self.assertEqual(node.count(), before)
        count = checks.whole([node], {0: before})
        self.assertTrue(count.right, str(count))

    def make_again(self):
        try:
            self.cluster.create(self.topic, 1)
        except Exception as error:
            if "exists" in str(error).lower():
                return False
            raise
        return True

    def test_recreated_shorter(self):
        self.recreate(running=False, before=1000, after=300)

    def test_recreated_longer(self):
        """Our position exists in the new topic: only the topic's identity tells."""
        self.recreate(running=False, before=1000, after=3000)

    def test_recreated_while_running(self):
        self.recreate(running=True, before=1000, after=3000)

    def test_many_partitions(self):
        partitions = knob("PARTITIONS", 1000)
        records = partitions * 200
        self.cluster.create(self.topic, partitions)
        node = self.node()
        begun = time.monotonic()
        self.consume(node)
        ends = fill(self.broker.address, self.topic, partitions, records)
        node.kill()
        node.start()
        self.settle([node], records)
        self.say(f"{partitions} partitions, {records:,} records after {time.monotonic() - begun:.1f} s, {node.peak_memory() / 1e6:,.0f} MB")
        self.check_whole([node], ends)
        parts = [row for row in node.sources() if self.topic in words_of(row)]
        self.assertTrue(parts, "SHOW SOURCES does not name the topic")
        ends = fill(self.broker.address, self.topic, partitions, records)
        self.settle([node], 2 * records)
        self.check_whole([node], ends)


if __name__ == "__main__":
    unittest.main()
