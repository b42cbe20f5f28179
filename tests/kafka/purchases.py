"""The purchases of Load.java: what each record holds, and what all up to one add up to.

Record `seq` of partition `p` is a function of both, with prices in quarters: sums of doubles are exact, and a count by
partition is enough to know every total. test_fill holds `record` against what Load.java sent.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from broker import Failed, die_with_parent, java

CITIES = ["Amsterdam", "Berlin", "Cairo", "Delhi", "Evora", "Florence", "Geneva", "Hanoi"]
COLUMNS = ("user_id STRING TAG, product STRING, price DOUBLE, quantity BIGINT, city STRING, ts TIMESTAMP, seq BIGINT")
# All that a record's price, quantity and city depend on repeats after so many records.
PERIOD = 3600


def record(partition, seq):
    """The record's fields as JSON has them."""
    ms = seq * 4 % 2_678_400_000
    return {
        "user_id": f"u{(seq * 31 + partition) % 1000:03}",
        "product": f"p{(seq * 7 + partition) % 50:02}",
        "price": (seq * 13 + partition * 7) % 400 / 4,
        "quantity": 1 + (seq * 3 + partition) % 9,
        "city": CITIES[(seq * 5 + partition) % 8],
        "ts": f"2026-01-{1 + ms // 86_400_000:02}T{ms // 3_600_000 % 24:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}Z",
        "seq": seq,
    }


def value(partition, seq):
    """The record's value."""
    return json.dumps(record(partition, seq), separators=(",", ":")).encode()


@dataclass(frozen=True)
class Totals:
    """What a set of records adds up to."""

    rows: int
    price: float
    quantity: int
    seq: int


def totals(ends):
    """Totals of all records below the ends: {partition: end}."""
    rows = quantity = seq = 0
    quarters = 0
    for partition, end in ends.items():
        whole, rest = divmod(end, PERIOD)
        for times, length in ((whole, PERIOD), (1, rest)):
            quarters += times * sum((s * 13 + partition * 7) % 400 for s in range(length))
            quantity += times * sum(1 + (s * 3 + partition) % 9 for s in range(length))
        rows += end
        seq += end * (end - 1) // 2
    return Totals(rows, quarters / 4, quantity, seq)


class Load:
    """A running Load.java."""

    def __init__(self, address, topic, partitions, records=0, rate=0, producers=2, bare=False):
        words = [address, topic, partitions, records, rate, producers, *(["bare"] if bare else [])]
        self.child = subprocess.Popen([*java("384m", "error"), str(Path(__file__).with_name("Load.java")), *map(str, words)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        if self.child.stdout.readline().strip() != "started":
            self.child.kill()
            raise Failed("Load.java did not start")

    def finish(self, seconds=600):
        """Ends an endless load and returns what it sent when all is acknowledged: {partition: end}."""
        try:
            said, _ = self.child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise Failed(f"the load was not acknowledged in {seconds} s") from None
        answer = json.loads(said.strip().splitlines()[-1]) if said.strip() else {"error": "no word"}
        if "error" in answer:
            raise Failed(f"the load failed: {answer['error']}")
        self.records, self.seconds = answer["records"], answer["seconds"]
        return dict(enumerate(answer["ends"]))

    def abandon(self):
        """Kills it, if it still runs."""
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()


def fill(address, topic, partitions, records):
    """Sends so many records and returns {partition: end}."""
    return Load(address, topic, partitions, records).finish()
