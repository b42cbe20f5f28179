"""Bad records among good ones: each is a dead letter, once, and the partition goes on. Tombstones are left out."""

import unittest

import checks
import purchases
from harness import Case, knob

# One byte more than a message may have, and what it takes to send that.
HUGE = (16 << 20) + 1
ROOM = HUGE + (1 << 20)
POISON = {
    "cut short": b'{"user_id":"u1","price":',
    "no JSON": b"\x00\x01\x02\xff",
    "bad UTF-8": b'{"user_id":"\xff\xfe","price":1.0}',
    "trailing garbage": purchases.value(0, 1) + b"}{",
    "a bare word": b"nul",
    "a number": b"42",
    "wrong type": b'{"user_id":"u1","price":"dear","ts":"2026-01-01T00:00:00Z","seq":1}',
    "no such time": b'{"user_id":"u1","price":1.0,"ts":"2026-13-45T00:00:00Z","seq":1}',
    "out of range": b'{"user_id":"u1","price":1.0,"quantity":99999999999999999999,"ts":"2026-01-01T00:00:00Z","seq":1}',
    "infinite": b'{"user_id":"u1","price":1e999,"ts":"2026-01-01T00:00:00Z","seq":1}',
    "deep": b"[" * 100_000,
    "empty": b"",
    "oversize": b'{"user_id":"' + b"x" * (HUGE - 14) + b'"}',
}


class Poison(Case):
    def test_poison(self):
        partitions, good = 3, knob("POISON_RECORDS", 30_000)
        self.cluster.create(self.topic, partitions, max__message__bytes=ROOM)
        node = self.node()
        self.consume(node)
        records, wanted, letters, next_offset, seqs = [], set(), {}, [0] * partitions, {}
        kinds = [*POISON, *POISON, "tombstone", "tombstone"]
        self.rng.shuffle(kinds)
        bad_at = dict(zip(self.rng.sample(range(good), len(kinds)), kinds))
        bad_at[0], bad_at[good - 1] = "no JSON", "cut short"
        for number in range(good):
            partition = number % partitions
            kind = bad_at.get(number)
            for what in ([kind] if kind else []) + ["good"]:
                offset = next_offset[partition]
                next_offset[partition] += 1
                if what == "good":
                    records.append((partition, None, purchases.value(partition, offset)))
                    wanted.add((partition, offset))
                elif what == "tombstone":
                    # It says nothing to a stream, and is no fault.
                    records.append((partition, b"key", None))
                else:
                    if what == "trailing garbage":
                        # A message may hold several rows: the good one stays, the rest is the letter.
                        wanted.add((partition, offset))
                    records.append((partition, b"key", POISON[what]))
                    letters[partition, offset] = what
        self.cluster.send(self.topic, records, message__max__bytes=ROOM)
        self.settle([node], len(wanted))
        # Partitions that end in bad records need a word more.
        self.await_true(lambda: f"letters are missing: {node.describe()}", lambda: self.letters(node) >= len(letters), 20)
        self.check(node, wanted, letters)
        node.kill()
        node.start()
        self.cluster.send(self.topic, [(0, None, purchases.value(0, next_offset[0]))])
        wanted.add((0, next_offset[0]))
        self.settle([node], len(wanted))
        self.check(node, wanted, letters)
        self.say(f"{len(wanted):,} rows, {len(letters)} letters, seed {self.seed}")

    def letters(self, node):
        try:
            return node.count("dead_letters")
        except Exception:  # the stream comes with its first row
            return 0

    def check(self, node, wanted, letters):
        count = checks.exact([node], wanted)
        self.assertTrue(count.right, str(count))
        found = [str(position) for (position,) in node.sql("SELECT position FROM dead_letters WHERE stream = 'purchases'")]
        if len(found) != len(letters):
            told = "\n".join(map(str, node.sql("SELECT position, reason FROM dead_letters")))
            self.fail(f"{len(found)} letters instead of {len(letters)}: {sorted((place, kind) for place, kind in letters.items())}\n{told}")
        for partition, offset in letters:
            matching = [text for text in found if text.endswith(f"{partition}/{offset}") or text.endswith(f"{partition}:{offset}")
                        or text.endswith(f"{partition}@{offset}")]
            self.assertEqual(len(matching), 1, f"letters of {partition}/{offset} ({letters[partition, offset]}): {matching} of {found[:5]}")
        self.check_views([node])


if __name__ == "__main__":
    unittest.main()
