"""The one-row part: many keep-alive connections, each write a single row, each acknowledged."""

import shutil

from . import loader
from .process import Failed
from .table import NOT_RUN, show


def run(peer, options, folder):
    """(peer's name, summary or None, problem or None)."""
    try:
        peer.start(folder)
        flags = ["--connections", options.connections, "--seconds", options.seconds]
        return peer.name, loader.run(options.loader, "one-row", peer.url, peer.write_path, *flags), None
    except (Failed, OSError) as error:
        return peer.name, None, str(error)
    finally:
        try:
            peer.stop(cleaning=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def report(results, absent, options):
    """Prints the table."""
    rows, notes = [], []
    for name, summary, problem in results:
        if summary:
            ack = summary["ack_ms"]
            rows.append([name, summary["rows_per_s"], ack["p50"], ack["p99"], ack["max"]])
        else:
            rows.append([name, "failed", "-", "-", "-"])
            notes.append(f"{name}: {problem}")
    for name, reason in absent:
        rows.append([name, NOT_RUN, "-", "-", "-"])
        notes.append(f"{name}: {reason}")
    show(f"One-row writes over {options.connections} keep-alive connections, {options.seconds} s",
         ["engine", "acks/s", "ack p50 ms", "p99", "max"], rows, notes)
