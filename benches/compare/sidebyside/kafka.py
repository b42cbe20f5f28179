"""Kafka: from a filled topic into a table's window, beside Flink; and the age of a record when a subscriber sees it.

The broker, the load and what it adds up to are those of tests/kafka. Everything runs on the same machine, one engine at a time;
the broker serves, but nobody produces while a full topic is read.
"""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from .disk import sync_ages
from .peers.base import REPOSITORY, cache, run_installer
from .process import Failed
from .table import NOT_RUN, megabytes, show

PARTITIONS = 8
COLUMNS = "user_id STRING TAG, product STRING, price DOUBLE, quantity BIGINT, city STRING, ts TIMESTAMP"
VIEW = ("CREATE MATERIALIZED VIEW by_city AS SELECT city, COUNT(*) AS n, SUM(price) AS s FROM purchases "
        "WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY city")
FLINK = {"flink-sql": "sql", "flink-datastream": "datastream"}
# What Flink's own scripts open on Java 17.
OPENED = ["lang", "lang.reflect", "util", "util.concurrent", "util.concurrent.atomic", "net", "nio", "io", "text", "time"]
# Records of the topic that Flink's job runs over before it is timed.
WARM = 200_000
# Seconds at the start of the latency part that do not count: the code of the broker and of the producer is compiled in them, on
# processors that would otherwise be ours.
COLD = 20
# What an engine, the broker (a RuntimeError) or a program of ours may raise; a defect of this file is not among them.
FAILURES = (Failed, RuntimeError, OSError, KeyError, ValueError, subprocess.TimeoutExpired)


def modules():
    """(broker, cluster, purchases) of tests/kafka."""
    folder = str(REPOSITORY / "tests" / "kafka")
    if folder not in sys.path:
        sys.path.append(folder)
    import broker
    import cluster
    import purchases
    return broker, cluster, purchases


class Node:
    """A broker for one part, gone behind it."""

    def __init__(self, folder):
        run_installer("kafka")
        self.module, cluster, self.purchases = modules()
        self.broker = self.module.Broker(folder)
        try:
            self.broker.start()
            self.cluster = cluster.Cluster(self.broker.address)
        except BaseException:
            self.broker.kill()
            raise

    @property
    def address(self):
        return self.broker.address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.broker.kill()


def source(node, topic):
    """The WITH of a stream that reads a topic."""
    return (f"event_time = 'ts', kafka_topic = '{topic}', kafka_brokers = '{node.address}', value_format = 'json', "
            "kafka_start = 'earliest'")


def _tidemill(peer, node, wanted, folder):
    """Seconds until the view counts every record, and what it took."""
    peer.start(folder)
    try:
        begun = time.monotonic()
        # Both in one request: the view is there from the first record on.
        peer.sql(f"CREATE STREAM purchases ({COLUMNS}) WITH ({source(node, 'filled')}); {VIEW}")
        limit, last = begun + 900, 0
        while True:
            asked = time.monotonic()
            count, price = peer.sql("SELECT SUM(n) AS n, SUM(s) AS s FROM by_city")[0]
            count = count or 0
            if count >= wanted.rows:
                break
            if count > last:
                last, limit = count, asked + 60
            if asked > limit:
                raise Failed(f"the view stays at {count:,} of {wanted.rows:,} records")
            time.sleep(0.05)
        seconds = asked - begun
        stored = peer.sql("SELECT COUNT(*) AS n, SUM(price) AS s FROM purchases")[0]
        if [count, price] != stored or stored != [wanted.rows, wanted.price]:
            raise Failed(f"the view has {[count, price]}, the stream {stored} and the topic {[wanted.rows, wanted.price]}")
        return seconds, peer.server.cpu_seconds(), peer.server.peak_memory()
    finally:
        peer.stop(cleaning=True)


def _flink(kind, node, wanted, folder):
    """The same of Flink: its own process, with a cluster inside."""
    run_installer("flink")
    folder.mkdir(parents=True)
    jars = f"{cache()}/flink/lib/*:{cache()}/flink/connector/*"
    built = subprocess.run(["javac", "-d", str(folder), "-cp", jars, str(Path(__file__).parents[1] / "flink" / "Window.java")],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode != 0:
        raise Failed(f"the job does not compile: {built.stdout[:400]}")
    opened = [word for package in OPENED for word in ("--add-opens", f"java.base/java.{package}=ALL-UNNAMED")]
    command = ["java", "-Xmx4g", *opened, "-cp", f"{folder}:{jars}", "Window", FLINK[kind], node.address, "filled", "warm",
               f"file://{folder}/checkpoints", "2"]
    with open(f"{folder}.log", "wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        try:
            said = child.stdout.read().decode(errors="replace")
            # Time and memory of the one child, which wait() of the module would throw away.
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if child.returncode is None:
                child.kill()
                child.wait()
            child.stdout.close()
    lines = [line for line in said.splitlines() if line.startswith('{"seconds"')]
    if not lines:
        last = said.strip() or Path(f"{folder}.log").read_text(errors="replace").strip()
        raise Failed(f"the job ended with status {child.returncode}: {last[-300:]}")
    answer = json.loads(lines[0])
    if (answer["rows"], answer["price"]) != (wanted.rows, wanted.price):
        raise Failed(f"counted {answer['rows']} records with a sum of {answer['price']}, not {wanted.rows} and {wanted.price}")
    return answer["seconds"], used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def run(peer, options, folder):
    """Reads a full topic with each engine and prints a table; returns a list of problems. `peer` is None without tidemill."""
    rows, notes, problems = [], [], []
    try:
        with Node(folder / "broker") as node:
            for topic, records in (("filled", options.records), ("warm", WARM)):
                node.cluster.create(topic, PARTITIONS)
                load = node.purchases.Load(node.address, topic, PARTITIONS, records, bare=True)
                ends = load.finish(3600)
                if topic == "filled":
                    wanted, filled = node.purchases.totals(ends), load.records / load.seconds
            size = sum(file.stat().st_size for file in (folder / "broker" / "data").glob("filled-*/*.log"))
            notes.append(f"{wanted.rows:,} JSON purchases of about 110 bytes, lz4, {PARTITIONS} partitions, "
                         f"{size / wanted.rows:.0f} bytes each in the log; filled at {filled:,.0f} records/s")
            engines = [("tidemill", lambda place: _tidemill(peer, node, wanted, place))] if peer else []
            for kind in options.kafka_peers:
                engines.append((kind, lambda place, kind=kind: _flink(kind, node, wanted, place)))
            if not peer:
                rows.append(["tidemill", NOT_RUN, "-", "-", "-", "-"])
            for name, measure in engines:
                try:
                    seconds, processor, memory = measure(folder / name)
                    rows.append([name, wanted.rows / seconds, seconds, processor / wanted.rows * 1e6, megabytes(memory), "right"])
                except FAILURES as error:
                    installed = name == "tidemill" or (cache() / "flink" / ".version").exists()
                    rows.append([name, "failed" if installed else NOT_RUN, "-", "-", "-", "-"])
                    notes.append(f"{name}: {error}")
                    if installed:
                        problems.append(f"{name}, kafka: {error}")
    except FAILURES as error:
        problems.append(f"kafka: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show("From a filled Kafka topic into count and sum by city and minute", ["engine", "records/s", "seconds", "cpu us/rec", "peak MB", "sums"],
         rows, [*notes, "tidemill also stores each record, synced; Flink keeps the windows alone, with a checkpoint a second, and is",
                "timed behind a first run of the same job over a small topic; its cpu includes that run"])
    return problems


def _receive(port, batches, limit, pipe):
    """Subscribes, and notes (partition, number, moment) for each frame that brings a partition's higher number."""
    from websockets.sync.client import connect

    seen, tops = [], [-1] * PARTITIONS
    try:
        with connect(f"ws://127.0.0.1:{port}/ws", max_size=None, compression=None) as link:
            link.send(json.dumps({"action": "subscribe", "topics": ["view:record_ages"]}))
            region, newest, end = None, None, time.monotonic() + limit
            wanted = [(batches - 1 - p) // PARTITIONS * PARTITIONS + p for p in range(PARTITIONS)]
            while tops != wanted and time.monotonic() < end:
                text = link.recv(timeout=max(0.01, end - time.monotonic()))
                now = time.monotonic()
                frame = json.loads(text)
                if frame["type"] == "error":
                    raise Failed(f"the server answered the subscription with {text}")
                if frame["type"] == "subscribed":
                    names = [column["name"] if isinstance(column, dict) else column for column in frame["columns"]]
                    region, newest = names.index("region"), names.index("newest")
                    pipe.send("subscribed")
                for row in frame.get("insert") or frame.get("rows") or []:
                    partition, number = int(row[region][1:]), int(row[newest])
                    if number > tops[partition]:
                        tops[partition] = number
                        seen.append((partition, number, now))
        pipe.send((None, seen))
    except Exception as error:  # the harness must hear of it, whatever it was
        pipe.send((f"{type(error).__name__}: {error}", seen))


def ages(seen, batches, start, period, first=0):
    """Age in ms of each batch from `first` on when its partition first showed it or a later one, and how many never were."""
    result, never = [], 0
    for partition in range(PARTITIONS):
        own = [(number, moment) for place, number, moment in seen if place == partition]
        at = 0
        for number in range(partition, batches, PARTITIONS):
            while at < len(own) and own[at][0] < number:
                at += 1
            if at == len(own):
                never += number >= first
            elif number >= first:
                result.append((own[at][1] - (start + number * period)) * 1e3)
    return sorted(result), never


def run_latency(peer, options, folder):
    """Measures the age of records in a subscriber's frames and prints it; returns a list of problems."""
    rate, rows = options.kafka_rate, options.kafka_batch
    period = rows / rate
    batches, first = int((options.seconds + COLD) / period), int(COLD / period)
    context = multiprocessing.get_context("fork")
    pace = None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        disk = sync_ages(folder, options.seconds, period)
        with Node(folder / "broker") as node:
            node.cluster.create("paced", PARTITIONS)
            peer.start(folder / "tidemill")
            try:
                peer.sql("CREATE STREAM events (key STRING TAG, region STRING TAG, number BIGINT, amount DOUBLE, ts TIMESTAMP) "
                         f"WITH ({source(node, 'paced')}); CREATE MATERIALIZED VIEW record_ages AS SELECT region, COUNT(*) AS n, "
                         "MAX(number) AS newest FROM events WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY region")
                ours, theirs = context.Pipe()
                receiver = context.Process(target=_receive, args=(peer.port, batches, options.seconds + COLD + 60, theirs), daemon=True)
                receiver.start()
                said = ours.recv()
                if said != "subscribed":
                    return [f"kafka-latency: the subscription failed: {said[0]}"]
                program = Path(__file__).parents[1] / "kafka" / "Pace.java"
                words = [node.address, "paced", PARTITIONS, batches, rows, int(period * 1e9)]
                pace = subprocess.Popen([*node.module.java("256m", "error"), str(program), *map(str, words)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
                if pace.stdout.readline() != "ready\n":
                    raise Failed("the producer did not start")
                start = time.monotonic() + 0.5
                told, _ = pace.communicate(f"{int(start * 1e9)}\n", timeout=options.seconds + COLD + 120)
                if pace.returncode != 0:
                    raise Failed(f"the producer ended with status {pace.returncode}: {told[-300:]}")
                sent = json.loads(told.strip().splitlines()[-1])
                problem, seen = ours.recv()
                counted = peer.sql("SELECT count(*) AS n FROM events")[0][0]
            finally:
                if pace and pace.poll() is None:
                    pace.kill()
                peer.stop(cleaning=True)
    except FAILURES as error:
        return [f"kafka-latency: {error}"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    problems = [f"kafka-latency: receiver: {problem}"] if problem else []
    took, never = ages(seen, batches, start, period, first)
    if never:
        problems.append(f"kafka-latency: {never} of {batches - first} batches were never shown")
    if counted != batches * rows:
        problems.append(f"kafka-latency: count(*) is {counted}, sent were {batches * rows}")
    shares = [(peer.name, took), ("the disk alone", disk), ("acknowledged", sorted(sent["acknowledged_ms"][first:])), ("sent", sorted(sent["late_ms"][first:]))]
    load = f"{rate:,} records/s of {sent['bytes']:.0f} bytes in {1 / period:,.0f} batches/s, {options.seconds} s"
    show(f"Kafka record to WebSocket frame, {load}",
         ["until", "p50 ms", "p90", "p99", "p99.9", "max"], [[name, *quantiles(ages)] for name, ages in shares],
         ["an age counts from when the record was due to be sent, and includes the producer and the broker: until it was sent,",
          f"until the broker had acknowledged it, and until a subscriber had a frame with it ({len(seen):,} frames); the disk alone,",
          "just before and with nothing else at work: until an overwrite of 4 KiB was synced, which Tidemill waits for and Kafka does not"])
    return problems


def quantiles(values):
    """Of sorted values: median, and what 9 in 10, 99 in 100 and 999 in 1,000 are below, and the largest."""
    if not values:
        return ["-"] * 5
    return [values[min(len(values) - 1, int(len(values) * share))] for share in (0.5, 0.9, 0.99, 0.999, 1)]
