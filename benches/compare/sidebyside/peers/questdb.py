"""QuestDB over HTTP: line protocol in, its own SQL out."""

import json
import time

from ..answers import millis
from ..dialects import QUESTDB, stamp
from ..process import Failed
from .base import Peer, cache, quoted, run_installer, totals_of, totals_sql


class QuestDb(Peer):
    name = "questdb"
    promise = "in the log, not synced; visible later"
    write_path = "/write?precision=n"

    def install(self):
        run_installer("questdb")

    def command(self):
        jars = sorted((cache() / "questdb").glob("questdb-*.jar"))
        if not jars:
            raise Failed("no questdb jar in the cache")
        # Only HTTP: the other listeners have fixed ports. Everything that bears on speed is as shipped.
        env = {
            "QDB_HTTP_BIND_TO": f"127.0.0.1:{self.port}",
            "QDB_HTTP_MIN_ENABLED": "false",
            "QDB_LINE_TCP_ENABLED": "false",
            "QDB_PG_ENABLED": "false",
            "QDB_TELEMETRY_ENABLED": "false",
        }
        command = ["java", "-p", str(jars[-1]), "-m", "io.questdb/io.questdb.ServerMain", "-d", str(self.folder)]
        return command, env

    def ping(self):
        self._rows("SELECT 1")

    def flush(self):
        # There is no call for it: a job removes log segments that are applied every 30 s.
        time.sleep(35)

    def _raw(self, sql):
        return self.http.expect("GET", "/exec?" + quoted(query=sql))

    def _rows(self, sql):
        return json.loads(self._raw(sql))["dataset"]

    def totals(self):
        return totals_of(self._rows(totals_sql())[0])

    def shows(self, rows, sums):
        # `SELECT count()` reads the transaction's row count, no column.
        return self._rows("SELECT count() FROM cpu")[0][0] == rows

    def span(self):
        first, last = self._rows("SELECT min(timestamp), max(timestamp) FROM cpu")[0]
        return millis(first) * 1_000_000, millis(last) * 1_000_000

    def sees(self, host, at):
        sql = f"SELECT count() FROM cpu WHERE hostname = '{host}' AND timestamp = '{stamp(at)}'"
        return self._rows(sql)[0][0] == 1

    def ask(self, query):
        return self._raw(QUESTDB.render(query))

    def read(self, query, raw):
        answer = json.loads(raw)
        return [column["name"] for column in answer["columns"]], answer["dataset"]

    def export_csv(self, path):
        """Writes the table `cpu` to a file with a header line."""
        self.http.download("/exp?" + quoted(query="SELECT * FROM cpu"), path)
