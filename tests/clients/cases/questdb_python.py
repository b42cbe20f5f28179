"""The questdb client over HTTP: its settings request, rows of every type, auto-flush, timestamps."""
# needs: python

import datetime
import warnings

from tidemill_sql import PORT, want

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from questdb.ingress import Sender, TimestampNanos

ROWS = 12_345
BASE = 1_700_000_000_000_000_000

# auto_flush_rows is far below the number of rows: most of them leave without a call to flush.
with Sender.from_conf(f"http::addr=127.0.0.1:{PORT};auto_flush_rows=1000;auto_flush_interval=60000;") as sender:
    for i in range(ROWS):
        sender.row(
            "quest_rows",
            symbols={"host": f"h{i % 10}", "zone": "a b"},
            columns={"n": i, "load": i / 8, "up": i % 2 == 0, "note": f"row {i}"},
            at=TimestampNanos(BASE + i),
        )
    at = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    sender.row("quest_rows", symbols={"host": "dated"}, columns={"load": 0.5}, at=at)

want("SELECT count(*) AS n, sum(n) AS s FROM quest_rows", [[ROWS + 1, ROWS * (ROWS - 1) // 2]])
want("SELECT count(*) AS n, sum(load) AS s FROM quest_rows WHERE zone = 'a b' AND up",
     [[(ROWS + 1) // 2, sum(i / 8 for i in range(0, ROWS, 2))]])
want("SELECT n, load, up, note FROM quest_rows WHERE host = 'h7' ORDER BY time LIMIT 1", [[7, 0.875, False, "row 7"]])
want("SELECT load FROM quest_rows WHERE host = 'dated' AND time = '2024-01-01T00:00:00Z'", [[0.5]])
