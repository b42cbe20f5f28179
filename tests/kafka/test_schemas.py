"""Avro, Protobuf and JSON Schema messages of confluent-kafka's serialisers, read by the schemas that they name."""

import json
import unittest

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from harness import Case

AT = {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}}
ID = {"name": "id", "type": "long"}
PLACE = {"name": "place", "default": None,
         "type": ["null", {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}]}]}


def record(*fields):
    return json.dumps({"type": "record", "name": "Buy", "fields": list(fields)})


def url(node):
    return f"http://127.0.0.1:{node.port}/schema-registry"


def stops():
    """A message class as protoc would make it, the second of its file."""
    file = descriptor_pb2.FileDescriptorProto(name="stop.proto", package="trips", syntax="proto3")
    file.message_type.add(name="Other")
    stop = file.message_type.add(name="Stop")
    stop.field.add(name="ts", number=1, type="TYPE_INT64", label="LABEL_OPTIONAL")
    stop.field.add(name="names", number=2, type="TYPE_STRING", label="LABEL_REPEATED")
    stop.field.add(name="size", number=3, type="TYPE_UINT64", label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("trips.Stop"))


class Schemas(Case):
    def setUp(self):
        super().setUp()
        self.cluster.create(self.topic, 1)
        self.producer = Producer({"bootstrap.servers": self.broker.address})

    def send(self, serializer, values):
        context = SerializationContext(self.topic, MessageField.VALUE)
        for value in values:
            self.producer.produce(self.topic, value if isinstance(value, bytes) else serializer(value, context))
        self.assertEqual(self.producer.flush(30), 0)

    def registry(self, node):
        """A client of the node's registry."""
        client = SchemaRegistryClient({"url": url(node)})
        self.addCleanup(client.__exit__, None, None, None)
        return client

    def stream(self, node, form, **more):
        self.consume(node, columns="ts TIMESTAMP", views=False, include=None, value_format=form, **more)

    def letters(self, node):
        if not node.dicts("SHOW STREAMS") or all(s["name"] != "dead_letters" for s in node.dicts("SHOW STREAMS")):
            return []
        return [row[0] for row in node.sql("SELECT reason FROM dead_letters WHERE stream = 'purchases'")]

    def test_avro_evolves(self):
        node = self.node()
        client = self.registry(node)
        first = AvroSerializer(client, record(AT, ID))
        self.send(first, [{"ts": 1000, "id": (1 << 60) + 1}])
        self.stream(node, "avro")
        self.settle([node], 1)
        second = AvroSerializer(client, record(AT, ID, PLACE))
        self.send(second, [{"ts": 2000, "id": 2, "place": {"city": "Åre"}}, {"ts": 3000, "id": 3, "place": None}])
        # What is no message of a known schema is a dead letter, and what follows it goes on.
        self.send(first, [{"ts": 4000, "id": 4}, b"\x00\x00\x00\xff\xff\x01", b"\x00", b"text", b"\x00\x00\x00\x00\x01", {"ts": 5000, "id": 5}])
        self.settle([node], 5)
        self.assertEqual(node.sql('SELECT ts, id, "place.city" FROM purchases ORDER BY ts'), [
            ["1970-01-01T00:00:01Z", (1 << 60) + 1, None], ["1970-01-01T00:00:02Z", 2, "Åre"],
            ["1970-01-01T00:00:03Z", 3, None], ["1970-01-01T00:00:04Z", 4, None], ["1970-01-01T00:00:05Z", 5, None]])
        self.assertEqual(len(self.letters(node)), 4, self.letters(node))

    def test_protobuf_by_index(self):
        node = self.node()
        stop = stops()
        serializer = ProtobufSerializer(stop, self.registry(node), {"use.deprecated.format": False})
        self.send(serializer, [stop(ts=1700000000000, names=["a", "b"], size=(1 << 64) - 1), stop(ts=1700000001000)])
        self.stream(node, "protobuf")
        self.settle([node], 2)
        self.assertEqual(node.sql("SELECT ts, names, size FROM purchases ORDER BY ts"), [
            ["2023-11-14T22:13:20Z", '["a","b"]', (1 << 64) - 1], ["2023-11-14T22:13:21Z", "[]", 0]])

    def test_json_schema(self):
        node = self.node()
        schema = json.dumps({"title": "Form", "type": "object", "required": ["ts"], "properties": {
            "ts": {"type": "string", "format": "date-time"}, "n": {"type": "integer"}, "x": {"type": "number"}}})
        serializer = JSONSerializer(schema, self.registry(node))
        good = {"ts": "2024-01-01T00:00:00Z", "n": 9007199254740993, "x": 1}
        context = SerializationContext(self.topic, MessageField.VALUE)
        framed = serializer(good, context)[:5]
        self.send(serializer, [framed + b'{"n":1}', good])
        self.stream(node, "json_schema", schema_registry="builtin")
        self.settle([node], 1)
        self.assertEqual(node.sql("SELECT ts, n, x FROM purchases"), [["2024-01-01T00:00:00Z", 9007199254740993, 1]])
        self.assertEqual(len(self.letters(node)), 1)
        self.assertIn("required", self.letters(node)[0])

    def test_registry_down(self):
        registry = self.node("registry")
        serializer = AvroSerializer(self.registry(registry), record(AT, ID))
        self.send(serializer, [{"ts": 1000 * n, "id": n} for n in range(1, 101)])
        registry.kill()
        node = self.node()
        self.stream(node, "avro", schema_registry=url(registry))
        waits = self.await_true("the source to say that it waits", lambda: [
            s for s in node.sources() if "registry" in str(s["error"])])
        self.assertEqual((node.count(), self.letters(node)), (0, []), waits)
        registry.start()
        self.settle([node], 100)
        self.assertEqual(node.sql("SELECT count(*) AS n, sum(id) AS s FROM purchases"), [[100, 5050]])
        self.assertEqual(self.letters(node), [])


if __name__ == "__main__":
    unittest.main()
