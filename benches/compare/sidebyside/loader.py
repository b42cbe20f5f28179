"""The load generator, `tidemill load`: one for all engines."""

import json
import subprocess

from .process import Failed


def run(binary, workload, url, path, *flags):
    """Runs `tidemill load WORKLOAD` to its end and returns its JSON summary."""
    command = [str(binary), "load", workload, "--url", url, "--path", path, *map(str, flags), "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Failed(f"load {workload} ended with status {done.returncode}: {' | '.join(words[-3:])}")
    try:
        # Progress may come first; the summary is the last line.
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise Failed(f"load {workload} printed no JSON summary: {error}") from error
