//! A schema with its names resolved: nodes that point to one another.

use crate::SchemaSource;
use crate::deep::{nesting, on_a_large_stack};
use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, UuidSchema};
use std::collections::HashMap;

/// The place of a node.
pub(crate) type NodeId = usize;

/// Brackets within brackets of a schema's JSON and of all that it refers to: one may be within the other.
const MAX_NESTING: usize = 4_000;
/// Nodes of a schema and of those it refers to, at most.
const MAX_NODES: usize = 65_536;

/// A schema's part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    /// Days since the epoch, in an int.
    Date,
    /// Milliseconds of the day, in an int.
    TimeMillis,
    /// Microseconds of the day, in a long.
    TimeMicros,
    /// An instant, in a long of so many nanoseconds.
    Stamp(i64),
    /// A decimal in as many bytes, or in bytes with their length.
    Decimal {
        precision: usize,
        scale: usize,
        size: Option<usize>,
    },
    /// A decimal that brings its scale.
    BigDecimal,
    UuidText,
    /// A UUID's 16 bytes, as they are or with their length.
    UuidBytes {
        fixed: bool,
    },
    /// Months, days, milliseconds in 12 bytes.
    Duration,
    Fixed {
        name: TypeName,
        size: usize,
    },
    Enum {
        name: TypeName,
        symbols: Vec<String>,
        default: bool,
    },
    List(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record {
        name: TypeName,
        fields: Vec<Field>,
    },
}

/// What a type is called: its full name, and those that it goes by besides.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TypeName {
    pub full: String,
    pub aliases: Vec<String>,
}

/// A record's field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub default: bool,
    pub node: NodeId,
}

/// A schema.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    pub root: NodeId,
}

impl Tree {
    /// Reads a schema's text and those that it refers to.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(source: &SchemaSource) -> Result<Tree, String> {
        let texts = source.dependencies.iter().map(|d| &d.text);
        let depth: usize = texts.chain([&source.text]).map(|t| nesting(t)).sum();
        if depth > MAX_NESTING {
            return Err(format!(
                "it and what it refers to are nested deeper than {MAX_NESTING} levels together"
            ));
        }
        on_a_large_stack(|| Tree::read(source))
    }

    fn read(source: &SchemaSource) -> Result<Tree, String> {
        let needed = source.dependencies.iter().map(|d| d.text.as_str());
        let (main, others) =
            Schema::parse_str_with_list(&source.text, needed).map_err(|e| e.to_string())?;
        let mut build = Build::default();
        for schema in others.iter().chain([&main]) {
            build.learn(schema)?;
        }
        let root = build.node(&main)?;
        Ok(Tree {
            nodes: build.nodes,
            root,
        })
    }

    /// The part at a place.
    pub fn node(&self, id: NodeId) -> &Node {
        // Ids come from the same tree alone, so the place is there.
        &self.nodes[id]
    }
}

#[derive(Default)]
struct Build<'s> {
    nodes: Vec<Node>,
    named: HashMap<String, &'s Schema>,
    built: HashMap<String, NodeId>,
}

fn full(name: &Name) -> String {
    name.fullname(None)
}

/// The other names of the type that a schema defines.
fn aliases(schema: &Schema) -> Vec<String> {
    let (aliases, name) = match schema {
        Schema::Record(r) => (&r.aliases, &r.name),
        Schema::Enum(e) => (&e.aliases, &e.name),
        Schema::Fixed(f) => (&f.aliases, &f.name),
        _ => return Vec::new(),
    };
    let all = aliases.iter().flatten();
    all.map(|a| a.fullname(name.namespace())).collect()
}

/// The name that a schema defines.
fn defined(schema: &Schema) -> Option<&Name> {
    match schema {
        Schema::Record(r) => Some(&r.name),
        Schema::Enum(e) => Some(&e.name),
        Schema::Fixed(f) | Schema::Duration(f) | Schema::Uuid(UuidSchema::Fixed(f)) => {
            Some(&f.name)
        }
        Schema::Decimal(d) => match &d.inner {
            InnerDecimalSchema::Fixed(f) => Some(&f.name),
            InnerDecimalSchema::Bytes => None,
        },
        _ => None,
    }
}

impl<'s> Build<'s> {
    /// Takes in the names that a schema defines.
    fn learn(&mut self, schema: &'s Schema) -> Result<(), String> {
        if let Some(name) = defined(schema) {
            let first = self.named.entry(full(name)).or_insert(schema);
            if *first != schema {
                return Err(format!("the type {} is defined twice", full(name)));
            }
        }
        match schema {
            Schema::Record(r) => r.fields.iter().try_for_each(|f| self.learn(&f.schema)),
            Schema::Array(a) => self.learn(&a.items),
            Schema::Map(m) => self.learn(&m.types),
            Schema::Union(u) => u.variants().iter().try_for_each(|v| self.learn(v)),
            _ => Ok(()),
        }
    }

    fn node(&mut self, schema: &'s Schema) -> Result<NodeId, String> {
        if let Schema::Ref { name } = schema {
            let name = full(name);
            if let Some(id) = self.built.get(&name) {
                return Ok(*id);
            }
            let Some(schema) = self.named.get(&name).copied() else {
                return Err(format!("the type {name} is not defined"));
            };
            return self.node(schema);
        }
        let name = defined(schema).map(full);
        if let Some(id) = name.as_ref().and_then(|n| self.built.get(n)) {
            return Ok(*id);
        }
        if self.nodes.len() >= MAX_NODES {
            return Err(format!("more than {MAX_NODES} types"));
        }
        // The place is kept before what is inside, which may refer to it.
        let id = self.nodes.len();
        self.nodes.push(Node::Null);
        if let Some(name) = &name {
            self.built.insert(name.clone(), id);
        }
        let name = TypeName {
            full: name.unwrap_or_default(),
            aliases: aliases(schema),
        };
        let node = match schema {
            Schema::Null | Schema::Ref { .. } => Node::Null,
            Schema::Boolean => Node::Bool,
            Schema::Int => Node::Int,
            Schema::Long => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes => Node::Bytes,
            Schema::String => Node::Text,
            Schema::Date => Node::Date,
            Schema::TimeMillis => Node::TimeMillis,
            Schema::TimeMicros => Node::TimeMicros,
            Schema::TimestampMillis | Schema::LocalTimestampMillis => Node::Stamp(1_000_000),
            Schema::TimestampMicros | Schema::LocalTimestampMicros => Node::Stamp(1_000),
            Schema::TimestampNanos | Schema::LocalTimestampNanos => Node::Stamp(1),
            Schema::Decimal(d) => Node::Decimal {
                precision: d.precision,
                scale: d.scale,
                size: match &d.inner {
                    InnerDecimalSchema::Fixed(f) => Some(f.size),
                    InnerDecimalSchema::Bytes => None,
                },
            },
            Schema::BigDecimal => Node::BigDecimal,
            Schema::Uuid(UuidSchema::String) => Node::UuidText,
            Schema::Uuid(UuidSchema::Bytes) => Node::UuidBytes { fixed: false },
            Schema::Uuid(UuidSchema::Fixed(_)) => Node::UuidBytes { fixed: true },
            Schema::Duration(_) => Node::Duration,
            Schema::Fixed(f) => Node::Fixed { name, size: f.size },
            Schema::Enum(e) => Node::Enum {
                name,
                symbols: e.symbols.clone(),
                default: e.default.is_some(),
            },
            Schema::Array(a) => Node::List(self.node(&a.items)?),
            Schema::Map(m) => Node::Map(self.node(&m.types)?),
            Schema::Union(u) => {
                let variants = u.variants().iter();
                Node::Union(variants.map(|v| self.node(v)).collect::<Result<_, _>>()?)
            }
            Schema::Record(r) => {
                let field = |f: &'s apache_avro::schema::RecordField| {
                    Ok(Field {
                        name: f.name.clone(),
                        aliases: f.aliases.clone(),
                        default: f.default.is_some(),
                        node: self.node(&f.schema)?,
                    })
                };
                let fields = r.fields.iter().map(field).collect::<Result<_, String>>()?;
                Node::Record { name, fields }
            }
        };
        self.nodes[id] = node;
        Ok(id)
    }
}
