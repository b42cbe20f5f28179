#!/usr/bin/env python3
"""Runs Tidemill and its peers side by side and prints what came of it. See README.md."""

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sidebyside import disk, ingest, kafka, latency, onerow, queries  # noqa: E402
from sidebyside.peers import BY_NAME  # noqa: E402
from sidebyside.peers.base import REPOSITORY, cache, run_installer  # noqa: E402
from sidebyside.process import Failed  # noqa: E402

PARTS = ["ingest", "queries", "one-row", "latency", "kafka", "kafka-latency"]


def arguments():
    """The command line."""
    names = list(BY_NAME)
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    ask.add_argument("--peers", default=",".join(names[1:]), help="which peers to run beside tidemill; '' for none")
    ask.add_argument("--no-tidemill", action="store_true", help="peers alone")
    ask.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    ask.add_argument("--variants", default="plain,shuffled,view", help="ingest variants, of " + ", ".join(ingest.VARIANTS))
    ask.add_argument("--seconds", type=int, default=60, help="length of each timed load")
    ask.add_argument("--hosts", type=int, default=4000, help="hosts of the ingest load")
    ask.add_argument("--query-hosts", type=int, default=4000, help="hosts of the query rows")
    ask.add_argument("--query-ticks", type=int, default=500, help="rows of each host in the query rows")
    ask.add_argument("--runs", type=int, default=50, help="random instances of each light query type")
    ask.add_argument("--connections", type=int, default=256, help="connections of the one-row part")
    ask.add_argument("--rate", type=int, default=200_000, help="events/s of the latency part")
    ask.add_argument("--rows-per-batch", type=int, default=500, help="batch of the latency part")
    ask.add_argument("--senders", type=int, default=4, help="connections of the latency part")
    ask.add_argument("--records", type=int, default=10_000_000, help="records of the kafka part's topic")
    ask.add_argument("--kafka-peers", default=",".join(kafka.FLINK), help="which to run beside tidemill in the kafka part")
    ask.add_argument("--kafka-rate", type=int, default=100_000, help="records/s of the kafka-latency part")
    ask.add_argument("--kafka-batch", type=int, default=100, help="records of the kafka-latency part that are due at a time")
    ask.add_argument("--quick", action="store_true", help="a few seconds each, plain variant: does it work at all")
    ask.add_argument("--dir", default=None, help="folder for the data, on a real disk (default: the cache)")
    ask.add_argument("--tidemill", type=Path, default=REPOSITORY / "target" / "release" / "tidemill", help="the binary")
    ask.add_argument("--tidemill-env", action="append", default=[], metavar="NAME=VALUE",
                     help="environment of the tidemill server, to choose a setting; may be repeated")
    ask.add_argument("--loader", type=Path, default=None, help="binary whose `load` is used (default: --tidemill)")
    options = ask.parse_args()
    if options.quick:
        options.seconds, options.runs, options.variants = min(options.seconds, 5), min(options.runs, 10), "plain"
        options.records = min(options.records, 500_000)
    options.peers = [name for name in options.peers.split(",") if name]
    options.parts = [name for name in options.parts.split(",") if name]
    options.variants = [name for name in options.variants.split(",") if name]
    options.kafka_peers = [name for name in options.kafka_peers.split(",") if name]
    for given, known in ((options.peers, names[1:]), (options.parts, PARTS), (options.kafka_peers, list(kafka.FLINK)),
                         (options.variants, list(ingest.VARIANTS))):
        for name in given:
            if name not in known:
                ask.error(f"{name!r} is none of {', '.join(known)}")
    if any("=" not in pair for pair in options.tidemill_env):
        ask.error("--tidemill-env wants NAME=VALUE")
    options.tidemill_env = [tuple(pair.split("=", 1)) for pair in options.tidemill_env]
    options.loader = options.loader or options.tidemill
    options.wants_table = any(not BY_NAME[name].takes_line_protocol for name in options.peers)
    return options


def enter_environment(options):
    """Starts this program anew inside the Python environment, where a part needs its packages."""
    needs = "duckdb" in options.peers or {"latency", "kafka", "kafka-latency"} & set(options.parts)
    python = cache() / "venv" / "bin" / "python"
    if not needs or Path(sys.prefix) == python.parent.parent:
        return
    try:
        run_installer("python")
    except Failed as error:
        print(f"no Python environment: {error}", file=sys.stderr)
        return
    os.execv(python, [str(python), *sys.argv])


def build(options):
    """Builds tidemill when its binary is wanted and missing."""
    wanted = [] if options.no_tidemill and set(options.parts) <= {"kafka", "kafka-latency"} else [options.loader]
    wanted += [] if options.no_tidemill else [options.tidemill]
    if any(not path.exists() for path in wanted) and shutil.which("cargo"):
        print("building tidemill", flush=True)
        subprocess.run(["cargo", "build", "--release"], cwd=REPOSITORY, check=False)
    if options.loader in wanted and not options.loader.exists():
        sys.exit(f"no {options.loader}, and so no load generator: build it with `cargo build --release`")


def describe(folder):
    """Prints what the figures depend on."""
    system = disk.refuse_memory(folder)
    p50, p99 = disk.sync_probe(folder)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    print(f"machine: {os.cpu_count()} cores, {memory:.0f} GB, Linux {platform.release()}, {platform.machine()}")
    print(f"disk: {system}; overwrite of 4 KiB + fdatasync: p50 {p50:.3f} ms, p99 {p99:.3f} ms")
    print(f"load average before: {os.getloadavg()[0]:.2f} (above 0.5 something else is at work)", flush=True)


def install(options):
    """([peer classes that can run], [(name, reason)] of those that can't)."""
    present, absent = [], []
    for name in ([] if options.no_tidemill else ["tidemill"]) + options.peers:
        try:
            BY_NAME[name](options).install()
            present.append(BY_NAME[name])
        except Failed as error:
            absent.append((name, str(error)))
    return present, absent


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    enter_environment(options)
    build(options)
    parent = Path(options.dir) if options.dir else cache()
    parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="compare-", dir=parent))
    try:
        describe(work)
        present, absent = install(options)
        problems = run_parts(options, present, absent, work)
    except disk.NotADisk as error:
        sys.exit(f"refused: {error}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    sys.exit(1 if problems else 0)


def run_parts(options, present, absent, work):
    """Runs and reports the parts asked for; returns what went wrong."""
    problems = []
    writers = [kind for kind in present if kind.takes_line_protocol]
    silent = absent + [(kind.name, "takes no line protocol") for kind in present if not kind.takes_line_protocol]
    if "ingest" in options.parts:
        results = []
        for variant in options.variants:
            for kind in writers:
                if variant != "view" or kind.name == "tidemill":
                    results.append(ingest.run(kind(options), variant, options, work / f"{kind.name}-{variant}"))
        ingest.report(results, silent, options)
        problems += [f"{one.peer}, {one.variant}: {one.problem}" for one in results if one.problem]
        problems += [f"tidemill, {one.variant}: {one.probe['misses']} acknowledged rows were not visible"
                     for one in results if one.peer == "tidemill" and one.probe.get("misses")]
    if "queries" in options.parts:
        answers = [queries.run(kind(options), options, work / f"{kind.name}-queries", work) for kind in present]
        problems += queries.report(answers, absent, options)
    if "one-row" in options.parts:
        results = [onerow.run(kind(options), options, work / f"{kind.name}-one-row") for kind in writers]
        onerow.report(results, silent, options)
        problems += [f"{name}, one-row: {problem}" for name, _, problem in results if problem]
    if "latency" in options.parts:
        if any(kind.name == "tidemill" for kind in present):
            problems += latency.run(BY_NAME["tidemill"](options), options, work / "tidemill-latency")
        else:
            print("Event to WebSocket frame: not run, since tidemill is not")
    ours = BY_NAME["tidemill"](options) if any(kind.name == "tidemill" for kind in present) else None
    if "kafka" in options.parts:
        problems += kafka.run(ours, options, work / "kafka")
    if "kafka-latency" in options.parts:
        if ours:
            problems += kafka.run_latency(BY_NAME["tidemill"](options), options, work / "kafka-latency")
        else:
            print("Kafka record to WebSocket frame: not run, since tidemill is not")
    return problems


if __name__ == "__main__":
    main()
