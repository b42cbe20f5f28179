"""The checks themselves: a stream that lost a record, or has one twice, must not pass. Needs no broker."""

import sqlite3
import unittest

import checks
import purchases


class Stream:
    """Stands for a server: a list of (partition, offset), asked with the same SQL."""

    name = "stand-in"

    def __init__(self, rows):
        self.db = sqlite3.connect(":memory:")
        self.db.execute('CREATE TABLE purchases (partition INTEGER, "offset" INTEGER)')
        self.db.executemany("INSERT INTO purchases VALUES (?, ?)", rows)

    def sql(self, text):
        return self.db.execute(text).fetchall()


ENDS = {0: 2500, 1: 1000, 2: 0}


def full():
    return [(partition, offset) for partition, end in ENDS.items() for offset in range(end)]


class Whole(unittest.TestCase):
    def see(self, *streams, ends=ENDS):
        count = checks.whole([Stream(rows) for rows in streams], ends)
        return count.lost, count.double, count.strange

    def test_all_in_one_or_spread(self):
        rows = full()
        self.assertEqual(self.see(rows), (0, 0, 0))
        self.assertEqual(self.see(rows[::3], rows[1::3], rows[2::3]), (0, 0, 0))
        self.assertEqual(self.see(rows[:1700], rows[1700:]), (0, 0, 0))

    def test_one_record_makes_the_difference(self):
        rows = full()
        for place in (0, 999, 1000, 1999, 2499, 2500, 3499):
            less = rows[:place] + rows[place + 1:]
            self.assertEqual(self.see(less), (1, 0, 0), place)
            self.assertEqual(self.see(rows + [rows[place]]), (0, 1, 0), place)
            self.assertEqual(self.see(rows, [rows[place]]), (0, 1, 0), place)
            # One lost and one double: the numbers of rows agree.
            self.assertEqual(self.see(less + [rows[(place + 1) % len(rows)]]), (1, 1, 0), place)
        self.assertEqual(self.see([]), (3500, 0, 0))
        self.assertEqual(self.see(rows + [(0, 2500)]), (0, 0, 1))
        self.assertEqual(self.see(rows + [(1, 7777)]), (0, 0, 1))
        self.assertEqual(self.see(rows + [(9, 3)]), (0, 0, 1))

    def test_ranges_are_told(self):
        rows = [row for row in full() if not (row[0] == 0 and 990 <= row[1] < 1010)] + [(1, 5)]
        count = checks.whole([Stream(rows)], ENDS)
        self.assertEqual(str(count), "3,500 records: 20 lost, 1 double, 0 strange; lost 0/990..1009; double 1/5..5")

    def test_a_set_with_gaps(self):
        wanted = set(full()[::7])
        rows_of = list(wanted)
        cases = ((rows_of, (0, 0, 0)), (full(), (0, 0, 3000)), (rows_of[1:], (1, 0, 0)), (rows_of * 2, (0, 500, 0)))
        for rows, found in cases:
            count = checks.exact([Stream(rows)], wanted)
            self.assertEqual((count.lost, count.double, count.strange), found)
            self.assertEqual(count.right, found == (0, 0, 0))


class Purchases(unittest.TestCase):
    def test_totals_are_those_of_the_records(self):
        for ends in ({0: 0}, {0: 1, 3: 10}, {2: purchases.PERIOD + 17, 5: 2 * purchases.PERIOD}):
            records = [purchases.record(partition, seq) for partition, end in ends.items() for seq in range(end)]
            sums = [sum(record[name] for record in records) for name in ("price", "quantity", "seq")]
            self.assertEqual(purchases.totals(ends), purchases.Totals(len(records), *sums))

    def test_period(self):
        for seq in (0, 5, 3599):
            one, other = purchases.record(3, seq), purchases.record(3, seq + purchases.PERIOD)
            self.assertEqual([one[name] for name in ("price", "quantity", "city")], [other[name] for name in ("price", "quantity", "city")])


if __name__ == "__main__":
    unittest.main()
