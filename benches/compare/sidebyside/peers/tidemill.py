"""Tidemill over HTTP: line protocol in, SQL out."""

import json
from pathlib import Path

from ..answers import millis
from ..dialects import TIDEMILL, stamp
from ..process import Failed
from .base import Peer, metric, totals_of, totals_sql


class Tidemill(Peer):
    name = "tidemill"
    promise = "synced and visible"
    write_path = "/write?db=default&precision=ns"
    # The generator itself reads back so many of its own rows the moment they are acknowledged, too;
    # it knows Tidemill's SQL route alone.
    load_flags = ("--verify-sample", "200", "--verify-path", "/api/v1/sql?db=default")

    def install(self):
        if not Path(self.options.tidemill).exists():
            raise Failed(f"no {self.options.tidemill}: build it with `cargo build --release`")

    def command(self):
        command = [
            str(self.options.tidemill),
            "serve",
            "--data-dir",
            str(self.folder),
            "--listen",
            f"127.0.0.1:{self.port}",
        ]
        return command, dict(self.options.tidemill_env)

    def ping(self):
        self.http.expect("GET", "/ready")

    def _raw(self, sql):
        return self.http.expect("POST", "/api/v1/sql", sql.encode(), {"Content-Type": "text/plain"})

    def sql(self, sql):
        """The rows of a statement."""
        return json.loads(self._raw(sql))["rows"]

    def flush(self):
        self.http.expect("POST", "/api/v1/admin/flush")
        self.http.expect("POST", "/api/v1/admin/compact")

    def flushes(self):
        return int(metric(self.http.expect("GET", "/metrics").decode(), "tidemill_flushes_total"))

    def _storage(self):
        return json.loads(self.http.expect("GET", "/api/v1/admin/storage"))

    def idle_bytes(self):
        return self._storage()["wal_ready_bytes"]

    def log_bytes(self):
        return self._storage()["wal_bytes"]

    def totals(self):
        return totals_of(self.sql(totals_sql())[0])

    def shows(self, rows, sums):
        return self.sql("SELECT count(*) AS n FROM cpu")[0][0] == rows

    def span(self):
        first, last = self.sql("SELECT min(time) AS a, max(time) AS b FROM cpu")[0]
        return millis(first) * 1_000_000, millis(last) * 1_000_000

    def sees(self, host, at):
        sql = f"SELECT count(*) AS n FROM cpu WHERE hostname = '{host}' AND time = '{stamp(at)}'"
        return self.sql(sql)[0][0] == 1

    def ask(self, query):
        return self._raw(TIDEMILL.render(query))

    def read(self, query, raw):
        answer = json.loads(raw)
        return [column["name"] for column in answer["columns"]], answer["rows"]

    def export_csv(self, path):
        """Writes the table `cpu` to a file with a header line."""
        self.http.download("/api/v1/sql?q=SELECT%20*%20FROM%20cpu", path, {"Accept": "text/csv"})
