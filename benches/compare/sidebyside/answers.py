"""Answers of different engines brought to one form, so that they can be compared.

An answer is its column names and rows. Its digest has the number of rows, a hash of the key columns
(time in ms, host) in sorted order, and one sum per value column. Integers must agree exactly;
averages to 1e-9 of the sum.
"""

import datetime
import hashlib
import math
from dataclasses import dataclass


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def millis(value):
    """A time as engines give it (RFC 3339, datetime) in ms since the epoch; integers are ms already."""
    if value is None:
        raise ValueError("there is no time")
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        text = value.replace(" ", "T", 1).rstrip("Z")
        whole, _, fraction = text.partition(".")
        seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc) - EPOCH
        return round(seconds.total_seconds()) * 1000 + int((fraction + "000")[:3])
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.timezone.utc)
    return round((value - EPOCH).total_seconds() * 1000)


@dataclass(frozen=True)
class Digest:
    """What two answers to the same question must have in common."""

    rows: int
    keys: str
    sums: tuple

    def agrees(self, other):
        """Whether the other is the same answer."""
        return (
            self.rows == other.rows
            and self.keys == other.keys
            and len(self.sums) == len(other.sums)
            and all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(self.sums, other.sums, strict=True))
        )

    def difference(self, other):
        """In words, the first thing in which the two differ."""
        if self.rows != other.rows:
            return f"{self.rows} rows against {other.rows}"
        if self.keys != other.keys:
            return "the times or hosts of the rows differ"
        return f"column sums {self.sums[:3]} against {other.sums[:3]}"


def digest(columns, rows, wanted):
    """The digest of an answer over the `wanted` columns; ValueError when one is missing."""
    names = {"timestamp": "time", "bucket": "time"}
    place = {names.get(name, name): i for i, name in enumerate(columns)}
    missing = [name for name in wanted if name not in place]
    if missing:
        raise ValueError(f"the answer has no column {missing[0]}; it has {', '.join(columns)}")
    key_places = [place[name] for name in ("time", "hostname") if name in wanted]
    value_places = [place[name] for name in wanted if name not in ("time", "hostname")]
    seen = {}

    def key(row):
        # Times repeat a lot: each text is read once.
        first = row[key_places[0]]
        if first not in seen:
            seen[first] = millis(first)
        return (seen[first], *[row[p] for p in key_places[1:]])

    hashed = hashlib.blake2b(digest_size=8)
    for item in sorted(map(key, rows)):
        hashed.update(repr(item).encode())
    # fsum of floats, a plain sum of integers: neither depends on the order of rows.
    sums = tuple(math.fsum(row[p] for row in rows if row[p] is not None) for p in value_places)
    return Digest(len(rows), hashed.hexdigest(), sums)


def from_matrix(series, step_seconds, fields, kind):
    """Columns and rows of a Prometheus matrix as `dialects.metricsql` asks for it."""
    table = {}
    for one in series:
        metric = one["metric"]
        name = metric["__name__"].removeprefix("cpu_")
        for at, value in one["values"]:
            begin = round(at * 1000) + 1 - step_seconds * 1000
            table.setdefault((begin, metric.get("hostname")), {})[name] = float(value)
    by_host = any("hostname" in one["metric"] for one in series)
    columns = ["time", *(["hostname"] if by_host else []), *[f"{kind}_{name}" for name in fields]]
    rows = []
    for (begin, host), values in sorted(table.items(), key=lambda item: (item[0][0], item[0][1] or "")):
        rows.append([begin, *([host] if by_host else []), *[values.get(name) for name in fields]])
    return columns, rows
