"""The one-row part: many keep-alive connections, each write a single row, each acknowledged."""

import shutil
import time

from . import ingest, loader
from .process import Failed
from .table import NOT_RUN, show


def run(peer, options, folder):
    """(peer's name, summary or None, problem or None): every acknowledged row must be there afterwards."""
    summary = None
    try:
        peer.start(folder)
        flags = ["--connections", options.connections, "--seconds", options.seconds]
        summary = loader.run(options.loader, "one-row", peer.url, peer.write_path, *flags)
        return peer.name, summary, verify(peer, summary)
    except (Failed, OSError, KeyError, ValueError) as error:
        return peer.name, summary, str(error)
    finally:
        try:
            peer.stop(cleaning=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def verify(peer, summary):
    """None when rows, sums and values are what was acknowledged, else the first difference."""
    rows, sums, counts = summary["rows"], summary["sums"], summary["counts"]
    ingest.await_visible(peer, rows, sums, time.monotonic())
    return ingest.check(peer, rows, sums, counts)


def report(results, absent, options):
    """Prints the table."""
    rows, notes = [], []
    for name, summary, problem in results:
        if summary:
            ack = summary["ack_ms"]
            sums = "WRONG" if problem else "right"
            rows.append([name, summary["rows_per_s"], ack["p50"], ack["p99"], ack["max"], sums])
        else:
            rows.append([name, "failed", "-", "-", "-", "-"])
        if problem:
            notes.append(f"{name}: {problem}")
    for name, reason in absent:
        rows.append([name, NOT_RUN, "-", "-", "-", "-"])
        notes.append(f"{name}: {reason}")
    show(f"One-row writes over {options.connections} keep-alive connections, {options.seconds} s",
         ["engine", "acks/s", "ack p50 ms", "p99", "max", "sums"], rows, notes)
