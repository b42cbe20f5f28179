"""Python confluent-kafka: its schema registry client and its Avro, Protobuf and JSON serialisers."""
# needs: python

import json

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tidemill_sql import URL, fail


def check(got, expected, what):
    if got != expected:
        fail(f"{what}: {got!r} instead of {expected!r}")


def refused(code, call, *args, **named):
    """The call must fail with this code of the registry's."""
    try:
        call(*args, **named)
    except SchemaRegistryError as error:
        check(error.error_code, code, f"{call.__name__}{args}")
        return
    fail(f"{call.__name__}{args} was accepted")


def record(*fields):
    return json.dumps({"type": "record", "name": "Purchase", "fields": list(fields)})


client = SchemaRegistryClient({"url": f"{URL}/schema-registry"})
first = Schema(record({"name": "id", "type": "long"}, {"name": "city", "type": "string"}), "AVRO")
second = Schema(record({"name": "id", "type": "long"}, {"name": "city", "type": "string"},
                       {"name": "note", "type": ["null", "string"], "default": None}), "AVRO")
broken = Schema(record({"name": "id", "type": "string"}), "AVRO")

# Subjects, versions, ids.
one = client.register_schema("buys-value", first)
check(client.register_schema("buys-value", first), one, "the id of the same schema")
check(client.register_schema("other-value", first), one, "the id in another subject")
two = client.register_schema("buys-value", second)
check(client.get_versions("buys-value"), [1, 2], "versions")
check(sorted(client.get_subjects()), ["buys-value", "other-value"], "subjects")
check(client.get_schema(one).schema_str, first.schema_str, "the schema of an id")
latest = client.get_latest_version("buys-value")
check((latest.schema_id, latest.version, latest.subject), (two, 2, "buys-value"), "the latest version")
check(client.get_schema_by_guid(latest.guid).schema_str, second.schema_str, "the schema of a GUID")
check(client.lookup_schema("buys-value", first).version, 1, "a lookup")
check(client.get_version("buys-value", 1).schema_id, one, "a version")
check(sorted(client.get_schema_types()), ["AVRO", "JSON", "PROTOBUF"], "types")
check(sorted(client.get_subjects_by_schema_id(one)), ["buys-value", "other-value"], "subjects of an id")
check([(v.subject, v.version) for v in client.get_schema_versions(two)], [("buys-value", 2)], "versions of an id")

# Compatibility.
check(client.get_compatibility(), "BACKWARD", "the level for all")
check(client.test_compatibility("buys-value", broken), False, "an incompatible schema")
check(client.test_compatibility("buys-value", first), True, "a compatible schema")
refused(409, client.register_schema, "buys-value", broken)
refused(42201, client.register_schema, "buys-value", Schema("{", "AVRO"))
refused(40401, client.get_versions, "nowhere")
refused(40402, client.get_version, "buys-value", 9)
refused(40403, client.get_schema, 99_999)
client.set_compatibility("buys-value", "NONE")
check(client.get_compatibility("buys-value"), "NONE", "a subject's level")
client.register_schema("buys-value", broken)
client.delete_config("buys-value")
refused(40408, client.get_compatibility, "buys-value")
client.update_mode("other-value", "READONLY")
check(client.get_mode("other-value"), "READONLY", "a subject's mode")
refused(42205, client.register_schema, "other-value", second)
client.delete_mode("other-value")

# Deleting, softly and for ever.
check(client.delete_version("buys-value", 3), 3, "a deleted version")
check(client.delete_subject("other-value"), [1], "a deleted subject")
check(client.delete_subject("other-value", permanent=True), [1], "a subject deleted for ever")
check(client.get_subjects(), ["buys-value"], "subjects that are left")

# References.
client.register_schema("place", Schema('{"type":"record","name":"Place","namespace":"o","fields":[{"name":"x","type":"int"}]}', "AVRO"))
reference = SchemaReference("o.Place", "place", 1)
outer = Schema('{"type":"record","name":"Out","fields":[{"name":"at","type":"o.Place"}]}', "AVRO", [reference])
outer_id = client.register_schema("out", outer)
check(client.get_referenced_by("place", 1), [outer_id], "who refers to a schema")

# The serialisers register what they need, and read back what they wrote.
context = SerializationContext("trips", MessageField.VALUE)
trip = {"id": 1 << 60, "city": "Åre"}
data = AvroSerializer(client, first.schema_str)(trip, context)
check(data[0], 0, "the first byte")
check(int.from_bytes(data[1:5], "big"), one, "the id in a message")
check(AvroDeserializer(client)(data, context), trip, "what Avro gives back")

# A message class as protoc would make it, with another message ahead of it in the file.
file = descriptor_pb2.FileDescriptorProto(name="stop.proto", package="trips", syntax="proto3")
file.message_type.add(name="Other")
stop = file.message_type.add(name="Stop")
stop.field.add(name="at", number=1, type="TYPE_SINT64", label="LABEL_OPTIONAL")
stop.field.add(name="where", number=2, type="TYPE_STRING", label="LABEL_REPEATED")
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
Stop = message_factory.GetMessageClass(pool.FindMessageTypeByName("trips.Stop"))
context = SerializationContext("stops", MessageField.VALUE)
settings = {"use.deprecated.format": False}
sent = Stop(at=-7, where=["Oslo", "Åre"])
data = ProtobufSerializer(Stop, client, settings)(sent, context)
check(data[5:7], b"\x02\x02", "the message index")
check(ProtobufDeserializer(Stop, settings, client)(data, context), sent, "what Protobuf gives back")

context = SerializationContext("forms", MessageField.VALUE)
schema = json.dumps({"title": "Form", "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
data = JSONSerializer(schema, client)({"a": 5}, context)
check(JSONDeserializer(schema, schema_registry_client=client)(data, context), {"a": 5}, "what JSON Schema gives back")
check(sorted(client.get_subjects()), ["buys-value", "forms-value", "out", "place", "stops-value", "trips-value"], "all subjects")
