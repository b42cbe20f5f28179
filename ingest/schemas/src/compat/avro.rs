//! Avro's schema resolution, without data.
//!
//! As the specification has it, with these readings: names of records, enums and fixeds are compared without their
//! namespace; every branch of a writer's union must be readable; logical types are their base types, but that two
//! decimals must agree in precision and scale.

use super::Problem;
use crate::SchemaSource;
use crate::avro::{Node, NodeId, Tree, TypeName};
use std::collections::HashSet;

/// Why one can't read all data of the other.
pub(super) fn read(reader: &SchemaSource, writer: &SchemaSource) -> Result<Vec<Problem>, String> {
    let (reader, writer) = (Tree::parse(reader)?, Tree::parse(writer)?);
    let mut check = Check {
        reader: &reader,
        writer: &writer,
        met: HashSet::new(),
        trail: Vec::new(),
        steps: MAX_STEPS,
        depth: 0,
    };
    Ok(check.read(reader.root, writer.root, ""))
}

struct Check<'t> {
    reader: &'t Tree,
    writer: &'t Tree,
    /// Pairs that are being compared or have been, without a problem so far: types may hold themselves. In their order,
    /// too.
    met: HashSet<(NodeId, NodeId)>,
    trail: Vec<(NodeId, NodeId)>,
    steps: usize,
    depth: usize,
}

/// Types within types that are compared.
const MAX_DEPTH: usize = 256;
/// Comparisons in all: unions within unions take time.
const MAX_STEPS: usize = 200_000;

/// The type without what it means.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Base {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Other,
}

fn base(node: &Node) -> Base {
    match node {
        Node::Null => Base::Null,
        Node::Bool => Base::Bool,
        Node::Int | Node::Date | Node::TimeMillis => Base::Int,
        Node::Long | Node::TimeMicros | Node::Stamp(_) => Base::Long,
        Node::Float => Base::Float,
        Node::Double => Base::Double,
        Node::Bytes
        | Node::BigDecimal
        | Node::UuidBytes { fixed: false }
        | Node::Decimal { size: None, .. } => Base::Bytes,
        Node::Text | Node::UuidText => Base::Text,
        Node::Fixed { size, .. }
        | Node::Decimal {
            size: Some(size), ..
        } => Base::Fixed(*size),
        Node::UuidBytes { fixed: true } => Base::Fixed(16),
        Node::Duration => Base::Fixed(12),
        Node::Enum { .. } | Node::List(_) | Node::Map(_) | Node::Union(_) | Node::Record { .. } => {
            Base::Other
        }
    }
}

/// What a type is called.
fn named(node: &Node) -> &'static str {
    match node {
        Node::Enum { .. } => "enum",
        Node::List(_) => "array",
        Node::Map(_) => "map",
        Node::Union(_) => "union",
        Node::Record { .. } => "record",
        node => match base(node) {
            Base::Null => "null",
            Base::Bool => "boolean",
            Base::Int => "int",
            Base::Long => "long",
            Base::Float => "float",
            Base::Double => "double",
            Base::Bytes => "bytes",
            Base::Text => "string",
            Base::Fixed(_) | Base::Other => "fixed",
        },
    }
}

/// Whether what was written under one name is read under another: the names are the same but for their namespaces, or the
/// reader's type has the other for an alias (Avro's `SchemaCompatibility.schemaNameEquals`).
fn goes_by(reader: &TypeName, writer: &TypeName) -> bool {
    short(&reader.full) == short(&writer.full) || reader.aliases.contains(&writer.full)
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn promotes(writer: Base, reader: Base) -> bool {
    match writer {
        Base::Int => matches!(reader, Base::Long | Base::Float | Base::Double),
        Base::Long => matches!(reader, Base::Float | Base::Double),
        Base::Float => reader == Base::Double,
        Base::Text => reader == Base::Bytes,
        Base::Bytes => reader == Base::Text,
        _ => false,
    }
}

impl Check<'_> {
    fn read(&mut self, r: NodeId, w: NodeId, path: &str) -> Vec<Problem> {
        let left = self.steps.checked_sub(1);
        let Some(left) = left.filter(|_| self.depth < MAX_DEPTH) else {
            let what = "the schemas are too large to be compared";
            return vec![Problem::new("TOO_COMPLEX", path, what)];
        };
        self.steps = left;
        if !self.met.insert((r, w)) {
            return Vec::new();
        }
        let before = self.trail.len();
        self.trail.push((r, w));
        self.depth += 1;
        let problems = self.compare(r, w, path);
        self.depth -= 1;
        if !problems.is_empty() {
            // What was found good on the way may have counted on this pair.
            for pair in self.trail.drain(before..) {
                self.met.remove(&pair);
            }
        }
        problems
    }

    fn compare(&mut self, r: NodeId, w: NodeId, path: &str) -> Vec<Problem> {
        let (reader, writer) = (self.reader, self.writer);
        let (reader, writer) = (reader.node(r), writer.node(w));
        let one = |kind, what: String| vec![Problem::new(kind, path, what)];
        let differ = |a: &str, b: &str| {
            let what = format!("the name is {a} in the reader and {b} in the writer");
            one("NAME_MISMATCH", what)
        };
        match (reader, writer) {
            (_, Node::Union(branches)) => {
                let mut problems = Vec::new();
                for branch in branches {
                    if !self.read(r, *branch, path).is_empty() {
                        let what = format!(
                            "the writer may write {}, which the reader does not take",
                            named(self.writer.node(*branch))
                        );
                        problems.push(Problem::new("MISSING_UNION_BRANCH", path, what));
                    }
                }
                problems
            }
            (Node::Union(branches), _) => {
                if branches.iter().any(|b| self.read(*b, w, path).is_empty()) {
                    return Vec::new();
                }
                let what = format!(
                    "the writer writes {}, which is no branch of the reader",
                    named(writer)
                );
                one("MISSING_UNION_BRANCH", what)
            }
            (Node::List(r), Node::List(w)) => self.read(*r, *w, &format!("{path}/items")),
            (Node::Map(r), Node::Map(w)) => self.read(*r, *w, &format!("{path}/values")),
            (
                Node::Enum {
                    name,
                    symbols,
                    default,
                },
                Node::Enum {
                    name: other,
                    symbols: written,
                    ..
                },
            ) => {
                if !goes_by(name, other) {
                    return differ(&name.full, &other.full);
                }
                let missing: Vec<&str> = written
                    .iter()
                    .filter(|s| !symbols.contains(s))
                    .map(String::as_str)
                    .collect();
                if missing.is_empty() || *default {
                    return Vec::new();
                }
                let what = format!("the reader lacks the symbols {}", missing.join(", "));
                one("MISSING_ENUM_SYMBOLS", what)
            }
            (
                Node::Record { name, fields },
                Node::Record {
                    name: other,
                    fields: written,
                },
            ) => {
                if !goes_by(name, other) {
                    return differ(&name.full, &other.full);
                }
                let mut problems = Vec::new();
                for (i, field) in fields.iter().enumerate() {
                    let names = std::iter::once(&field.name).chain(&field.aliases);
                    let mut found = names.filter_map(|n| written.iter().find(|w| w.name == *n));
                    let at = format!("{path}/fields/{i}");
                    match found.next() {
                        Some(w) => {
                            problems.extend(self.read(field.node, w.node, &format!("{at}/type")));
                        }
                        None if field.default => {}
                        None => {
                            let what = format!(
                                "the field '{}' of the reader has no default value and is missing in the writer",
                                field.name
                            );
                            problems.push(Problem::new(
                                "READER_FIELD_MISSING_DEFAULT_VALUE",
                                &at,
                                what,
                            ));
                        }
                    }
                }
                problems
            }
            (
                Node::Decimal {
                    precision, scale, ..
                },
                Node::Decimal {
                    precision: p,
                    scale: s,
                    ..
                },
            ) if (precision, scale) != (p, s) => {
                let what = format!(
                    "the decimal has precision {precision} and scale {scale} in the reader, {p} and {s} in the writer"
                );
                one("TYPE_MISMATCH", what)
            }
            (Node::Fixed { name, .. }, Node::Fixed { name: other, .. })
                if !goes_by(name, other) =>
            {
                differ(&name.full, &other.full)
            }
            (reader, writer) => match (base(reader), base(writer)) {
                (Base::Fixed(r), Base::Fixed(w)) if r != w => {
                    let what = format!("it has {r} bytes in the reader and {w} in the writer");
                    one("FIXED_SIZE_MISMATCH", what)
                }
                (r, w) if r != Base::Other && (r == w || promotes(w, r)) => Vec::new(),
                _ => {
                    let what = format!(
                        "it is {} in the reader and {} in the writer",
                        named(reader),
                        named(writer)
                    );
                    one("TYPE_MISMATCH", what)
                }
            },
        }
    }
}
