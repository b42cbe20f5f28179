"""Tests of the harness itself: `python3 -m unittest discover -s benches/compare`."""

import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sidebyside import disk, ingest, kafka, latency, loader, onerow, tsbs  # noqa: E402
from sidebyside.answers import digest, from_matrix, millis  # noqa: E402
from sidebyside.dialects import DUCKDB, QUESTDB, TIDEMILL, metricsql, stamp  # noqa: E402

from sidebyside.peers.base import metric  # noqa: E402
from sidebyside.process import Failed  # noqa: E402

FIRST = 1_451_606_400 * tsbs.NS
BY_NAME = {query_type.name: query_type for query_type in tsbs.TYPES}


class Instances(unittest.TestCase):
    def draw(self, name, ticks=500, seed="s"):
        last = FIRST + (ticks - 1) * tsbs.TICK
        return list(tsbs.instances(BY_NAME[name], 50, 100, FIRST, last, seed)), last

    def test_a_seed_fixes_what_is_asked(self):
        for name in BY_NAME:
            self.assertEqual(self.draw(name), self.draw(name))
        self.assertNotEqual(self.draw("high-cpu-1"), self.draw("high-cpu-1", seed="t"))

    def test_a_range_that_fits_lies_inside_the_data(self):
        queries, last = self.draw("single-groupby-5-8-1")
        for query in queries:
            self.assertEqual((len(query.hosts), len(set(query.hosts)), len(query.fields)), (8, 8, 5))
            self.assertEqual(query.end - query.start, tsbs.HOUR)
            self.assertEqual(query.start % tsbs.MINUTE, 0)
            self.assertTrue(FIRST <= query.start and query.end <= last + tsbs.TICK)

    def test_a_wider_range_covers_all_the_data(self):
        for name in ("double-groupby-1", "cpu-max-all-8", "high-cpu-all"):
            queries, last = self.draw(name)
            self.assertGreater(len({query.start for query in queries}), 1)
            for query in queries:
                self.assertTrue(query.start <= FIRST and last < query.end, name)

    def test_every_type_renders_in_every_dialect(self):
        for name in BY_NAME:
            query = self.draw(name)[0][0]
            for dialect in (TIDEMILL, QUESTDB, DUCKDB):
                text = dialect.render(query)
                self.assertIn(" cpu", text)
                for host in query.hosts:
                    self.assertIn(f"'{host}'", text)
            self.assertEqual(metricsql(query) is not None, query.type.shape in ("max", "avg"))


class Answers(unittest.TestCase):
    WANTED = ["time", "hostname", "avg_a"]

    def test_forms_of_one_time(self):
        self.assertEqual(millis("2016-01-01T00:00:10Z"), 1_451_606_410_000)
        self.assertEqual(millis("2016-01-01T00:00:10.120000Z"), 1_451_606_410_120)
        self.assertEqual(millis("2016-01-01 00:00:10"), millis(1_451_606_410_000))
        self.assertEqual(stamp(1_451_606_410_120_000_000), "2016-01-01T00:00:10.120000Z")

    def test_order_of_rows_and_columns_does_not_matter(self):
        a = digest(["bucket", "hostname", "avg_a"], [[1, "x", 0.1], [2, "y", 0.2]], self.WANTED)
        b = digest(["avg_a", "hostname", "timestamp"], [[0.2, "y", 2], [0.1, "x", 1]], self.WANTED)
        self.assertTrue(a.agrees(b))

    def test_every_kind_of_difference_is_seen(self):
        columns, rows = ["time", "hostname", "avg_a"], [[1, "x", 10], [2, "y", 20]]
        right = digest(columns, rows, self.WANTED)
        for wrong in ([rows[0]], [rows[0], [3, "y", 20]], [rows[0], [2, "z", 20]], [rows[0], [2, "y", 21]]):
            other = digest(columns, wrong, self.WANTED)
            self.assertFalse(other.agrees(right), wrong)
            self.assertTrue(other.difference(right))
        with self.assertRaises(ValueError):
            digest(["time", "avg_a"], [], self.WANTED)

    def test_a_matrix_becomes_the_same_rows(self):
        # Asked 1 ms before each bucket's end, for buckets of 60 s.
        series = [
            {"metric": {"__name__": "cpu_a", "hostname": "x"}, "values": [[59.999, "1"], [119.999, "2.5"]]},
            {"metric": {"__name__": "cpu_b", "hostname": "x"}, "values": [[59.999, "3"]]},
        ]
        columns, rows = from_matrix(series, 60, ["a", "b"], "avg")
        self.assertEqual(columns, ["time", "hostname", "avg_a", "avg_b"])
        self.assertEqual(rows, [[0, "x", 1.0, 3.0], [60_000, "x", 2.5, None]])


class Latency(unittest.TestCase):
    def test_an_age_counts_from_when_the_batch_was_due(self):
        # One frame shows batches 0 and 1 at once, a later one shows 2; number 3 never comes.
        took, never = latency.ages([(1, 10.5), (2, 10.6)], 4, 10.0, 0.25)
        self.assertEqual([round(age) for age in took], [500, 250, 100])
        self.assertEqual(never, 1)

    def test_a_batch_has_its_number_in_every_row_and_in_its_time(self):
        text = latency.batch_template(20).replace(latency.PLACEHOLDER, b"00000042").decode()
        lines = text.splitlines()
        self.assertEqual(len({line.split(",")[1] for line in lines}), 20)
        for line in lines:
            self.assertIn("number=100000042i", line)
            self.assertTrue(line.endswith(f" {latency.EVENT_TIME + 42}"))


class KafkaAges(unittest.TestCase):
    def test_a_frame_of_one_partition_says_nothing_of_another(self):
        # Batches 0..9 over 8 partitions. Partition 0 shows 8 at once, partition 1 shows 1 and later 9; the rest never.
        seen = [(0, 8, 10.9), (1, 1, 10.2), (1, 9, 11.0)]
        took, never = kafka.ages(seen, 10, 10.0, 0.1)
        self.assertEqual([round(age) for age in took], [100, 100, 100, 900])
        self.assertEqual(never, 6)

    def test_cold_batches_do_not_count(self):
        took, never = kafka.ages([(0, 8, 10.9)], 10, 10.0, 0.1, first=8)
        self.assertEqual(([round(age) for age in took], never), ([100], 1))


class Engine:
    """Stands for a server: what it says it holds."""

    def __init__(self, rows, sums, counts):
        self.all = rows, sums, counts

    def shows(self, rows, sums):
        return True

    def totals(self):
        return self.all


class Checks(unittest.TestCase):
    SUMS = {name: 10 * place for place, name in enumerate(tsbs.FIELDS)}
    COUNTS = dict.fromkeys(tsbs.FIELDS, 5)
    SUMMARY = {"rows": 5, "sums": SUMS, "counts": COUNTS}

    def test_one_row_writes_are_counted_and_summed_afterwards(self):
        self.assertIsNone(onerow.verify(Engine(5, self.SUMS, self.COUNTS), self.SUMMARY))
        last = tsbs.FIELDS[-1]
        for wrong in (
            (4, self.SUMS, self.COUNTS),
            (5, {**self.SUMS, last: 1}, self.COUNTS),
            (5, self.SUMS, {**self.COUNTS, last: 4}),
        ):
            self.assertTrue(onerow.verify(Engine(*wrong), self.SUMMARY))

    def test_a_long_run_without_a_flush_is_a_problem(self):
        for flushes, seconds, bad in ((0, 60, True), (0, 59, False), (1, 600, False), (None, 600, False)):
            result = ingest.Result("x", "plain", flushes=flushes)
            self.assertEqual(ingest.without_flush(result, seconds) is not None, bad)

    def test_a_load_that_ended_early_is_a_failure_with_its_counts(self):
        summary = {"rows": 715_000, "seconds": 1.5}
        self.assertEqual(loader.finished("tsbs", summary), summary)
        with self.assertRaisesRegex(Failed, "after 715000 rows in 1.5 s: 500: poisoned"):
            loader.finished("tsbs", {**summary, "error": "500: poisoned"})

    def test_a_metric_is_read_by_its_whole_name(self):
        page = "# TYPE a counter\na_total 3\na 7\nb{x=\"y\"} 1\n"
        self.assertEqual(metric(page, "a"), 7)
        with self.assertRaises(Failed):
            metric(page, "b")


class Disk(unittest.TestCase):
    @unittest.skipUnless(os.path.isdir("/dev/shm"), "there is no /dev/shm here")
    def test_memory_is_refused(self):
        self.assertEqual(disk.file_system_of("/dev/shm"), "tmpfs")
        with self.assertRaises(disk.NotADisk):
            disk.refuse_memory("/dev/shm")


if __name__ == "__main__":
    unittest.main()
