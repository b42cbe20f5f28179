//! A `.proto` file and what it imports, compiled.

use crate::SchemaSource;
use crate::deep::nesting;
use crate::text::from_base64;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use protox::file::{File, FileResolver, GoogleFileResolver};
use protox::{Compiler, Error};
use std::collections::HashMap;

/// The name that the file itself has here; no import has it.
const MAIN: &str = "tidemill-schema.proto";
/// Brackets within brackets, so that no text makes a parser recurse without end.
const MAX_NESTING: usize = 64;

/// What Confluent's own clients import without registering it.
const BUILT_IN: [(&str, &str); 2] = [
    (
        "confluent/meta.proto",
        "syntax = \"proto3\"; package confluent; import \"google/protobuf/descriptor.proto\";\n\
         message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }\n\
         extend google.protobuf.FileOptions { Meta file_meta = 1088; }\n\
         extend google.protobuf.MessageOptions { Meta message_meta = 1088; }\n\
         extend google.protobuf.FieldOptions { Meta field_meta = 1088; }\n\
         extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }\n\
         extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }",
    ),
    (
        "confluent/type/decimal.proto",
        "syntax = \"proto3\"; package confluent.type;\n\
         message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }",
    ),
];

/// A compiled file.
#[derive(Debug, Clone)]
pub struct ProtobufSchema {
    pub(crate) file: FileDescriptor,
}

struct Texts {
    texts: HashMap<String, String>,
    google: GoogleFileResolver,
}

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        if let Some(text) = self.texts.get(name) {
            return match descriptor(text) {
                Some(mut file) => {
                    file.name = Some(name.to_owned());
                    Ok(File::from_file_descriptor_proto(file))
                }
                None => File::from_source(name, text),
            };
        }
        match BUILT_IN.iter().find(|b| b.0 == name) {
            Some((_, text)) => File::from_source(name, text),
            None => self.google.open_file(name),
        }
    }
}

/// Some clients register a serialised descriptor in base64 in place of the text.
fn descriptor(text: &str) -> Option<FileDescriptorProto> {
    let text = text.trim();
    // No .proto text is without blanks and semicolons.
    let bytes = from_base64(text).filter(|b| !b.is_empty())?;
    FileDescriptorProto::decode(bytes.as_slice()).ok()
}

impl ProtobufSchema {
    /// Compiles a schema: `.proto` text, or a `FileDescriptorProto` in base64.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(source: &SchemaSource) -> Result<ProtobufSchema, String> {
        let mut texts: HashMap<String, String> = HashMap::new();
        for needed in &source.dependencies {
            texts.insert(needed.name.clone(), needed.text.clone());
        }
        texts.insert(MAIN.to_owned(), source.text.clone());
        if texts.values().any(|t| nesting(t) > MAX_NESTING) {
            return Err(format!("nested deeper than {MAX_NESTING} levels"));
        }
        let mut compiler = Compiler::with_file_resolver(Texts {
            texts,
            google: GoogleFileResolver::new(),
        });
        compiler.include_imports(true);
        compiler.open_file(MAIN).map_err(|e| e.to_string())?;
        let pool = DescriptorPool::from_file_descriptor_set(compiler.file_descriptor_set());
        let pool = pool.map_err(|e| e.to_string())?;
        let file = pool.get_file_by_name(MAIN);
        let file = file.ok_or("the file has not been compiled")?;
        Ok(ProtobufSchema { file })
    }

    /// The message that these indexes lead to: the place among the file's messages, then among that message's own.
    #[must_use]
    pub fn message(&self, indexes: &[u32]) -> Option<MessageDescriptor> {
        let (first, rest) = indexes.split_first()?;
        let mut message = self.file.messages().nth(*first as usize)?;
        for index in rest {
            // Messages that the compiler makes for maps are counted, as in the descriptor.
            let inner = message.child_messages().nth(*index as usize)?;
            message = inner;
        }
        Some(message)
    }

    /// The message of that full name.
    #[must_use]
    pub fn message_named(&self, name: &str) -> Option<MessageDescriptor> {
        let pool = self.file.parent_pool();
        pool.get_message_by_name(name.trim_start_matches('.'))
    }

    /// The file as a serialised `FileDescriptorProto`, under a name of its own.
    #[must_use]
    pub fn descriptor(&self) -> Vec<u8> {
        let mut file = self.file.file_descriptor_proto().clone();
        file.name = Some("schema.proto".to_owned());
        file.encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SchemaKind;

    #[test]
    fn what_is_too_deep_is_refused() {
        let deep = format!("option (a) = {};", "{a:".repeat(100_000));
        let error = ProtobufSchema::new(&SchemaSource::new(SchemaKind::Protobuf, deep));
        assert!(error.unwrap_err().contains("nested deeper"));
    }

    #[test]
    fn a_descriptor_is_as_good_as_its_text() {
        let text = "syntax = \"proto3\"; package p; import \"google/protobuf/timestamp.proto\"; \
                    import \"confluent/meta.proto\"; message A { string a = 1; google.protobuf.Timestamp t = 2; message B {} }";
        let schema = ProtobufSchema::new(&SchemaSource::new(SchemaKind::Protobuf, text)).unwrap();
        let encoded = crate::text::base64(&schema.descriptor());
        let again = SchemaSource::new(SchemaKind::Protobuf, encoded);
        let again = ProtobufSchema::new(&again).unwrap();
        assert_eq!(again.descriptor(), schema.descriptor());
        assert_eq!(again.message(&[0, 0]).unwrap().full_name(), "p.A.B");
        assert!(again.message(&[1]).is_none());
        assert!(again.message(&[]).is_none());
        assert!(again.message_named("p.A").is_some());
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for text in [
            "message",
            "syntax = \"proto3\"; message A { B b = 1; }",
            "syntax = \"proto3\"; import \"/etc/passwd\";",
            "syntax = \"proto3\"; import \"tidemill-schema.proto\";",
            "syntax = \"proto3\"; message A { int32 a = 1; int32 b = 1; }",
            "AAAA",
        ] {
            let source = SchemaSource::new(SchemaKind::Protobuf, text);
            assert!(ProtobufSchema::new(&source).is_err(), "{text}");
        }
    }
}
