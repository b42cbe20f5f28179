"""The ingest part: load, check what came of it, measure what it takes on disk."""

import shutil
import time
from dataclasses import dataclass, field

from . import disk, loader, prober
from .process import Failed
from .table import NOT_RUN, megabytes, show
from .tsbs import FIELDS

VIEW = (
    "CREATE MATERIALIZED VIEW cpu_minute AS SELECT hostname, COUNT(*) AS n, MAX(usage_user) AS peak, "
    "AVG(usage_user) AS mean FROM cpu WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY hostname"
)
# An event time before any of the load's: the row that makes the stream for a view to stand on.
FIRST_ROW_AT = 1_451_599_200_000_000_000

VARIANTS = {
    "plain": [],
    "shuffled": ["--shuffle-fields", "--drop-fields", "5"],
    "view": [],
}


@dataclass
class Result:
    """What one engine did in one variant; `problem` says why the rest is missing or wrong."""

    peer: str
    variant: str
    promise: str = ""
    summary: dict = field(default_factory=dict)
    visible_rate: float = None
    probe: dict = field(default_factory=dict)
    cpu_seconds: float = None
    peak_memory: int = None
    stored: int = None
    log: int = None
    rows: int = None
    values: int = None
    # Flushes during the load; None where the engine does not tell.
    flushes: int = None
    problem: str = None


def run(peer, variant, options, folder):
    """Loads one fresh server for options.seconds and checks every sum."""
    result = Result(peer.name, variant, peer.promise)
    try:
        peer.start(folder)
        _load(peer, variant, options, result)
        peer.flush()
        idle, result.log = peer.idle_bytes(), peer.log_bytes()
        result.cpu_seconds, result.peak_memory = peer.server.cpu_seconds(), peer.server.peak_memory()
        # Measured at rest: some engines give preallocated space back only at a graceful stop.
        peer.stop()
        result.stored = disk.used_bytes(folder) - idle
    except (Failed, OSError, KeyError, ValueError) as error:
        result.problem = result.problem or str(error)
    finally:
        try:
            peer.stop(cleaning=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return result


def _load(peer, variant, options, result):
    extra_rows = 0
    if variant == "view":
        peer.http.expect("POST", peer.write_path, prober.row("first", FIRST_ROW_AT).encode())
        peer.sql(VIEW)
        extra_rows = 1
    probe = prober.Prober(peer)
    try:
        flags = ["--hosts", options.hosts, "--batch", 5000, "--connections", 2, "--seconds", options.seconds]
        flags += [*VARIANTS[variant], *peer.load_flags]
        summary = loader.run(options.loader, "tsbs", peer.url, peer.write_path, *flags)
        ended = time.monotonic()
    finally:
        result.probe = probe.stop()
    result.summary, result.flushes = summary, peer.flushes()
    extra_rows += result.probe["acked"]
    rows = summary["rows"] + extra_rows
    sums = {name: summary["sums"][name] + prober.VALUE * extra_rows for name in FIELDS}
    counts = {name: summary["counts"][name] + extra_rows for name in FIELDS}
    result.rows, result.values = rows, sum(counts.values())
    # What the generator read back counts as what the reader of single rows did.
    verified = summary.get("verify") or {"sampled": 0, "missed": 0}
    result.probe["reads"] = result.probe["acked"] + verified["sampled"]
    result.probe["misses"] += verified["missed"]
    late = await_visible(peer, rows, sums, ended)
    result.visible_rate = summary["rows"] / (summary["seconds"] + late)
    result.problem = check(peer, rows, sums, counts) or result.probe["error"] or without_flush(result, options.seconds)
    if variant == "view" and not result.problem:
        counted = peer.sql("SELECT sum(n) AS n FROM cpu_minute")[0][0]
        if counted != rows:
            result.problem = f"the view counts {counted} rows of {rows}"


def await_visible(peer, rows, sums, ended, limit=120):
    """Seconds from `ended` to the start of the first read that shows every row."""
    while True:
        begin = time.monotonic()
        if peer.shows(rows, sums):
            return begin - ended
        if begin > ended + limit:
            raise Failed(f"{limit} s after the last ack the rows are still not visible")
        time.sleep(0.02)


# A load this long must have met flushes: a rate without them promises what no longer run keeps.
LONG = 60


def without_flush(result, seconds):
    """The problem of a long run in which nothing was flushed; None where all is well or the engine does not tell."""
    if result.flushes == 0 and seconds >= LONG:
        return f"no flush in {seconds} s: the rate is that of memory and log alone"
    return None


def check(peer, rows, sums, counts):
    """None when the engine's counts and sums are the generator's, else the first difference."""
    seen, seen_sums, seen_counts = peer.totals()
    if seen is not None and seen != rows:
        return f"count(*) is {seen}, acknowledged were {rows}"
    for name in FIELDS:
        if seen_sums[name] != sums[name]:
            return f"sum({name}) is {seen_sums[name]}, acknowledged was {sums[name]}"
        if seen_counts[name] != counts[name]:
            return f"count({name}) is {seen_counts[name]}, acknowledged were {counts[name]}"
    return None


def report(results, absent, options):
    """The ingest and size tables. `absent` is [(peer, reason)]."""
    head = ["engine", "acked rows/s", "visible rows/s", "ack p50 ms", "p99", "max"]
    head += ["reads", "misses", "cpu us/row", "peak MB", "sums"]
    for variant in dict.fromkeys(result.variant for result in results):
        rows, notes = [], []
        mine = [result for result in results if result.variant == variant]
        for result in mine:
            rows.append([result.peer, *_cells(result)])
            if result.flushes is not None:
                notes.append(f"{result.peer} flushed {result.flushes} times during the load")
            if result.summary.get("busy"):
                notes.append(f"{result.peer} refused {result.summary['busy']} requests as too busy; they came again")
            if result.problem:
                notes.append(f"{result.peer}: {result.problem}")
        for name, reason in absent:
            rows.append([name, NOT_RUN, *["-"] * (len(head) - 2)])
            notes.append(f"{name}: {reason}")
        notes += [f"{result.peer} acknowledges when: {result.promise}" for result in mine]
        notes += _ratios(mine)
        show(f"Ingest, {variant}: TSBS cpu-only, {options.hosts} hosts, batches of 5,000 on 2 connections, "
             f"{options.seconds} s", head, rows, notes)
    rows = []
    for result in results:
        per_value = result.stored / result.values if result.stored and result.values else None
        rows.append([result.peer, result.variant, result.rows, megabytes(result.stored), megabytes(result.log), per_value])
    rows += [[name, NOT_RUN, "-", "-", "-", "-"] for name, _ in absent]
    show("Size on disk after the ingest run, flushed and stopped, all files",
         ["engine", "variant", "rows", "MB", "of it log", "bytes/value"], rows)


def _cells(result):
    if not result.summary:
        return ["failed", *["-"] * 9]
    ack, probe = result.summary["ack_ms"], result.probe
    cpu = result.cpu_seconds * 1e6 / result.rows if result.cpu_seconds else None
    peak = megabytes(result.peak_memory)
    return [
        result.summary["rows_per_s"], result.visible_rate, ack["p50"], ack["p99"], ack["max"],
        probe.get("reads"), probe.get("misses"), cpu, peak, "WRONG" if result.problem else "right",
    ]


def _ratios(results):
    rates = {result.peer: result.visible_rate for result in results if result.visible_rate}
    own = rates.pop("tidemill", None)
    if not own:
        return []
    return [f"tidemill's visible rate is {own / rate:.2f} x {peer}'s" for peer, rate in rates.items()]
