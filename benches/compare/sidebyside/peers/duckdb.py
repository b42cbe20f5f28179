"""DuckDB, inside this process: no socket and no text, so its figures are a lower bound to beat."""

import datetime

from ..dialects import DUCKDB
from ..process import Failed
from .base import Peer, run_installer, totals_of, totals_sql


class DuckDb(Peer):
    name = "duckdb"
    promise = "no server"
    takes_line_protocol = False
    in_process = True

    def __init__(self, options):
        super().__init__(options)
        self.database = None

    def install(self):
        run_installer("python")
        try:
            import duckdb  # noqa: F401
            import numpy  # noqa: F401
        except ImportError as error:
            raise Failed(str(error)) from error

    def start(self, folder):
        import duckdb

        folder.mkdir(parents=True)
        self.folder = folder
        self.database = duckdb.connect(str(folder / "cpu.duckdb"))
        self.database.execute("SET TimeZone = 'UTC'")

    def stop(self, cleaning=False):
        if self.database:
            self.database.execute("CHECKPOINT")
            self.database.close()
            self.database = None

    def import_csv(self, path, time_column):
        """Loads an exported table; tags become VARCHAR, fields BIGINT."""
        self.database.execute(
            f"CREATE TABLE cpu AS SELECT * EXCLUDE ({time_column}), {time_column}::TIMESTAMP AS time "
            f"FROM read_csv('{path}', header = true, types = {{'rack': 'VARCHAR', 'service': 'VARCHAR', "
            f"'service_version': 'VARCHAR', '{time_column}': 'TIMESTAMP'}}) ORDER BY time"
        )
        self.database.execute("CHECKPOINT")

    def totals(self):
        return totals_of(self.database.execute(totals_sql()).fetchone())

    def span(self):
        first, last = self.database.execute("SELECT min(time), max(time) FROM cpu").fetchone()
        utc = datetime.timezone.utc
        return tuple(round(at.replace(tzinfo=utc).timestamp()) * 1_000_000_000 for at in (first, last))

    def ask(self, query):
        # The cheapest complete answer that the API gives: columns in memory.
        return self.database.execute(DUCKDB.render(query)).fetchnumpy()

    def read(self, query, raw):
        names = list(raw)
        columns = []
        for name in names:
            values = raw[name]
            if name in ("time", "bucket"):
                columns.append([int(v) for v in values.astype("datetime64[ms]").astype("int64")])
            else:
                columns.append(values.tolist())
        return names, list(zip(*columns, strict=True))
