"""What the cases share: one broker for all, servers that are stopped whatever happens, knobs, and waiting for an end."""

import atexit
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import unittest
from pathlib import Path

import checks
import purchases
from broker import Broker, Failed
from cluster import Cluster
from node import Node, Refused

# A member that is silent for so long is given up by its group.
SESSION_MS = 2000
# Settings of a consumer that hears of things soon.
QUICK = {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": 500, "topic.metadata.refresh.interval.ms": 1000}
# What librdkafka is to tell in the servers' logs: KAFKA_DEBUG=cgrp with TIDEMILL_LOG=info,ingest=debug and KAFKA_KEEP=yes.
if os.environ.get("KAFKA_DEBUG"):
    QUICK["debug"] = os.environ["KAFKA_DEBUG"]


def knob(name, default):
    """A whole number from KAFKA_NAME, so that the same case runs small in CI and large by hand."""
    return int(os.environ.get(f"KAFKA_{name}", default))


def work():
    """The folder of this run."""
    global _work
    if _work is None:
        _work = Path(tempfile.mkdtemp(prefix="tidemill-kafka-", dir=os.environ.get("KAFKA_DIR")))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        atexit.register(_clean)
    return _work


def broker():
    """The one broker of this run, started by whoever asks first."""
    global _broker
    if _broker is None:
        _broker = Broker(work() / "broker")
        _broker.start()
    elif not _broker.pid():
        _broker.start()
    return _broker


def _clean():
    if _broker is not None:
        _broker.kill()
    if os.environ.get("KAFKA_KEEP"):
        print(f"kept: {_work}")
    else:
        shutil.rmtree(_work, ignore_errors=True)


_work = None
_broker = None


class Case(unittest.TestCase):
    """One case: a broker, a topic name of its own, servers by name."""

    def setUp(self):
        self.broker = broker()
        self.cluster = Cluster(self.broker.address)
        self.topic = self.id().rsplit(".", 1)[1].removeprefix("test_").replace("_", "-")
        self.folder = work() / self.topic
        self.folder.mkdir()
        self.begun = time.monotonic()
        self.seed = knob("SEED", random.SystemRandom().randrange(1 << 32))
        self.rng = random.Random(self.seed)
        if not os.environ.get("KAFKA_KEEP"):
            self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def say(self, words):
        """One line about what was seen."""
        print(f"{self.topic}: {words} ({time.monotonic() - self.begun:.0f} s)", flush=True)

    def node(self, name="node", env=None, enter=None):
        """A server that runs, and is killed when the case is over."""
        node = Node(self.folder, name, env, enter)
        self.addCleanup(node.kill)
        return node.start()

    def load(self, partitions=8, records=0, rate=0, topic=None):
        """A load that is ended when the case is over."""
        load = purchases.Load(self.broker.address, topic or self.topic, partitions, records, rate)
        self.addCleanup(load.abandon)
        return load

    def source(self, group=None, topic=None, include="partition, offset", settings=None, **options):
        """The WITH of a stream of this case's topic."""
        given = {"event_time": "ts", "kafka_topic": topic or self.topic, "kafka_brokers": self.broker.address, "value_format": "json",
                 "kafka_start": "earliest", "include": include, **({"kafka_group": group} if group else {}), **options}
        words = [f"{name} = '{value}'" for name, value in given.items() if value is not None]
        words += [f"\"kafka.{name}\" = '{value}'" for name, value in (QUICK if settings is None else settings).items()]
        return ", ".join(words)

    def consume(self, node, stream="purchases", columns=purchases.COLUMNS, views=True, **source):
        """Makes the stream on a server, and views of it."""
        # Included columns come with the option, not with the list.
        node.sql(f"CREATE STREAM {stream} ({columns}) WITH ({self.source(**source)})")
        if views:
            node.sql(f"CREATE MATERIALIZED VIEW by_city AS {checks.VIEW.format(stream)}")
            node.sql(f'CREATE MATERIALIZED VIEW by_partition AS SELECT partition, COUNT(*) AS n, MAX("offset") AS hi '
                     f"FROM {stream} GROUP BY partition")

    def settle(self, nodes, wanted, stream="purchases", patience=45):
        """Returns when the nodes together have `wanted` rows or more, or when for `patience` seconds none came: the
        check that follows says what is wrong then."""
        seen, limit, pause = -1, time.monotonic() + patience, 0.02
        while True:
            for node in nodes:
                if not node.running:
                    raise Failed(f"{node.name} has ended with status {node.child.returncode}: {node.last_words()}")
            now = sum(node.count(stream) for node in nodes)
            if now >= wanted:
                return now
            if now != seen:
                seen, limit, pause = now, time.monotonic() + patience, 0.02
            elif time.monotonic() > limit:
                for node in nodes:
                    self.say(f"{node.name} has {node.count(stream):,} of {wanted:,} rows and gets no more: {node.describe()}")
                return now
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def await_true(self, what, holds, seconds=60):
        """Returns the first true answer; fails with `what` (a text, or what gives one then) when there is none in time."""
        limit, pause = time.monotonic() + seconds, 0.02
        while True:
            answer = holds()
            if answer:
                return answer
            if time.monotonic() > limit:
                self.fail(f"{what() if callable(what) else what} for {seconds} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def await_progress(self, nodes, rows=1, seconds=90):
        """Returns when the nodes together have more rows than now."""
        before = sum(node.count() for node in nodes)
        self.await_true(lambda: f"no row came to {[f'{node.name}: {node.describe()}' for node in nodes]}",
                        lambda: sum(node.count() for node in nodes) >= before + rows, seconds)

    def check_whole(self, nodes, ends, views=True):
        """Every offset once in the streams; sums as sent; views as their streams."""
        self.assertEqual(self.cluster.ends(self.topic), ends, "the topic ends where the load did not")
        count = checks.whole(nodes, ends)
        self.say(str(count))
        self.assertTrue(count.right, str(count))
        sums = [node.sql("SELECT count(*) AS n, sum(price) AS p, sum(quantity) AS q, sum(seq) AS s FROM purchases")[0] for node in nodes]
        got = purchases.Totals(*(sum(row[place] or 0 for row in sums) for place in range(4)))
        self.assertEqual(got, purchases.totals(ends))
        wrong = [node.sql('SELECT count(*) AS n FROM purchases WHERE seq <> "offset"')[0][0] for node in nodes]
        self.assertEqual(wrong, [0] * len(nodes), "rows hold another record's values")
        if views:
            self.check_views(nodes)

    def check_views(self, nodes):
        """Views hold what their queries give."""
        for node in nodes:
            self.assertIsNone(checks.view_differs(node))

    def check_no_letters(self, node):
        """Nothing was refused."""
        try:
            letters = node.dicts("SELECT reason, position FROM dead_letters LIMIT 3")
        except Refused as error:
            self.assertEqual(error.status, 404, str(error))
            return
        self.assertEqual(letters, [])
