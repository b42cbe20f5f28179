//! Rules for Protobuf, by field numbers, as data knows nothing else.
//!
//! A writer's messages must be there under their full names. A number that both have must hold the same type, or
//! another of the same encoding and range of meaning (int32, uint32, int64, uint64 and bool; sint32 and sint64; fixed32
//! and sfixed32; fixed64 and sfixed64; string and bytes), the same message or enum, and as often. A required field may
//! neither come nor go. Of fields that a writer can set together no two may exclude one another for the reader. Fields may be added, removed and
//! renamed, also in enums.

use super::Problem;
use crate::SchemaSource;
use crate::protobuf::ProtobufSchema;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use std::collections::HashSet;

/// Why one can't read all data of the other.
pub(super) fn read(reader: &SchemaSource, writer: &SchemaSource) -> Result<Vec<Problem>, String> {
    let (reader, writer) = (ProtobufSchema::new(reader)?, ProtobufSchema::new(writer)?);
    let mut problems = Vec::new();
    let mut waiting: Vec<MessageDescriptor> = writer.file.messages().collect();
    let mut met = HashSet::new();
    while let Some(written) = waiting.pop() {
        let name = written.full_name().to_owned();
        if !met.insert(name.clone()) {
            continue;
        }
        let path = format!("/{}", name.replace('.', "/"));
        let Some(read) = reader.message_named(&name) else {
            let what = format!("the reader has no message {name}");
            problems.push(Problem::new("MESSAGE_REMOVED", &path, what));
            continue;
        };
        message(&read, &written, &path, &mut problems);
        // Entries of maps have names that follow the field's: they are compared with the field.
        waiting.extend(written.child_messages().filter(|m| !m.is_map_entry()));
        for field in written.fields() {
            let kind = match field.kind() {
                Kind::Message(inner) if inner.is_map_entry() => {
                    inner.map_entry_value_field().kind()
                }
                kind => kind,
            };
            if let Kind::Message(inner) = kind {
                waiting.push(inner);
            }
        }
    }
    Ok(problems)
}

fn message(
    reader: &MessageDescriptor,
    writer: &MessageDescriptor,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let mut tell = |kind, number: u32, what: String| {
        problems.push(Problem::new(kind, &format!("{path}/{number}"), what));
    };
    for field in reader.fields() {
        let number = field.number();
        match writer.get_field(number) {
            None if field.is_required() => {
                let what = format!(
                    "the field '{}' is required in the reader and not in the writer",
                    field.name()
                );
                tell("REQUIRED_FIELD_ADDED", number, what);
            }
            None => {}
            Some(written) => {
                if field.is_required() && !written.is_required() {
                    let what = format!(
                        "the field '{}' is required in the reader and not in the writer",
                        field.name()
                    );
                    tell("REQUIRED_FIELD_ADDED", number, what);
                }
                if let Some((kind, what)) = differ(&field, &written) {
                    tell(kind, number, what);
                }
            }
        }
    }
    for written in writer.fields() {
        if written.is_required() && reader.get_field(written.number()).is_none() {
            let what = format!(
                "the field '{}' is required in the writer and missing in the reader",
                written.name()
            );
            tell("REQUIRED_FIELD_REMOVED", written.number(), what);
        }
    }
    removed_from_oneofs(reader, writer, &mut tell);
    for group in reader.oneofs() {
        // Fields that the writer can set at once, of which the reader keeps one.
        let together = group
            .fields()
            .filter_map(|f| writer.get_field(f.number()))
            .map(|w| w.containing_oneof().map(|o| o.name().to_owned()));
        let together: Vec<Option<String>> = together.collect();
        let apart = together.windows(2).any(|w| w[0].is_none() || w[0] != w[1]);
        if apart {
            let what = format!(
                "fields that the writer can set together exclude one another in '{}' of the reader",
                group.name()
            );
            problems.push(Problem::new("MULTIPLE_FIELDS_MOVED_TO_ONEOF", path, what));
        }
    }
}

/// Fields that the writer has in a oneof which the reader still has, and the reader has nowhere: whoever reads can't tell that
/// something was set (`ONEOF_FIELD_REMOVED` of Confluent's `OneOfDiff`).
fn removed_from_oneofs(
    reader: &MessageDescriptor,
    writer: &MessageDescriptor,
    tell: &mut dyn FnMut(&'static str, u32, String),
) {
    for group in writer.oneofs() {
        if !reader.oneofs().any(|o| o.name() == group.name()) {
            continue;
        }
        for field in group.fields() {
            if reader.get_field(field.number()).is_none() {
                let what = format!(
                    "the field '{}' of '{}' is missing in the reader",
                    field.name(),
                    group.name()
                );
                tell("ONEOF_FIELD_REMOVED", field.number(), what);
            }
        }
    }
}

fn differ(reader: &FieldDescriptor, writer: &FieldDescriptor) -> Option<(&'static str, String)> {
    if reader.is_map() != writer.is_map() || reader.is_list() != writer.is_list() {
        let what = format!(
            "the field '{}' comes once in one schema and many times in the other",
            reader.name()
        );
        return Some(("FIELD_LABEL_CHANGED", what));
    }
    let (r, w) = (reader.kind(), writer.kind());
    match (&r, &w) {
        (Kind::Message(a), Kind::Message(b)) if reader.is_map() => {
            let keys = differ(&a.map_entry_key_field(), &b.map_entry_key_field());
            keys.or_else(|| differ(&a.map_entry_value_field(), &b.map_entry_value_field()))
        }
        (Kind::Message(a), Kind::Message(b)) if a.full_name() == b.full_name() => None,
        (Kind::Enum(a), Kind::Enum(b)) if a.full_name() == b.full_name() => None,
        (Kind::Message(_) | Kind::Enum(_), _) | (_, Kind::Message(_) | Kind::Enum(_)) => {
            let what = format!(
                "the field '{}' is {r:?} in the reader and {w:?} in the writer",
                reader.name()
            );
            Some(("FIELD_KIND_CHANGED", what))
        }
        _ if group(&r) == group(&w) => None,
        _ => {
            let what = format!(
                "the field '{}' is {r:?} in the reader and {w:?} in the writer",
                reader.name()
            );
            Some(("FIELD_SCALAR_KIND_CHANGED", what))
        }
    }
}

/// Types of the same number read one another.
fn group(kind: &Kind) -> u8 {
    match kind {
        Kind::Int32 | Kind::Uint32 | Kind::Int64 | Kind::Uint64 | Kind::Bool => 0,
        Kind::Sint32 | Kind::Sint64 => 1,
        Kind::Fixed32 | Kind::Sfixed32 => 2,
        Kind::Fixed64 | Kind::Sfixed64 => 3,
        Kind::String | Kind::Bytes => 4,
        Kind::Float => 5,
        Kind::Double => 6,
        Kind::Message(_) | Kind::Enum(_) => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SchemaKind;

    fn problems(reader: &str, writer: &str) -> Vec<&'static str> {
        let source = |t: &str| SchemaSource::new(SchemaKind::Protobuf, t);
        let found = read(&source(reader), &source(writer)).unwrap();
        found.into_iter().map(|p| p.kind).collect()
    }

    #[test]
    fn what_can_not_be_read_is_told() {
        let v3 = |body: &str| {
            format!(
                "syntax = \"proto3\"; message A {{ {body} }} message O {{ int32 x = 1; }} enum E {{ Z = 0; }}"
            )
        };
        let v2 = |body: &str| format!("syntax = \"proto2\"; message A {{ {body} }}");
        for (reader, writer, expected) in [
            (v3("int32 a = 1;"), v3("int32 a = 1;"), None),
            (v3("int64 b = 1;"), v3("int32 a = 1;"), None),
            (
                v3("sint32 a = 1;"),
                v3("int32 a = 1;"),
                Some("FIELD_SCALAR_KIND_CHANGED"),
            ),
            (v3("string a = 1;"), v3("bytes a = 1;"), None),
            (v3("O a = 1;"), v3("A a = 1;"), Some("FIELD_KIND_CHANGED")),
            (
                v3("E a = 1;"),
                v3("int32 a = 1;"),
                Some("FIELD_KIND_CHANGED"),
            ),
            (
                v3("int32 a = 1;"),
                v3("repeated int32 a = 1;"),
                Some("FIELD_LABEL_CHANGED"),
            ),
            (
                v3("map<string, int32> a = 1;"),
                v3("map<string, int64> a = 1;"),
                None,
            ),
            (
                v3("map<string, string> a = 1;"),
                v3("map<string, int64> a = 1;"),
                Some("FIELD_SCALAR_KIND_CHANGED"),
            ),
            (v3(""), v3("int32 a = 1;"), None),
            (v3("int32 a = 1;"), v3(""), None),
            (
                v3("oneof o { int32 a = 1; int32 b = 2; }"),
                v3("int32 a = 1;"),
                None,
            ),
            (
                v3("oneof o { int32 a = 1; int32 b = 2; }"),
                v3("int32 a = 1; int32 b = 2;"),
                Some("MULTIPLE_FIELDS_MOVED_TO_ONEOF"),
            ),
            (
                v3("oneof o { int32 a = 1; int32 b = 2; }"),
                v3("oneof p { int32 a = 1; int32 b = 2; }"),
                None,
            ),
            (
                v3("oneof o { int32 a = 1; }"),
                v3("oneof o { int32 a = 1; int32 b = 2; }"),
                Some("ONEOF_FIELD_REMOVED"),
            ),
            (
                v3("int32 a = 1;"),
                v3("oneof o { int32 a = 1; int32 b = 2; }"),
                None,
            ),
            (v3(""), v3("optional int32 a = 1;"), None),
            (
                v2("required int32 a = 1;"),
                v2("optional int32 a = 1;"),
                Some("REQUIRED_FIELD_ADDED"),
            ),
            (
                v2("required int32 a = 1;"),
                v2(""),
                Some("REQUIRED_FIELD_ADDED"),
            ),
            (
                v2(""),
                v2("required int32 a = 1;"),
                Some("REQUIRED_FIELD_REMOVED"),
            ),
            (
                "syntax = \"proto3\";".into(),
                v3(""),
                Some("MESSAGE_REMOVED"),
            ),
            (
                v3("message I { string x = 1; } I i = 1;"),
                v3("message I { int32 x = 1; } I i = 1;"),
                Some("FIELD_SCALAR_KIND_CHANGED"),
            ),
            (v3("A a = 1;"), v3("A a = 1;"), None),
            (
                v3("map<string, O> renamed = 1;"),
                v3("map<string, O> a = 1;"),
                None,
            ),
        ] {
            assert_eq!(
                problems(&reader, &writer).first().copied(),
                expected,
                "{reader} {writer}"
            );
        }
    }
}
