"""Exactly once: what servers hold is compared with what the cluster holds, record by record.

Servers are asked for counts by chunk of offsets, and for the offsets themselves only where a chunk is not simply whole, so
that fifty million records can be checked one by one. Rows must have the columns `partition` and `offset`.
"""

from collections import Counter
from dataclasses import dataclass, field

CHUNK = 1000
VIEW = "SELECT city, COUNT(*) AS n, SUM(price) AS price, SUM(quantity) AS quantity FROM {} WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY city"


@dataclass
class Count:
    """What came of a comparison."""

    records: int = 0
    lost: int = 0
    double: int = 0
    # Rows at offsets that no record has.
    strange: int = 0
    examples: list = field(default_factory=list)

    @property
    def right(self):
        return not (self.lost or self.double or self.strange)

    def note(self, what, partition, offset):
        """Notes an offset, as part of the range that it goes on."""
        if self.examples and self.examples[-1][:2] == (what, partition) and self.examples[-1][3] == offset - 1:
            self.examples[-1] = (what, partition, self.examples[-1][2], offset)
        elif len(self.examples) < 12:
            self.examples.append((what, partition, offset, offset))

    def __str__(self):
        words = f"{self.records:,} records: {self.lost} lost, {self.double} double, {self.strange} strange"
        examples = [f"{what} {partition}/{first}..{last}" for what, partition, first, last in self.examples]
        return "; ".join([words, *examples])


def _compare(count, partition, wanted, rows):
    """Counts the offsets of one chunk: those there are, and how often each was stored."""
    for offset in sorted(wanted):
        if rows.get(offset, 0) == 0:
            count.lost += 1
            count.note("lost", partition, offset)
    for offset, times in sorted(rows.items()):
        if offset not in wanted:
            count.strange += times
            count.note("strange", partition, offset)
        elif times > 1:
            count.double += times - 1
            count.note("double", partition, offset)


def whole(nodes, ends, stream="purchases"):
    """Each offset below `ends` ({partition: end}) once in all the nodes' streams together, and nothing else."""
    count = Count(records=sum(ends.values()))
    chunks = {(partition, first // CHUNK): [] for partition, end in ends.items() for first in range(0, end, CHUNK)}
    for node in nodes:
        held = {partition for (partition,) in node.sql(f"SELECT partition FROM {stream} GROUP BY partition")}
        # One at a time: the answer to all of them at once may take more memory than a query is given.
        for partition in sorted(held | set(ends)):
            for chunk, rows, distinct, low, high in node.sql(
                    f'SELECT "offset" / {CHUNK} AS chunk, COUNT(*) AS n, COUNT(DISTINCT "offset") AS d, MIN("offset") AS lo, '
                    f'MAX("offset") AS hi FROM {stream} WHERE partition = {partition} GROUP BY "offset" / {CHUNK}'):
                chunks.setdefault((partition, chunk), []).append((node, rows, distinct, low, high))
    for (partition, chunk), found in chunks.items():
        first = chunk * CHUNK
        end = min(first + CHUNK, ends.get(partition, 0))
        size = max(end - first, 0)
        # So many different offsets between these bounds are all there are.
        if len(found) == 1 and found[0][1:] == (size, size, first, end - 1):
            continue
        offsets = Counter()
        for node, *_ in found:
            offsets.update(offset for (offset,) in node.sql(
                f'SELECT "offset" FROM {stream} WHERE partition = {partition} AND "offset" >= {first} AND "offset" < {first + CHUNK}'))
        _compare(count, partition, range(first, first + size), offsets)
    return count


def exact(nodes, wanted, stream="purchases", condition="TRUE"):
    """Each (partition, offset) of a set once in all the nodes' streams together, and nothing else."""
    rows = Counter()
    for node in nodes:
        rows.update((partition, offset) for partition, offset in node.sql(f'SELECT partition, "offset" FROM {stream} WHERE {condition}'))
    count = Count(records=len(wanted))
    for partition in {place[0] for place in (*wanted, *rows)}:
        _compare(count, partition, {offset for own, offset in wanted if own == partition},
                 {offset: times for (own, offset), times in rows.items() if own == partition})
    return count


def view_differs(node, view="by_city", stream="purchases"):
    """None if a view of VIEW holds what its query gives over its stream, else the first difference."""
    names = "window_start, city, n, price, quantity"
    kept = sorted(node.sql(f"SELECT {names} FROM {view}"))
    fresh = sorted(node.sql(f"SELECT {names} FROM ({VIEW.format(stream)}) AS fresh"))
    if kept == fresh:
        return None
    for one, other in zip(kept, fresh):
        if one != other:
            return f"{node.name}: the view has {one}, its stream {other}"
    return f"{node.name}: the view has {len(kept)} rows, its stream gives {len(fresh)}"
