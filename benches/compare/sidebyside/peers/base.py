"""What the comparison asks of an engine."""

import os
import subprocess
import urllib.parse
from pathlib import Path

from ..process import Failed, Http, Server, free_port
from ..tsbs import FIELDS

REPOSITORY = Path(__file__).resolve().parents[4]


def cache():
    """Where the install scripts put things."""
    return Path(os.environ.get("TIDEMILL_CACHE") or REPOSITORY / ".cache").resolve()


def run_installer(name):
    """Runs tests/install/NAME.sh; Failed with its last words when it fails."""
    script = REPOSITORY / "tests" / "install" / f"{name}.sh"
    done = subprocess.run(["bash", str(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failed((done.stdout.strip().splitlines() or [f"{script} failed"])[-1])


def quoted(**parameters):
    """A query string."""
    return urllib.parse.urlencode(parameters)


class Peer:
    """One engine, from its installation to its last byte. Subclasses fill in what differs."""

    name = ""
    # What must hold when the engine acknowledges a write.
    promise = ""
    # False for an engine without a line-protocol endpoint.
    takes_line_protocol = True
    # Whether queries cross a socket.
    in_process = False

    def __init__(self, options):
        self.options = options
        self.server = None
        self.http = None
        self.folder = None
        self.port = None

    # Life.

    def install(self):
        """Makes the engine available, or raises Failed."""

    def command(self):
        """(argument list, extra environment) of the server for self.folder and self.port."""
        raise NotImplementedError

    def ping(self):
        """Returns once the server answers; raises OSError or Failed before."""
        raise NotImplementedError

    def start(self, folder):
        """Starts the server on an empty folder."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        command, env = self.command()
        self.server = Server(self.name, command, str(self.folder) + ".log", env)
        self.http = Http(self.port)
        self.server.await_ready(self.ping)

    def stop(self, cleaning=False):
        """Ends the server gracefully; a second call does nothing. One that must be killed is an
        error, but not when cleaning up after another."""
        if self.http:
            self.http.close()
        if self.server:
            try:
                self.server.stop()
            except Failed:
                if not cleaning:
                    raise

    def reconnect(self):
        """A connection of its own for a forked process."""
        self.http = Http(self.port)

    # Writing.

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    # Path and query of the line-protocol endpoint.
    write_path = "/write"

    # Further flags of the load generator.
    load_flags = ()

    def flush(self):
        """Brings what is in memory to its resting place, where the engine has a call for it."""

    def flushes(self):
        """How often rows have gone from memory to their resting place since the start; None if unknown."""
        return None

    def idle_bytes(self):
        """Bytes below the data folder that hold no data, such as recycled log files."""
        return 0

    def log_bytes(self):
        """Bytes of the data folder that are log files in use, whose size is fixed; None if unknown."""
        return None

    # Reading.

    def totals(self):
        """(rows or None where rows are no notion, {field: sum}, {field: values}) of all that is in `cpu`."""
        raise NotImplementedError

    def shows(self, rows, sums):
        """Whether everything written is visible now."""
        return self.totals()[0] == rows

    def span(self):
        """(first, last) event time in ns."""
        raise NotImplementedError

    def newest(self):
        """An event time (ns) at which a further row arrives in order, or nearly."""
        return self.span()[1]

    def sees(self, host, at):
        """Whether the row of `host` at `at` (ns) is visible now."""
        raise NotImplementedError

    def can_ask(self, query):
        """Whether the engine's language has the query."""
        return True

    def ask(self, query):
        """The engine's raw answer, complete; this is the timed part."""
        raise NotImplementedError

    def read(self, query, raw):
        """(columns, rows) of a raw answer; not timed."""
        raise NotImplementedError


def metric(text, name):
    """The value of a metric without labels on a page in Prometheus' text form."""
    for line in text.splitlines():
        parts = line.split()
        if len(parts) >= 2 and parts[0] == name:
            return float(parts[1])
    raise Failed(f"there is no metric {name}")


def totals_sql():
    """One statement with the number of rows and the sum and count of each field, in this order."""
    terms = [f"{function}({name}) AS {function}_{name}" for function in ("sum", "count") for name in FIELDS]
    return f"SELECT count(*) AS n, {', '.join(terms)} FROM cpu"


def totals_of(row):
    """The row of `totals_sql` as (rows, {field: sum}, {field: count})."""
    cut = 1 + len(FIELDS)
    return row[0], dict(zip(FIELDS, row[1:cut], strict=True)), dict(zip(FIELDS, row[cut:], strict=True))
