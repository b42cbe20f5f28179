"""Kills of the server and of the broker, at random moments, while records come."""

import os
import time
import unittest

from harness import Case, Failed, knob


class Kills(Case):
    def one_round(self, node):
        """Something bad, and its repair."""
        act = self.rng.choices(["kill", "kill twice", "stop", "kill broker", "restart broker", "kill both"], [45, 20, 10, 10, 8, 7])[0]
        if act == "stop":
            node.stop()
            node.start()
        elif act == "restart broker":
            self.broker.restart()
        else:
            if act in ("kill broker", "kill both"):
                self.broker.kill()
            if act != "kill broker":
                node.kill()
                if act == "kill twice":
                    # Within its start, or just behind.
                    node.start(wait=False)
                    time.sleep(self.rng.uniform(0, 0.4))
                    node.kill()
                node.start(wait=act != "kill both")
            if act in ("kill broker", "kill both"):
                self.broker.start()
                node.await_ready()
        return act

    def rounds(self, rounds, rate, **consume):
        """All rounds, and what the topic and the server hold in the end: (node, ends)."""
        self.cluster.create(self.topic, 8)
        node = self.node()
        self.consume(node, **consume)
        load = self.load(rate=rate)
        self.await_progress([node])
        acts = {}
        for _ in range(rounds):
            time.sleep(self.rng.uniform(0.05, 1))
            act = self.one_round(node)
            acts[act] = acts.get(act, 0) + 1
            # So that each round finds a server at work.
            self.await_progress([node])
        ends = load.finish()
        self.settle([node], sum(ends.values()))
        self.say(f"{rounds} rounds, seed {self.seed}: " + ", ".join(f"{act} {times}" for act, times in sorted(acts.items())))
        return node, ends

    @unittest.skipIf(os.environ.get("TIDEMILL_MUTANT"), "a mutant runs")
    def test_kill_rounds(self):
        node, ends = self.rounds(knob("ROUNDS", 8), knob("RATE", 40_000))
        self.check_whole([node], ends)
        self.check_no_letters(node)
        node.stop()
        node.start()
        self.settle([node], sum(ends.values()))
        self.check_whole([node], ends)

    @unittest.skipUnless(os.environ.get("TIDEMILL_MUTANT"), "for a build with a mutant alone")
    def test_mutant_is_caught(self):
        """With TIDEMILL_MUTANT=positions_apart the same check must fail."""
        with self.assertRaises((AssertionError, Failed)) as caught:
            node, ends = self.rounds(knob("ROUNDS", 8), knob("RATE", 40_000))
            self.check_whole([node], ends)
        self.assertRegex(str(caught.exception), "lost|double|more than", "it failed for another reason")


if __name__ == "__main__":
    unittest.main()
