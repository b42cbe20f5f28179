"""The TSBS query types in each engine's own language.

SQL engines differ in the name of the time column, in how a bucket is written and in how the last
row per host is asked for; a `Sql` holds these differences. TSBS itself uses the same forms.
"""

import datetime
from dataclasses import dataclass

from .tsbs import HOUR, MINUTE, NS

UNITS = {MINUTE: ("minute", "1m"), HOUR: ("hour", "1h")}


def stamp(ns):
    """RFC 3339 in UTC, to the microsecond where there is a fraction."""
    whole = datetime.datetime.fromtimestamp(ns // NS, datetime.timezone.utc)
    micros = ns % NS // 1000
    return whole.strftime("%Y-%m-%dT%H:%M:%S") + (f".{micros:06d}" if micros else "") + "Z"


@dataclass(frozen=True)
class Sql:
    """One SQL dialect. `bucket` is a function of the bucket's ns."""

    time: str
    bucket: object = None
    last: object = None

    def render(self, query):
        """The instance as this dialect's SQL."""
        return getattr(self, "_" + query.type.shape)(query)

    def _where(self, query, *more):
        terms = list(more)
        if query.hosts:
            terms.append("hostname IN (" + ", ".join(f"'{name}'" for name in query.hosts) + ")")
        if query.start:
            terms.append(f"{self.time} >= '{stamp(query.start)}'")
        if query.end:
            terms.append(f"{self.time} < '{stamp(query.end)}'")
        return " AND ".join(terms)

    def _max(self, query):
        bucket = self.bucket(query.type.bucket)
        values = ", ".join(f"max({name}) AS max_{name}" for name in query.fields)
        return f"SELECT {bucket} AS bucket, {values} FROM cpu WHERE {self._where(query)} GROUP BY {bucket} ORDER BY bucket"

    def _avg(self, query):
        bucket = self.bucket(query.type.bucket)
        values = ", ".join(f"avg({name}) AS avg_{name}" for name in query.fields)
        return (
            f"SELECT {bucket} AS bucket, hostname, {values} FROM cpu WHERE {self._where(query)} "
            f"GROUP BY {bucket}, hostname ORDER BY bucket, hostname"
        )

    def _high(self, query):
        return f"SELECT * FROM cpu WHERE {self._where(query, 'usage_user > 90')}"

    def _limit(self, query):
        bucket = self.bucket(query.type.bucket)
        name = query.fields[0]
        return (
            f"SELECT {bucket} AS bucket, max({name}) AS max_{name} FROM cpu WHERE {self._where(query)} "
            f"GROUP BY {bucket} ORDER BY bucket DESC LIMIT 5"
        )

    def _last(self, query):
        return self.last


@dataclass(frozen=True)
class QuestSql(Sql):
    """QuestDB samples by a column of its own and needs no GROUP BY."""

    def _max(self, query):
        values = ", ".join(f"max({name}) AS max_{name}" for name in query.fields)
        step = UNITS[query.type.bucket][1]
        return f"SELECT timestamp AS bucket, {values} FROM cpu WHERE {self._where(query)} SAMPLE BY {step}"

    def _avg(self, query):
        values = ", ".join(f"avg({name}) AS avg_{name}" for name in query.fields)
        step = UNITS[query.type.bucket][1]
        return (
            f"SELECT timestamp AS bucket, hostname, {values} FROM cpu WHERE {self._where(query)} "
            f"SAMPLE BY {step} ORDER BY bucket, hostname"
        )

    def _limit(self, query):
        name = query.fields[0]
        step = UNITS[query.type.bucket][1]
        return (
            f"SELECT timestamp AS bucket, max({name}) AS max_{name} FROM cpu WHERE {self._where(query)} "
            f"SAMPLE BY {step} ORDER BY bucket DESC LIMIT 5"
        )


TIDEMILL = Sql(
    time="time",
    bucket=lambda ns: f"time_bucket('1 {UNITS[ns][0]}', time)",
    last="SELECT * FROM cpu LATEST ON time PARTITION BY hostname",
)
QUESTDB = QuestSql(time="timestamp", last="SELECT * FROM cpu LATEST ON timestamp PARTITION BY hostname")
DUCKDB = Sql(
    time="time",
    bucket=lambda ns: f"time_bucket(INTERVAL '1 {UNITS[ns][0]}', time)",
    last=(
        "SELECT * FROM cpu QUALIFY row_number() OVER (PARTITION BY hostname ORDER BY time DESC) = 1"
    ),
)


def metricsql(query):
    """(expression, start, end, step in s) of a range query, or None where TSBS has no such form.

    A window of MetricsQL is `(t - w, t]` in ms: asked 1 ms before a bucket's end it is exactly
    `[begin, end)` of data in whole ms. The reader takes that ms off again.
    """
    if query.type.shape not in ("max", "avg"):
        return None
    step = query.type.bucket
    window = UNITS[step][1]
    terms = ['__name__=~"' + "|".join(f"cpu_{name}" for name in query.fields) + '"']
    if query.hosts:
        terms.append('hostname=~"' + "|".join(query.hosts) + '"')
    selector = "{" + ",".join(terms) + "}"
    kind = query.type.shape
    by = "__name__" if kind == "max" else "__name__, hostname"
    expression = f"{kind}({kind}_over_time({selector}[{window}])) by ({by})"
    return expression, (query.start + step) / NS - 0.001, query.end / NS - 0.001, step // NS
