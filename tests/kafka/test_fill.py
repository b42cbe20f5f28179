"""A topic that is full already, and then read by one server."""

import json
import time
import unittest

from harness import Case, knob
from purchases import fill, record


class Fill(Case):
    def test_records_are_what_the_checks_believe(self):
        self.cluster.create(self.topic, 3)
        ends = fill(self.broker.address, self.topic, 3, 11_000)
        found = self.cluster.committed(self.topic)
        self.assertEqual(len(found), sum(ends.values()))
        for (partition, offset), value in found.items():
            self.assertEqual(json.loads(value), record(partition, offset))

    def test_fill(self):
        records = knob("RECORDS", 500_000)
        self.cluster.create(self.topic, 8)
        ends = fill(self.broker.address, self.topic, 8, records)
        node = self.node()
        begun = time.monotonic()
        self.consume(node)
        self.settle([node], records)
        took = time.monotonic() - begun
        self.say(f"{records / took:,.0f} records/s from the statement to the last row")
        self.check_whole([node], ends)
        self.check_no_letters(node)
        node.stop()
        node.start()
        more = fill(self.broker.address, self.topic, 8, records // 10)
        self.settle([node], sum(more.values()))
        self.check_whole([node], more)


if __name__ == "__main__":
    unittest.main()
