"""The sampled reader: writes a row amid the load, and once it is acknowledged asks for it, once.

It runs in a process of its own, so that neither the generator nor the harness delays it. No row is
written twice and no read is repeated: a read that does not see its row is a miss.
"""

import multiprocessing
import time

from .process import Failed
from .tsbs import FIELDS, TAGS, TICK

VALUE = 50


def row(host, at):
    """A full row of `cpu` whose fields are all VALUE."""
    tags = ",".join(f"{name}=probe" for name in TAGS[1:])
    fields = ",".join(f"{name}={VALUE}i" for name in FIELDS)
    return f"cpu,hostname={host},{tags} {fields} {at}\n"


class Prober:
    """Runs beside a load. `stop` returns what was seen."""

    def __init__(self, peer, interval=0.1):
        # fork: the peer object goes along as it is, and opens its own connection there.
        context = multiprocessing.get_context("fork")
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=_probe, args=(peer, interval, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def stop(self):
        """{'acked', 'misses', 'read_ms': sorted list, 'error': first error or None}."""
        try:
            self.ours.send("stop")
            return self.ours.recv()
        except (EOFError, OSError) as error:
            raise Failed(f"the sampled reader died: {error}") from error
        finally:
            self.process.join(10)
            if self.process.is_alive():
                self.process.kill()


def _probe(peer, interval, pipe):
    seen = {"acked": 0, "misses": 0, "read_ms": [], "error": None}
    peer.reconnect()
    try:
        _await_first_rows(peer, pipe)
        while not pipe.poll(interval):
            host, at = f"probe_{seen['acked']}", peer.newest() + TICK
            peer.http.expect("POST", peer.write_path, row(host, at).encode())
            seen["acked"] += 1
            begin = time.perf_counter()
            visible = peer.sees(host, at)
            seen["read_ms"].append((time.perf_counter() - begin) * 1e3)
            seen["misses"] += not visible
    except Exception as error:  # whatever it was, the harness must hear of it
        seen["error"] = f"{type(error).__name__}: {error}"
    if seen["error"]:
        pipe.poll(None)
    pipe.recv()
    seen["read_ms"].sort()
    pipe.send(seen)


def _await_first_rows(peer, pipe):
    """Returns once the load has begun, or once the harness says stop."""
    while not pipe.poll(0.2):
        try:
            peer.newest()
            return
        except (Failed, LookupError, TypeError, ValueError):
            continue  # there is no table yet, or no row in it
