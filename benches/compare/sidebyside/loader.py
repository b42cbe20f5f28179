"""The load generator, `tidemill load`: one for all engines."""

import json
import subprocess

from .process import Failed


def run(binary, workload, url, path, *flags):
    """Runs `tidemill load WORKLOAD` to its end and returns its JSON summary."""
    command = [str(binary), "load", workload, "--url", url, "--path", path, *map(str, flags), "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        # A summary is there even where the load ended early, or a row could not be read back.
        summary = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        text = done.stderr.strip() or done.stdout.strip() or str(error)
        words = text.split("Stack backtrace:")[0].split()
        raise Failed(f"load {workload} ended with status {done.returncode}: {' '.join(words)[:400]}") from error
    return finished(workload, summary)


def finished(workload, summary):
    """The summary of a load that has come to its end; Failed for one that has not."""
    if summary.get("error"):
        raise Failed(f"load {workload} ended early, after {summary['rows']} rows in {summary['seconds']:.1f} s: "
                     f"{summary['error'][:400]}")
    return summary
