"""TSBS cpu-only: its columns and its twelve query types, free of any dialect.

After the published definition of the Time Series Benchmark Suite's DevOps use case: 4,000 hosts
with 10 tags report 10 integer fields every 10 seconds. A query type fixes the number of fields,
hosts and hours; an instance draws the hosts and the start at random.
"""

import random
from dataclasses import dataclass, field

NS = 1_000_000_000
TICK = 10 * NS
MINUTE = 60 * NS
HOUR = 3600 * NS

TAGS = (
    "hostname region datacenter rack os arch team service service_version service_environment".split()
)
FIELDS = [
    "usage_" + name
    for name in "user system idle nice iowait irq softirq steal guest guest_nice".split()
]


@dataclass(frozen=True)
class Type:
    """One query type. `hosts` 0 means all of them; `hours` 0 means no time range."""

    name: str
    shape: str  # 'max' | 'avg' | 'high' | 'limit' | 'last'
    fields: int
    hosts: int
    hours: int
    bucket: int = 0


TYPES = [
    Type("single-groupby-1-1-1", "max", 1, 1, 1, MINUTE),
    Type("single-groupby-1-8-1", "max", 1, 8, 1, MINUTE),
    Type("single-groupby-5-8-1", "max", 5, 8, 1, MINUTE),
    Type("cpu-max-all-1", "max", 10, 1, 8, HOUR),
    Type("cpu-max-all-8", "max", 10, 8, 8, HOUR),
    Type("double-groupby-1", "avg", 1, 0, 12, HOUR),
    Type("double-groupby-5", "avg", 5, 0, 12, HOUR),
    Type("double-groupby-all", "avg", 10, 0, 12, HOUR),
    Type("high-cpu-1", "high", 10, 1, 12),
    Type("high-cpu-all", "high", 10, 0, 12),
    Type("groupby-orderby-limit", "limit", 1, 0, 0, MINUTE),
    Type("lastpoint", "last", 10, 0, 0),
]


@dataclass(frozen=True)
class Instance:
    """One query to ask: times are ns since the epoch, `[start, end)`."""

    type: Type
    fields: list = field(default_factory=list)
    hosts: list = field(default_factory=list)
    start: int = 0
    end: int = 0

    @property
    def columns(self):
        """The columns by which answers are compared, in order."""
        if self.type.shape in ("high", "last"):
            return ["time", "hostname", *self.fields]
        if self.type.shape == "avg":
            return ["time", "hostname", *[f"avg_{name}" for name in self.fields]]
        return ["time", *[f"max_{name}" for name in self.fields]]


def instances(query_type, count, hosts, first, last, seed):
    """`count` random instances over data of `hosts` hosts between `first` and `last` (ns).

    Starts are whole buckets, so that engines which can only step from the start of the range give
    the same buckets. A range longer than the data covers all of it from a random start before it:
    the nominal width stays and no two instances need be the same text.
    """
    # One generator per type: what one type draws does not depend on which others run.
    rng = random.Random(f"{seed}/{query_type.name}")
    step = query_type.bucket or MINUTE
    for _ in range(count):
        names = [f"host_{n}" for n in sorted(rng.sample(range(hosts), query_type.hosts))]
        fields = FIELDS[: query_type.fields]
        if query_type.shape == "last":
            yield Instance(query_type, fields)
        elif query_type.shape == "limit":
            # The range ends at a random moment; what lies before it is grouped. At least an eighth
            # of the data, so that there are five buckets.
            low = first + max((last - first) // 8, 6 * MINUTE)
            yield Instance(query_type, fields, [], 0, min(rng.randrange(low, max(last, low + 1)), last))
        else:
            width = query_type.hours * HOUR
            a, b = sorted((first, last + TICK - width))
            low, high = -(-a // step), b // step
            start = rng.randint(min(low, high), high) * step
            yield Instance(query_type, fields, names, start, start + width)
