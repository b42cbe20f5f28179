"""Sinks: what a read_committed reader of their topics is given, while server and broker are killed.

The topic of a view, folded by key, is the view; the topic of a stream has every row once, in the order of the log.
"""

import http.client
import json
import threading
import time
import unittest
from collections import Counter

import checks
from cluster import PATIENCE, QUIET, retry
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from harness import Case, Failed, knob


def read_all(cluster, topic):
    """[(partition, offset, key, value)] of all that a read_committed reader is given, each partition in order."""
    ends, starts = cluster.ends(topic), cluster.starts(topic)
    consumer = Consumer({**QUIET, "bootstrap.servers": cluster.address, "group.id": f"check-{topic}", "enable.auto.commit": False,
                         "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "error"})
    found, behind = [], {partition for partition, end in ends.items() if end > starts[partition]}
    try:
        consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])
        limit = time.monotonic() + PATIENCE
        while behind:
            if time.monotonic() > limit:
                raise Failed(f"a reader of {topic} did not come to the end of {sorted(behind)}: a transaction is open")
            for message in consumer.consume(1000, 0.5):
                if message.error() is None:
                    found.append((message.partition(), message.offset(), message.key(), message.value()))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    behind.discard(message.partition())
                else:
                    raise KafkaException(message.error())
    finally:
        consumer.close()
    return found


def fold(records):
    """{key: row} after all records; what has one key lies in one partition."""
    rows = {}
    for _, _, key, value in sorted(records, key=lambda record: record[:2]):
        name = json.dumps(json.loads(key), sort_keys=True)
        if value is None:
            rows.pop(name, None)
        else:
            rows[name] = json.loads(value)
    return rows


class Sinks(Case):
    def sink(self, node, name, of, topic, **options):
        """Makes a sink."""
        given = {"kafka_topic": f"'{topic}'", "kafka_brokers": f"'{self.broker.address}'", **options}
        words = ", ".join(f"{option} = {value}" for option, value in given.items())
        node.sql(f"CREATE SINK {name} FROM {of} WITH ({words})")

    def state(self, node, name):
        """The row of SHOW SINKS."""
        return next(row for row in node.dicts("SHOW SINKS") if row["name"] == name)

    def caught_up(self, node, name, seconds=120):
        """Returns when a sink runs and has sent all there is."""
        def there():
            now = self.state(node, name)
            if now["state"] == "failed":
                raise Failed(f"{name} has failed: {now['error']}")
            return now["state"] == "running" and now["lag"] == 0
        try:
            self.await_true(f"{name} lags", there, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.state(node, name)}") from None

    def same(self, got, wanted, what):
        """Equal, or a short word about how not: millions of rows are no message."""
        if got == wanted:
            return
        if isinstance(got, dict):
            got, wanted = got.items(), wanted.items()
        more, less = Counter(got) - Counter(wanted), Counter(wanted) - Counter(got)
        self.fail(f"{what}: {more.total()} too many, as {list(more)[:3]}; {less.total()} missing, as {list(less)[:3]}")

    def one_round(self, node):
        act = self.rng.choices(["kill", "kill twice", "stop", "kill broker", "kill both"], [45, 15, 10, 20, 10])[0]
        if act == "stop":
            node.stop()
            node.start()
            return act
        if act in ("kill broker", "kill both"):
            self.broker.kill()
        if act != "kill broker":
            node.kill()
        if act == "kill twice":
            node.start(wait=False)
            time.sleep(self.rng.uniform(0, 0.6))
            node.kill()
        if act != "kill broker":
            node.start(wait=act != "kill both")
        if act in ("kill broker", "kill both"):
            # So that the sinks notice.
            time.sleep(self.rng.uniform(0, 2))
            self.broker.start()
            node.await_ready()
        return act

    def test_sinks_under_kills(self):
        out, rows_out, final_out = (f"{self.topic}-{name}" for name in ("view", "stream", "final"))
        self.cluster.create(self.topic, 4)
        self.cluster.create(out, 3)
        node = self.node()
        self.consume(node)
        node.sql(f"CREATE MATERIALIZED VIEW closed AS {checks.VIEW.format('purchases')} EMIT FINAL")
        self.sink(node, "view_out", "by_city", out)
        # Made by the server.
        self.sink(node, "rows_out", "purchases", rows_out, key="'partition, offset'", partitions=2, replicas=1)
        self.sink(node, "final_out", "closed", final_out)
        load = self.load(partitions=4, rate=knob("SINK_RATE", 4000))
        self.await_progress([node])
        acts = {}
        for _ in range(knob("SINK_ROUNDS", 8)):
            time.sleep(self.rng.uniform(0.2, 1.5))
            act = self.one_round(node)
            acts[act] = acts.get(act, 0) + 1
            self.await_progress([node])
        self.await_true("no window closed", lambda: node.sql("SELECT count(*) AS n FROM closed")[0][0] > 0)
        ends = load.finish()
        self.settle([node], sum(ends.values()))
        for name in ("view_out", "rows_out", "final_out"):
            self.caught_up(node, name)
        self.say(f"seed {self.seed}: " + ", ".join(f"{act} {times}" for act, times in sorted(acts.items())))
        self.check_whole([node], ends)
        # The stream: each row once.
        records = read_all(self.cluster, rows_out)
        rows = [json.loads(value) for _, _, _, value in records]
        places = [(row["partition"], row["offset"]) for row in rows]
        lost = sum(ends.values()) - len(set(places))
        double = len(places) - len(set(places))
        self.say(f"stream: {len(places):,} records, {lost} lost, {double} double")
        self.assertEqual((lost, double), (0, 0))
        for (_, _, key, _), row in zip(records, rows, strict=True):
            self.assertEqual(json.loads(key), {"partition": row["partition"], "offset": row["offset"]})
            self.assertEqual(row["seq"], row["offset"])
        # In the order of the log, which has each partition in order; so has each partition of the sink.
        last = {}
        for (target, _, _, _), place in zip(records, places, strict=True):
            before = last.get((target, place[0]), -1)
            self.assertGreater(place[1], before)
            last[target, place[0]] = place[1]
        # The view: folded by key it is what SQL says.
        records = read_all(self.cluster, out)
        folded = fold(records)
        wanted = node.dicts("SELECT * FROM by_city")
        self.say(f"view: {len(records):,} records make {len(folded):,} rows")
        self.same(sorted(map(str, folded.values())), sorted(map(str, wanted)), "rows of the view")
        # Windows that closed: each once, as no row comes late.
        records = read_all(self.cluster, final_out)
        names = [key for _, _, key, _ in records]
        self.say(f"closed windows: {len(names):,}")
        self.assertTrue(names)
        self.assertEqual(len(names), len(set(names)))

    def test_written_rows_under_kills(self):
        """The same without a source: whatever SQL says that there is must be in the topics, once."""
        outs = {name: f"{self.topic}-{name}" for name in ("sums", "rows", "final", "some")}
        self.cluster.create(outs["sums"], 3)
        node = self.node()
        node.sql("CREATE STREAM e (ts TIMESTAMP, k STRING TAG, id BIGINT, v BIGINT) WITH (event_time = 'ts')")
        node.sql("CREATE MATERIALIZED VIEW sums AS SELECT k, COUNT(*) AS n, SUM(v) AS s FROM e GROUP BY k HAVING SUM(v) > 0")
        node.sql("CREATE MATERIALIZED VIEW closed AS SELECT k, COUNT(*) AS n FROM e WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY k EMIT FINAL")
        node.sql("CREATE MATERIALIZED VIEW large AS SELECT id, v FROM e WHERE v > 5")
        self.sink(node, "sums_out", "sums", outs["sums"])
        self.sink(node, "rows_out", "e", outs["rows"], partitions=1, key="id")
        self.sink(node, "final_out", "closed", outs["final"])
        self.sink(node, "some_out", "large", outs["some"])
        done, acknowledged, written = threading.Event(), [], [0]

        def write():
            while not done.is_set():
                first, count = written[0], self.rng.randrange(1, 400)
                written[0] += count
                # A new time each 20 rows, so that windows close all the while.
                rows = ", ".join(f"('2026-01-{1 + n // 1728000:02}T{n // 72000 % 24:02}:{n // 1200 % 60:02}:{n // 20 % 60:02}Z', 'k{n * 7919 % 300}', {n}, {n * 31 % 21 - 10})"
                                 for n in range(first, first + count))
                try:
                    node.sql(f"INSERT INTO e (ts, k, id, v) VALUES {rows}")
                    acknowledged.append(range(first, first + count))
                except (OSError, http.client.HTTPException, Failed):
                    # It may be there or not: SQL will say.
                    time.sleep(0.02)

        writer = threading.Thread(target=write)
        writer.start()
        acts = {}
        try:
            for _ in range(knob("SINK_ROUNDS", 8)):
                time.sleep(self.rng.uniform(0.2, 2.5))
                act = self.one_round(node)
                acts[act] = acts.get(act, 0) + 1
                before = len(acknowledged)
                self.await_true("nothing is written", lambda before=before: len(acknowledged) > before)
        finally:
            done.set()
            writer.join()
        for name in ("sums_out", "rows_out", "final_out", "some_out"):
            self.caught_up(node, name)
        self.say(f"seed {self.seed}: " + ", ".join(f"{act} {times}" for act, times in sorted(acts.items())))
        there = node.dicts("SELECT ts, k, id, v FROM e")
        ids = {row["id"] for row in there}
        self.assertTrue(all(ids.issuperset(some) for some in acknowledged), "an acknowledged row is lost")
        # The stream.
        records = read_all(self.cluster, outs["rows"])
        got = Counter(json.loads(value)["id"] for _, _, _, value in records)
        self.say(f"stream: {len(records):,} records of {len(there):,} rows")
        self.same(got, Counter(row["id"] for row in there), "rows of the stream")
        self.same(sorted(value.decode() for _, _, _, value in records), sorted(json.dumps(row, separators=(",", ":")) for row in there), "rows")
        # A view without state.
        got = Counter(json.loads(value)["id"] for _, _, _, value in read_all(self.cluster, outs["some"]))
        self.same(got, Counter(row["id"] for row in there if row["v"] > 5), "rows of the view without state")
        # A view.
        records = read_all(self.cluster, outs["sums"])
        folded, wanted = fold(records), node.dicts("SELECT * FROM sums")
        self.say(f"view: {len(records):,} records, {sum(value is None for _, _, _, value in records):,} tombstones, {len(wanted):,} rows")
        self.same(sorted(map(str, folded.values())), sorted(map(str, wanted)), "rows of the view")
        # Windows that closed.
        records = read_all(self.cluster, outs["final"])
        got = {key: json.loads(value) for _, _, key, value in records}
        self.say(f"closed windows: {len(records):,}")
        self.assertEqual(len(got), len(records), "a window came twice")
        wanted = {(row["k"], row["window_start"]): row["n"] for row in node.dicts("SELECT k, window_start, n FROM closed")}
        ends = max(row["window_end"] for row in got.values())
        named = {(row["k"], row["window_start"]): row["n"] for row in got.values()}
        self.same(named, {name: n for name, n in wanted.items() if name[1] < ends}, "closed windows")

    def test_dropped_and_made_again(self):
        """A sink of the same name begins anew; a topic that is deleted is made again, with all that the view has."""
        out = f"{self.topic}-out"
        node = self.node()
        node.sql("CREATE STREAM e (ts TIMESTAMP, k STRING TAG, v BIGINT) WITH (event_time = 'ts')")
        node.sql("CREATE MATERIALIZED VIEW sums AS SELECT k, SUM(v) AS s FROM e GROUP BY k")
        node.sql("INSERT INTO e (ts, k, v) VALUES ('2026-01-01', 'a', 1), ('2026-01-01', 'b', 2)")
        self.sink(node, "s", "sums", out, partitions=1)
        self.caught_up(node, "s")
        node.sql("DROP SINK s")
        node.sql("INSERT INTO e (ts, k, v) VALUES ('2026-01-01', 'a', 10)")
        self.sink(node, "s", "sums", out, snapshot="false")
        self.caught_up(node, "s")
        node.sql("INSERT INTO e (ts, k, v) VALUES ('2026-01-01', 'b', 20)")
        self.await_true("the change does not come", lambda: len(read_all(self.cluster, out)) == 3)
        self.assertEqual({name: row["s"] for name, row in fold(read_all(self.cluster, out)).items()},
                         {'{"k": "a"}': 1, '{"k": "b"}': 22})
        node.stop()
        self.cluster.delete(out)
        node.start()
        self.await_true("the topic is not made again", lambda: retry(
            lambda: out in self.cluster.admin.list_topics(timeout=PATIENCE).topics))
        self.caught_up(node, "s")
        self.await_true("rows are missing", lambda: len(fold(read_all(self.cluster, out))) == 2)
        self.assertEqual({name: row["s"] for name, row in fold(read_all(self.cluster, out)).items()},
                         {'{"k": "a"}': 11, '{"k": "b"}': 22})


if __name__ == "__main__":
    unittest.main()
