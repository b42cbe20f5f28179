"""Files: each line once, while they grow and are renamed and the server is killed."""

import threading
import time

from harness import Case


class Files(Case):
    def setUp(self):
        super().setUp()
        self.logs = self.folder / "logs"
        self.logs.mkdir()

    def test_kills_and_rotations(self):
        node = self.node(f'[sources]\nfile_roots = ["{self.logs}"]\n')
        # A file may come and be renamed while the server is away: what it is renamed to is read as well.
        node.sql(f"CREATE STREAM s (n BIGINT) WITH (file_path = '{self.logs}/app.log*', file_format = 'json')")
        over, lines = threading.Event(), [0]

        def write():
            rotations, rng = 0, self.rng
            while not over.is_set():
                with open(self.logs / "app.log", "ab", buffering=0) as file:
                    for _ in range(rng.randrange(1, 40)):
                        lines[0] += 1
                        text = b'{"n": %d}\n' % lines[0]
                        # A line may come in pieces.
                        cut = rng.randrange(len(text))
                        file.write(text[:cut])
                        file.write(text[cut:])
                time.sleep(0.002)
                if rng.random() < 0.02:
                    rotations += 1
                    (self.logs / "app.log").rename(self.logs / f"app.log.{rotations}")
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        try:
            for _ in range(self.rounds):
                self.await_progress(node)
                time.sleep(self.rng.uniform(0, 0.4))
                node.kill()
                node.start()
        finally:
            over.set()
            writer.join()
        self.await_count(node, lines[0])
        self.say(f"{lines[0]} lines")
        self.once(node, "n", range(1, lines[0] + 1))

    def test_not_allowed(self):
        node = self.node()
        (self.logs / "a.log").write_text('{"n": 1}\n')
        node.sql(f"CREATE STREAM s (n BIGINT) WITH (file_path = '{self.logs}/a.log')")
        self.assertIn("file_roots", node.sources())
        self.assertEqual(node.count(), 0)
