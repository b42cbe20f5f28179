//! Whether data of one schema can be read by another, and which schemas of a subject must be readable by which.
//!
//! Where Confluent's registry says that something is incompatible, so does this one; of what it allows, what would be
//! read wrongly is refused here (a decimal's scale, a repeated field read as one).

mod avro;
#[cfg(test)]
mod avro_tests;
mod json;
#[cfg(test)]
mod json_tests;
mod keywords;
mod protobuf;

use super::{SchemaKind, SchemaSource};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a subject's versions must be to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Nothing is checked.
    None,
    /// A new schema reads data of the latest one.
    #[default]
    Backward,
    /// A new schema reads data of all before it.
    BackwardTransitive,
    /// The latest schema reads data of a new one.
    Forward,
    /// All schemas before it read data of a new one.
    ForwardTransitive,
    /// Both ways, the latest.
    Full,
    /// Both ways, all.
    FullTransitive,
}

impl Level {
    /// All there are.
    pub const ALL: [Level; 7] = [
        Level::None,
        Level::Backward,
        Level::BackwardTransitive,
        Level::Forward,
        Level::ForwardTransitive,
        Level::Full,
        Level::FullTransitive,
    ];

    /// The level of that name, as registries spell it, in any case.
    #[must_use]
    pub fn of(name: &str) -> Option<Level> {
        Level::ALL
            .into_iter()
            .find(|l| l.to_string().eq_ignore_ascii_case(name))
    }

    /// Whether all versions count, and not the latest alone.
    #[must_use]
    pub fn transitive(self) -> bool {
        matches!(
            self,
            Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive
        )
    }

    fn backward(self) -> bool {
        matches!(
            self,
            Level::Backward | Level::BackwardTransitive | Level::Full | Level::FullTransitive
        )
    }

    fn forward(self) -> bool {
        matches!(
            self,
            Level::Forward | Level::ForwardTransitive | Level::Full | Level::FullTransitive
        )
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::None => "NONE",
            Level::Backward => "BACKWARD",
            Level::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Level::Forward => "FORWARD",
            Level::ForwardTransitive => "FORWARD_TRANSITIVE",
            Level::Full => "FULL",
            Level::FullTransitive => "FULL_TRANSITIVE",
        })
    }
}

/// Problems that are told at most.
const MAX_PROBLEMS: usize = 100;

/// Why one schema can't read data of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Its kind, in Confluent's words where they have one.
    pub kind: &'static str,
    /// Where, as a path of the reading schema.
    pub path: String,
    /// What, in words that speak of the reader and the writer.
    pub what: String,
}

impl Problem {
    fn new(kind: &'static str, path: &str, what: impl Into<String>) -> Problem {
        let path = if path.is_empty() { "/" } else { path };
        Problem {
            kind,
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// A version that a new schema is checked against.
#[derive(Debug, Clone)]
pub struct Previous {
    /// Its number.
    pub version: u32,
    /// The schema.
    pub source: SchemaSource,
}

/// Why a new schema is not what the level asks for, in words for people; nothing when it is. `previous` is in order of
/// the versions; the last one alone counts unless the level is transitive.
///
/// # Errors
/// When one of the schemas can't be read.
pub fn check(
    level: Level,
    new: &SchemaSource,
    previous: &[Previous],
) -> Result<Vec<String>, String> {
    let skip = if level.transitive() {
        0
    } else {
        previous.len().saturating_sub(1)
    };
    let mut messages = Vec::new();
    if level == Level::None {
        return Ok(messages);
    }
    for old in previous[skip..].iter().rev() {
        let mut problems = Vec::new();
        if old.source.kind != new.kind {
            let what = format!(
                "the new schema is {} and the old one {}",
                new.kind, old.source.kind
            );
            problems.push((Problem::new("SCHEMA_TYPE_CHANGED", "", what), "new", "old"));
        } else {
            if level.backward() {
                let found = read(new, &old.source)?;
                problems.extend(found.into_iter().map(|p| (p, "new", "old")));
            }
            if level.forward() {
                let found = read(&old.source, new)?;
                problems.extend(found.into_iter().map(|p| (p, "old", "new")));
            }
        }
        if problems.is_empty() {
            continue;
        }
        for (problem, reader, writer) in problems.into_iter().take(MAX_PROBLEMS) {
            let what = problem
                .what
                .replace("the reader", &format!("the {reader} schema"))
                .replace("the writer", &format!("the {writer} schema"));
            messages.push(format!(
                "{{errorType:'{}', description:'At path '{}' of the {reader} schema: {what}'}}",
                problem.kind, problem.path
            ));
        }
        messages.push(format!("{{oldSchemaVersion: {}}}", old.version));
        messages.push(format!("{{oldSchema: '{}'}}", old.source.text));
        messages.push(format!("{{compatibility: '{level}'}}"));
        break;
    }
    Ok(messages)
}

/// Why `reader` can't read all data of `writer`; both are of the same kind.
fn read(reader: &SchemaSource, writer: &SchemaSource) -> Result<Vec<Problem>, String> {
    match reader.kind {
        SchemaKind::Avro => avro::read(reader, writer),
        SchemaKind::Protobuf => protobuf::read(reader, writer),
        SchemaKind::Json => json::read(reader, writer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn avro(fields: &str) -> SchemaSource {
        SchemaSource::new(
            SchemaKind::Avro,
            format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#),
        )
    }

    #[test]
    fn levels_say_who_reads_whom_and_how_far_back() {
        let a = r#"{"name":"a","type":"int"}"#;
        let b = r#"{"name":"b","type":"int","default":1}"#;
        let b_bare = r#"{"name":"b","type":"int"}"#;
        // Version 1 has a; version 2 adds b with a default; the new one has b without one.
        let previous = [
            Previous {
                version: 1,
                source: avro(a),
            },
            Previous {
                version: 2,
                source: avro(&format!("{a},{b}")),
            },
        ];
        let new = avro(&format!("{a},{b_bare}"));
        let good = |level| check(level, &new, &previous).unwrap().is_empty();
        assert!(good(Level::Backward), "version 2 always has b");
        assert!(!good(Level::BackwardTransitive), "version 1 does not");
        assert!(good(Level::Forward) && good(Level::ForwardTransitive));
        assert!(good(Level::Full));
        assert!(!good(Level::FullTransitive));
        assert!(good(Level::None));
        let only_b = avro(b_bare);
        let good = |level| check(level, &only_b, &previous).unwrap().is_empty();
        assert!(good(Level::Backward));
        assert!(!good(Level::Forward), "a is missing");
        let messages = check(Level::BackwardTransitive, &new, &previous).unwrap();
        assert!(
            messages[0].contains("READER_FIELD_MISSING_DEFAULT_VALUE"),
            "{messages:?}"
        );
        assert!(messages[0].contains("the old schema"), "{messages:?}");
        assert_eq!(messages[1], "{oldSchemaVersion: 1}");
        let json = SchemaSource::new(SchemaKind::Json, "{}");
        assert!(!check(Level::Backward, &json, &previous).unwrap().is_empty());
        assert!(check(Level::Backward, &new, &[]).unwrap().is_empty());
        for level in Level::ALL {
            assert_eq!(Level::of(&level.to_string().to_lowercase()), Some(level));
        }
    }
}
