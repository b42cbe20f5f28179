//! A message type with all that it holds, and which columns its fields go to.

use crate::schema_bounds::SchemaBounds;
use ingest_decode::json::MAX_DEPTH;
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor, Value};
use std::collections::HashMap;
use tsdb::types::DataType;

/// The place of a message type.
pub(super) type MessageId = usize;

/// What a field holds.
#[derive(Debug, Clone)]
pub(super) enum Holds {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Text,
    Bytes,
    /// Names by their numbers.
    Enum(HashMap<i32, String>),
    Message(MessageId),
}

/// How often a field holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// Once, or its default.
    One,
    /// Once or not at all.
    Optional,
    Many,
    /// Entries with keys.
    Map,
}

#[derive(Debug)]
pub(super) struct Field {
    pub number: u32,
    pub name: String,
    pub holds: Holds,
    pub times: Times,
    /// Which group it belongs to of which only one field is set.
    pub oneof: Option<usize>,
}

/// Messages that mean something of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    No,
    Timestamp,
    Duration,
    /// A value alone, so that there can be none.
    Wrapper,
    Struct,
    Value,
    ListValue,
}

#[derive(Debug)]
pub(super) struct Message {
    pub known: Known,
    pub fields: Vec<Field>,
    /// Fields by their numbers.
    pub numbers: HashMap<u32, usize>,
    /// Fields of each group of which only one is set.
    pub oneofs: Vec<Vec<usize>>,
}

/// Where a field goes.
#[derive(Debug)]
pub(super) enum Target {
    Leaf { column: usize },
    Json { column: usize },
    Nested { shape: Shape, end: usize },
}

/// Where a message's fields go, in the order of its fields.
#[derive(Debug)]
pub(super) struct Shape {
    pub message: MessageId,
    pub start: usize,
    pub targets: Vec<Target>,
}

/// A message type and its columns.
#[derive(Debug)]
pub(super) struct Plan {
    pub messages: Vec<Message>,
    pub shape: Shape,
    pub columns: Vec<(String, DataType)>,
}

impl Plan {
    pub fn new(root: &MessageDescriptor) -> Result<Plan, String> {
        let mut planner = Planner::default();
        let id = planner.message(root);
        let shape = planner.shape(id, "")?;
        Ok(Plan {
            messages: planner.messages,
            shape,
            columns: planner.columns,
        })
    }
}

fn known(name: &str) -> Known {
    let Some(name) = name.strip_prefix("google.protobuf.") else {
        return Known::No;
    };
    match name {
        "Timestamp" => Known::Timestamp,
        "Duration" => Known::Duration,
        "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value"
        | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue" => Known::Wrapper,
        "Struct" => Known::Struct,
        "Value" => Known::Value,
        "ListValue" => Known::ListValue,
        _ => Known::No,
    }
}

#[derive(Default)]
struct Planner {
    messages: Vec<Message>,
    ids: HashMap<String, MessageId>,
    columns: Vec<(String, DataType)>,
    bounds: SchemaBounds,
    within: Vec<MessageId>,
}

impl Planner {
    /// The place of a message type, with all that it holds.
    fn message(&mut self, descriptor: &MessageDescriptor) -> MessageId {
        if let Some(id) = self.ids.get(descriptor.full_name()) {
            return *id;
        }
        // Taken in without recursion: a chain of types may be as long as a file.
        let first = self.reserve(descriptor);
        let mut waiting = vec![(first, descriptor.clone())];
        while let Some((id, descriptor)) = waiting.pop() {
            let mut fields = Vec::new();
            for field in descriptor.fields() {
                let holds = self.holds(&field, &mut waiting);
                fields.push(Field {
                    number: field.number(),
                    name: field.name().to_owned(),
                    holds,
                    times: times(&field),
                    oneof: field
                        .containing_oneof()
                        .map(|o| o.path().last().copied().unwrap_or(0) as usize),
                });
            }
            let mut oneofs = vec![Vec::new(); descriptor.oneofs().len()];
            for (i, field) in fields.iter().enumerate() {
                if let Some(group) = field.oneof.and_then(|o| oneofs.get_mut(o)) {
                    group.push(i);
                }
            }
            let numbers = fields.iter().enumerate().map(|(i, f)| (f.number, i));
            let numbers = numbers.collect();
            self.messages[id] = Message {
                known: match known(descriptor.full_name()) {
                    // Only a name: whoever declares such a type may have it hold anything, itself too.
                    Known::Wrapper if !wraps(&fields) => Known::No,
                    known => known,
                },
                numbers,
                fields,
                oneofs,
            };
        }
        first
    }

    fn reserve(&mut self, descriptor: &MessageDescriptor) -> MessageId {
        let id = self.messages.len();
        self.ids.insert(descriptor.full_name().to_owned(), id);
        self.messages.push(Message {
            known: Known::No,
            fields: Vec::new(),
            numbers: HashMap::new(),
            oneofs: Vec::new(),
        });
        id
    }

    fn holds(
        &mut self,
        field: &FieldDescriptor,
        waiting: &mut Vec<(MessageId, MessageDescriptor)>,
    ) -> Holds {
        match field.kind() {
            Kind::Double => Holds::Double,
            Kind::Float => Holds::Float,
            Kind::Int32 => Holds::Int32,
            Kind::Int64 => Holds::Int64,
            Kind::Uint32 => Holds::Uint32,
            Kind::Uint64 => Holds::Uint64,
            Kind::Sint32 => Holds::Sint32,
            Kind::Sint64 => Holds::Sint64,
            Kind::Fixed32 => Holds::Fixed32,
            Kind::Fixed64 => Holds::Fixed64,
            Kind::Sfixed32 => Holds::Sfixed32,
            Kind::Sfixed64 => Holds::Sfixed64,
            Kind::Bool => Holds::Bool,
            Kind::String => Holds::Text,
            Kind::Bytes => Holds::Bytes,
            Kind::Enum(e) => {
                // The first name of a number stands for it.
                let mut names = HashMap::new();
                for value in e.values() {
                    names
                        .entry(value.number())
                        .or_insert_with(|| value.name().to_owned());
                }
                Holds::Enum(names)
            }
            Kind::Message(m) => match self.ids.get(m.full_name()) {
                Some(id) => Holds::Message(*id),
                None => {
                    let id = self.reserve(&m);
                    waiting.push((id, m));
                    Holds::Message(id)
                }
            },
        }
    }

    fn column(&mut self, name: &str, data_type: DataType) -> Result<usize, String> {
        self.bounds.column()?;
        self.columns.push((name.to_owned(), data_type));
        Ok(self.columns.len() - 1)
    }

    fn shape(&mut self, id: MessageId, prefix: &str) -> Result<Shape, String> {
        self.within.push(id);
        let start = self.columns.len();
        let mut targets = Vec::new();
        for i in 0..self.messages[id].fields.len() {
            self.bounds.part()?;
            let field = &self.messages[id].fields[i];
            let name = format!("{prefix}{}", field.name);
            let many = matches!(field.times, Times::Many | Times::Map);
            let target = if many {
                Target::Json {
                    column: self.column(&name, DataType::Utf8)?,
                }
            } else if let Some(data_type) = self.leaf(&field.holds) {
                Target::Leaf {
                    column: self.column(&name, data_type)?,
                }
            } else {
                match field.holds {
                    Holds::Message(inner)
                        if self.messages[inner].known == Known::No
                            && !self.within.contains(&inner)
                            && self.within.len() < MAX_DEPTH =>
                    {
                        let shape = self.shape(inner, &format!("{name}."))?;
                        Target::Nested {
                            shape,
                            end: self.columns.len(),
                        }
                    }
                    _ => Target::Json {
                        column: self.column(&name, DataType::Utf8)?,
                    },
                }
            };
            targets.push(target);
        }
        self.within.pop();
        Ok(Shape {
            message: id,
            start,
            targets,
        })
    }

    /// The type of a column for a value without parts.
    fn leaf(&self, holds: &Holds) -> Option<DataType> {
        Some(match holds {
            Holds::Double | Holds::Float => DataType::Float64,
            Holds::Uint64 | Holds::Fixed64 => DataType::UInt64,
            Holds::Int32
            | Holds::Int64
            | Holds::Uint32
            | Holds::Sint32
            | Holds::Sint64
            | Holds::Fixed32
            | Holds::Sfixed32
            | Holds::Sfixed64 => DataType::Int64,
            Holds::Bool => DataType::Bool,
            Holds::Text | Holds::Bytes | Holds::Enum(_) => DataType::Utf8,
            Holds::Message(id) => {
                let message = &self.messages[*id];
                match message.known {
                    Known::Timestamp => DataType::Timestamp,
                    Known::Duration => DataType::Int64,
                    Known::Wrapper => return self.leaf(&message.fields.first()?.holds),
                    _ => return None,
                }
            }
        })
    }
}

/// Whether these are the fields of a wrapper: one value without parts.
fn wraps(fields: &[Field]) -> bool {
    matches!(fields, [only] if !matches!(only.holds, Holds::Message(_)))
}

fn times(field: &FieldDescriptor) -> Times {
    if field.is_map() {
        Times::Map
    } else if field.cardinality() == Cardinality::Repeated {
        Times::Many
    } else if field.supports_presence() {
        Times::Optional
    } else {
        // Without presence the default is the type's own, so it need not be kept.
        debug_assert!(!matches!(field.default_value(), Value::Message(_)));
        Times::One
    }
}
