"""Two members of one group, each with a data folder of its own: their streams together hold every record once."""

import time
import unittest

import checks
from harness import SESSION_MS, Case, knob


class Group(Case):
    def members(self):
        """Two servers that share the topic's partitions."""
        self.cluster.create(self.topic, 8)
        nodes = [self.node("one"), self.node("two")]
        for node in nodes:
            self.consume(node, group=self.topic)
        return nodes

    def await_shared(self, nodes):
        """Returns when each member gets rows."""
        for node in nodes:
            self.await_progress([node])

    def test_streams_of_one_server(self):
        """Two streams of a server are two members: what one has claimed, the other neither takes nor owes."""
        self.cluster.create(self.topic, 8)
        node = self.node()
        names = ("purchases_a", "purchases_b")
        for name in names:
            self.consume(node, stream=name, views=False, group=self.topic)
        load = self.load(rate=knob("GROUP_RATE", 20_000))
        for act in ("start", "kill", "pause", "kill"):
            if act == "kill":
                node.kill()
                node.start()
            elif act == "pause":
                node.sql(f"PAUSE SOURCE {names[1]}")
            for name in names if act == "start" else names[:1]:
                before = node.count(name)
                self.await_true(lambda n=name, a=act: f"{n} gets no rows after {a}: {node.describe()}",
                                lambda n=name, b=before: node.count(n) > b + 10_000)
        node.sql(f"RESUME SOURCE {names[1]}")
        ends = load.finish()
        both = "(" + " UNION ALL ".join(f'SELECT partition, "offset" FROM {name}' for name in names) + ") AS both"
        self.settle([node], sum(ends.values()), both)
        count = checks.whole([node], ends, both)
        self.say(str(count))
        self.assertTrue(count.right, str(count))

    def one_round(self, nodes):
        act = self.rng.choices(["kill", "leave", "freeze", "kill broker", "kill both", "broker and moves"], [30, 20, 20, 8, 12, 10])[0]
        victim, other = self.rng.sample(nodes, 2)
        if act == "kill":
            victim.kill()
            if self.rng.random() < 0.5:
                # Long enough for the other to take over.
                self.await_progress([other], 20_000)
            victim.start()
        elif act == "leave":
            victim.stop()
            self.await_progress([other])
            victim.start()
        elif act == "freeze":
            victim.freeze()
            try:
                time.sleep(self.rng.choice([0.5, 1, 1.5]) * SESSION_MS / 1000 + self.rng.uniform(0, 1))
                if self.rng.random() < 0.3:
                    other.kill()
                    other.start()
            finally:
                victim.thaw()
        elif act == "kill broker":
            self.broker.kill()
            self.broker.start()
        elif act == "broker and moves":
            # What a member committed last may have reached the broker, though it heard of no answer; then its partitions move to
            # the other and back, while it runs on.
            self.broker.kill()
            self.broker.start()
            for _ in range(2):
                self.await_progress(nodes)
                victim.stop()
                self.await_progress([other])
                victim.start()
        else:
            for node in nodes:
                node.kill()
            for node in nodes:
                node.start()
        return act

    def test_two_members(self):
        rounds = knob("GROUP_ROUNDS", 6)
        nodes = self.members()
        load = self.load(rate=knob("RATE", 40_000))
        self.await_shared(nodes)
        acts = {}
        for _ in range(rounds):
            time.sleep(self.rng.uniform(0.05, 1))
            act = self.one_round(nodes)
            acts[act] = acts.get(act, 0) + 1
            self.await_progress(nodes)
        self.say(f"{rounds} rounds, seed {self.seed}: " + ", ".join(f"{act} {times}" for act, times in sorted(acts.items())))
        self.check_restarted(nodes, load)

    def test_zombie(self):
        """A member that sleeps beyond its session must not store what has another owner when it wakes."""
        nodes = self.members()
        load = self.load(rate=knob("RATE", 40_000))
        self.await_shared(nodes)
        for _ in range(2):
            for sleeper, other in (nodes, nodes[::-1]):
                sleeper.freeze()
                try:
                    self.await_owner(other)
                finally:
                    sleeper.thaw()
                self.await_shared(nodes)
        self.check_restarted(nodes, load)

    def test_zombie_alone(self):
        """As above, and the other has died when the sleeper wakes: nobody in the group refuses what it still holds."""
        nodes = self.members()
        load = self.load(rate=knob("RATE", 40_000))
        self.await_shared(nodes)
        for sleeper, other in (nodes, nodes[::-1]):
            sleeper.freeze()
            try:
                self.await_owner(other)
                other.kill()
                self.await_true("the group keeps its dead members", lambda: self.cluster.members(self.topic)[0] == 0, 40)
            finally:
                sleeper.thaw()
            self.await_progress([sleeper])
            other.start()
            self.await_shared(nodes)
        self.check_restarted(nodes, load)

    def await_owner(self, node):
        """Returns when a member has got rows of every partition that came from now on: it owns them all."""
        ends = self.cluster.ends(self.topic)

        def owns():
            now = dict(node.sql("SELECT partition, hi FROM by_partition"))
            return all(now.get(partition, -1) >= end for partition, end in ends.items())
        self.await_true(lambda: f"{node.name} does not take over: {node.describe()}", owns, 40)

    def check_restarted(self, nodes, load):
        """Ends the load and checks all, behind a restart of each member: only then has each taken what it had claimed."""
        ends = load.finish()
        total = sum(ends.values())
        self.settle(nodes, total)
        for node in nodes:
            node.stop()
        for node in nodes:
            node.start()
        self.settle(nodes, total)
        self.check_whole(nodes, ends)
        for node in nodes:
            self.check_no_letters(node)

    def test_takeover(self):
        """Time from a member's kill under load until the other has all partitions and is behind by less than a second."""
        nodes = self.members()
        load = self.load(rate=knob("RATE", 40_000))
        self.await_shared(nodes)
        times = []
        for victim, heir in (nodes, nodes[::-1]):
            samples = [(time.monotonic(), self.cluster.ends(self.topic))]
            victim.kill()
            begun = time.monotonic()

            def caught_up():
                # What the topic held a second ago must be here.
                now = time.monotonic()
                has = dict(heir.sql("SELECT partition, hi FROM by_partition"))
                samples.append((time.monotonic(), self.cluster.ends(self.topic)))
                due = [ends for at, ends in samples if begun <= at <= now - 1]
                return due and all(has.get(partition, -1) >= end - 1 for partition, end in due[-1].items())
            self.await_true(f"{heir.name} did not catch up: {heir.describe()}", caught_up, 40)
            times.append(time.monotonic() - begun)
            victim.start()
            self.await_shared(nodes)
        self.say("taken over and caught up to within 1 s after " + ", ".join(f"{took:.1f} s" for took in times)
                 + f", session {SESSION_MS} ms")
        self.check_restarted(nodes, load)
        self.assertLess(max(times), knob("TAKEOVER_S", 10))


if __name__ == "__main__":
    unittest.main()
