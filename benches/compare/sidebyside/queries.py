"""The query part: the same rows in every engine, the same questions, the same answers."""

import shutil
import time
from dataclasses import dataclass, field

from . import disk, ingest, loader, tsbs
from .answers import digest
from .process import Failed
from .table import NOT_RUN, megabytes, show

# Types whose instances take long or are all alike: a fifth of the runs is enough.
HEAVY = {"double-groupby-1", "double-groupby-5", "double-groupby-all", "high-cpu-all", "lastpoint"}


@dataclass
class Answers:
    """One engine's times (ms, sorted) and digests by query type."""

    peer: str
    times: dict = field(default_factory=dict)
    digests: dict = field(default_factory=dict)
    errors: dict = field(default_factory=dict)
    span: tuple = None
    rows: int = None
    stored: int = None
    log: int = None
    problem: str = None


def run(peer, options, folder, exchange):
    """Loads one fresh engine and asks everything. `exchange` is a folder that outlives it, in which
    the first SQL engine leaves its table for one that has no line protocol."""
    answers = Answers(peer.name)
    table = exchange / "cpu.csv"
    try:
        peer.start(folder)
        if peer.takes_line_protocol:
            answers.rows = _load(peer, options)
        else:
            if not table.exists():
                raise Failed("no other engine has left its table to import")
            with open(table, encoding="utf-8") as file:
                columns = file.readline().strip().replace('"', "").split(",")
            peer.import_csv(table, "time" if "time" in columns else "timestamp")
            answers.rows = peer.totals()[0]
        peer.flush()
        answers.span = peer.span()
        for query_type in tsbs.TYPES:
            _ask_all(peer, query_type, options, answers)
        if options.wants_table and hasattr(peer, "export_csv") and not table.exists():
            peer.export_csv(table)
        idle, answers.log = peer.idle_bytes(), peer.log_bytes()
        peer.stop()
        answers.stored = disk.used_bytes(folder) - idle
    except Exception as error:  # an in-process engine has errors of its own kind
        answers.problem = f"{type(error).__name__}: {error}"
    finally:
        try:
            peer.stop(cleaning=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return answers


def _load(peer, options):
    rows = options.query_hosts * options.query_ticks
    flags = ["--hosts", options.query_hosts, "--batch", 5000, "--connections", 2, "--rows", rows]
    summary = loader.run(options.loader, "tsbs", peer.url, peer.write_path, *flags)
    limit = time.monotonic() + 120
    while not peer.shows(summary["rows"], summary["sums"]):
        if time.monotonic() > limit:
            raise Failed("the rows did not become visible")
        time.sleep(0.1)
    wrong = ingest.check(peer, summary["rows"], summary["sums"], summary["counts"])
    if wrong:
        raise Failed(wrong)
    return summary["rows"]


def _ask_all(peer, query_type, options, answers):
    runs = max(3, options.runs // 5) if query_type.name in HEAVY else options.runs
    first, last = answers.span

    def draw(count, seed):
        return tsbs.instances(query_type, count, options.query_hosts, first, last, seed)

    try:
        # Warm: other instances of the type go first, untimed.
        for query in draw(max(2, runs // 5), "warm"):
            if not peer.can_ask(query):
                return
            peer.ask(query)
        times, digests = [], []
        for query in draw(runs, "timed"):
            begin = time.perf_counter()
            raw = peer.ask(query)
            times.append((time.perf_counter() - begin) * 1e3)
            digests.append(digest(*peer.read(query, raw), query.columns))
        answers.times[query_type.name] = sorted(times)
        answers.digests[query_type.name] = digests
    except Exception as error:  # one query type that fails must not cost the others
        answers.errors[query_type.name] = f"{type(error).__name__}: {error}"


def disagreements(all_answers):
    """{query type: [what differs]}; the first engine that answered is what the others are held to."""
    found = {}
    for query_type in tsbs.TYPES:
        name = query_type.name
        given = [(one.peer, one.digests[name]) for one in all_answers if name in one.digests]
        for peer, digests in given[1:]:
            for number, (a, b) in enumerate(zip(given[0][1], digests, strict=True)):
                if not b.agrees(a):
                    found.setdefault(name, []).append(
                        f"{name} number {number}: {peer} differs from {given[0][0]}: {b.difference(a)}"
                    )
                    break
    return found


def report(all_answers, absent, options):
    """Prints the tables and returns the problems found, one text each."""
    problems = [f"{one.peer}: {one.problem}" for one in all_answers if one.problem]
    spans = {one.span for one in all_answers if one.span}
    if len(spans) > 1:
        problems.append(f"the engines hold different ranges of time: {sorted(spans)}")
    differing = disagreements(all_answers)
    head = ["query"]
    for one in all_answers:
        head += [f"{one.peer} p50", "p95"]
    head += [*[name for name, _ in absent], "agree"]
    rows, notes = [], []
    for query_type in tsbs.TYPES:
        name = query_type.name
        row = [name]
        for one in all_answers:
            row += _percentiles(one, name)
            if name in one.errors:
                notes.append(f"{one.peer}, {name}: {one.errors[name]}")
        answered = sum(name in one.digests for one in all_answers)
        agree = "NO" if name in differing else ("yes" if answered > 1 else "-")
        rows.append(row + [NOT_RUN] * len(absent) + [agree])
        problems += differing.get(name, [])
    total = options.query_hosts * options.query_ticks
    show(f"Queries over {total:,} rows ({options.query_hosts} hosts), warm, ms; {options.runs} random instances, "
         "a fifth of that for the heavy ones", head, rows,
         notes + ["duckdb runs inside the harness: no socket, no text; the others answer over HTTP in JSON"]
         + [f"{name}: {reason}" for name, reason in absent])
    sizes = []
    for one in all_answers:
        per_value = one.stored / (one.rows * len(tsbs.FIELDS)) if one.stored and one.rows else None
        sizes.append([one.peer, one.rows, megabytes(one.stored), megabytes(one.log), per_value])
    sizes += [[name, NOT_RUN, "-", "-", "-"] for name, _ in absent]
    show("Size on disk of the query rows, flushed and stopped, all files",
         ["engine", "rows", "MB", "of it log", "bytes/value"], sizes)
    return problems


def _percentiles(answers, name):
    if name in answers.errors:
        return ["error", "-"]
    times = answers.times.get(name)
    if not times:
        return [NOT_RUN if answers.problem else "-", "-"]
    return [times[len(times) // 2], times[min(len(times) - 1, len(times) * 95 // 100)]]
