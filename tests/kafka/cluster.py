"""What the cases ask of a Kafka cluster as clients: topics, offsets, groups and records (confluent-kafka)."""

import time

from broker import Failed
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec

# Seconds that an answer of the broker may take on a busy machine.
PATIENCE = 60
# A broker that is gone for a while is what these cases do: no word about it.
QUIET = {"log_level": 0}
SOON = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}


class Cluster:
    """The clients of one broker."""

    def __init__(self, address):
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address, **QUIET})

    # Topics.

    def create(self, topic, partitions=8, **config):
        """Makes a topic and returns when its partitions have leaders. `config`: dots as double underscores."""
        config = {name.replace("__", "."): str(value) for name, value in config.items()}
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(PATIENCE)
        self._await_partitions(topic, partitions)

    def create_many(self, names, partitions=1):
        """Makes many topics at once."""
        for future in self.admin.create_topics([NewTopic(name, partitions, 1) for name in names]).values():
            future.result(PATIENCE)
        for name in names:
            self._await_partitions(name, partitions)

    def widen(self, topic, partitions):
        """Gives a topic more partitions."""
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(PATIENCE)
        self._await_partitions(topic, partitions)

    def delete(self, topic):
        """Deletes a topic and returns when no metadata names it."""
        self.admin.delete_topics([topic])[topic].result(PATIENCE)
        self._await(f"{topic} is still there", lambda: topic not in self.admin.list_topics(timeout=PATIENCE).topics)

    def delete_records(self, topic, before):
        """Deletes the records below an offset: {partition: offset}."""
        places = [TopicPartition(topic, partition, offset) for partition, offset in before.items()]
        for future in self.admin.delete_records(places).values():
            future.result(PATIENCE)

    def _await_partitions(self, topic, partitions):
        def ready():
            found = self.admin.list_topics(topic, timeout=PATIENCE).topics[topic]
            leaders = [part for part in found.partitions.values() if part.leader >= 0]
            return found.error is None and len(leaders) == partitions
        self._await(f"{topic} has no leaders", ready)

    def _await(self, what, ready):
        limit = time.monotonic() + PATIENCE
        while not ready():
            if time.monotonic() > limit:
                raise Failed(f"{what} after {PATIENCE} s")
            time.sleep(0.05)

    # Offsets.

    def _offsets(self, topic, spec):
        def ask():
            partitions = self.admin.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
            asked = {TopicPartition(topic, partition): spec for partition in partitions}
            return {place.partition: future.result(PATIENCE).offset for place, future in self.admin.list_offsets(asked).items()}
        return retry(ask)

    def ends(self, topic):
        """{partition: offset behind the last record}, markers of transactions counted."""
        return self._offsets(topic, OffsetSpec.latest())

    def starts(self, topic):
        """{partition: first offset that is still there}."""
        return self._offsets(topic, OffsetSpec.earliest())

    def group(self, group):
        """{(topic, partition): offset} that a group has committed."""
        future = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
        return {(place.topic, place.partition): place.offset for place in future.result(PATIENCE).topic_partitions}

    def members(self, group):
        """How many members a group has now, and its state's name."""
        found = self.admin.describe_consumer_groups([group])[group].result(PATIENCE)
        return len(found.members), found.state.name

    # Records.

    def producer(self, **settings):
        """An idempotent producer; settings with dots as double underscores."""
        given = {name.replace("__", "."): value for name, value in settings.items()}
        return Producer({**QUIET, "bootstrap.servers": self.address, "enable.idempotence": True,
                         "compression.type": "lz4",
                         "linger.ms": 5, "message.timeout.ms": 300_000, **given})

    def send(self, topic, records, **settings):
        """Sends (partition, key, value) and returns when all are acknowledged."""
        producer, errors = self.producer(**settings), []
        for partition, key, value in records:
            put(producer, topic, partition, value, key, lambda error, _: errors.append(error) if error else None)
        finish(producer, errors)

    def committed(self, topic):
        """{(partition, offset): value} of all that a read_committed reader is given."""
        ends = self.ends(topic)
        consumer = Consumer({**QUIET, "bootstrap.servers": self.address, "group.id": f"check-{topic}", "enable.auto.commit": False,
                             "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "error"})
        found, open_ends = {}, {partition for partition, end in ends.items() if end > 0}
        try:
            consumer.assign([TopicPartition(topic, partition, start) for partition, start in self.starts(topic).items()])
            limit = time.monotonic() + PATIENCE
            while open_ends:
                if time.monotonic() > limit:
                    raise Failed(f"a reader of {topic} did not come to the end of {sorted(open_ends)}")
                for message in consumer.consume(1000, 0.5):
                    if message.error() is None:
                        found[message.partition(), message.offset()] = message.value()
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        open_ends.discard(message.partition())
                    else:
                        raise KafkaException(message.error())
        finally:
            consumer.close()
        return found

    def topic_id(self, topic):
        """The id that tells a topic from an older one of its name."""
        return self.admin.describe_topics(TopicCollection([topic]))[topic].result(PATIENCE).topic_id


def retry(ask):
    """The answer of `ask`; a broker that has only just started may first say that it does not lead its partitions."""
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in SOON or time.monotonic() > limit:
                raise
            time.sleep(0.05)


def put(producer, topic, partition, value, key=None, told=None):
    """Hands one record to a producer, and waits while its queue is full."""
    while True:
        try:
            producer.produce(topic, value, key, partition, on_delivery=told)
            return
        except BufferError:
            producer.poll(0.05)


def finish(producer, errors):
    """Returns when all records handed over are acknowledged; Failed with the first error."""
    left = producer.flush(PATIENCE)
    if left or errors:
        raise Failed(f"{left} records were not acknowledged: {errors[:3]}")
