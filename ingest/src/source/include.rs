//! Parts of a message besides its value, as columns: the stream option `include`.

use super::record::{Header, Record};
use crate::dead_letter::push_hex;
use crate::decode::{Cell, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use tsdb::Stream;
use tsdb::types::{DataType, Role, Schema};

/// What is wrong with an `include` or `key_format` option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IncludeError {
    /// A part that messages do not have.
    #[error(
        "a message has no part \"{0}\"; there are key, timestamp, headers, header:<name>, topic, partition and offset"
    )]
    Part(String),
    /// A part without a column's name behind `as`, or with several.
    #[error("\"{0}\" is not of the form '<part> as <column>'")]
    Form(String),
    /// Two parts for one column.
    #[error("the column \"{0}\" is named twice")]
    Twice(String),
    /// A format that keys do not have.
    #[error("keys are read as 'text' or 'json', not as '{0}'")]
    KeyFormat(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Key,
    Timestamp,
    Headers,
    Header(String),
    Topic,
    Partition,
    Offset,
}

impl Part {
    /// The type of a column made for it.
    fn natural(&self) -> DataType {
        match self {
            Part::Timestamp => DataType::Timestamp,
            Part::Partition | Part::Offset => DataType::Int64,
            _ => DataType::Utf8,
        }
    }
}

/// Which parts of a message besides its value become columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Include {
    parts: Vec<(Part, String)>,
    json_key: bool,
}

impl Include {
    /// Reads `key as user_id, timestamp as kafka_time, headers, header:trace as trace, topic, partition, offset`.
    /// Without `as` a column has its part's name, the timestamp's is `message_time`, a header's its own.
    ///
    /// # Errors
    /// When it is not that.
    pub fn parse(text: &str) -> Result<Include, IncludeError> {
        let mut parts: Vec<(Part, String)> = Vec::new();
        for item in text.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            let words: Vec<&str> = item.split_whitespace().collect();
            let (part, name) = match words.as_slice() {
                [part] => (*part, None),
                [part, r#as, name] if r#as.eq_ignore_ascii_case("as") => (*part, Some(*name)),
                _ => return Err(IncludeError::Form(item.into())),
            };
            let (part, own) = match part.split_once(':') {
                Some((kind, header))
                    if kind.eq_ignore_ascii_case("header") && !header.is_empty() =>
                {
                    (Part::Header(header.into()), header)
                }
                _ => match part.to_ascii_lowercase().as_str() {
                    "key" => (Part::Key, "key"),
                    "timestamp" => (Part::Timestamp, "message_time"),
                    "headers" => (Part::Headers, "headers"),
                    "topic" => (Part::Topic, "topic"),
                    "partition" => (Part::Partition, "partition"),
                    "offset" => (Part::Offset, "offset"),
                    _ => return Err(IncludeError::Part(part.into())),
                },
            };
            let name = name.unwrap_or(own).to_owned();
            if parts.iter().any(|(_, n)| n.eq_ignore_ascii_case(&name)) {
                return Err(IncludeError::Twice(name));
            }
            parts.push((part, name));
        }
        Ok(Include {
            parts,
            json_key: false,
        })
    }

    /// Sets how keys are read: `text` (the default; what is no UTF-8 in hex), or `json`: the members of a key that is
    /// an object become columns below the key's, `key.user`.
    ///
    /// # Errors
    /// For any other format.
    pub fn key_format(mut self, name: &str) -> Result<Include, IncludeError> {
        self.json_key = match name.trim().to_ascii_lowercase().as_str() {
            "text" | "string" | "kafka" => false,
            "json" => true,
            _ => return Err(IncludeError::KeyFormat(name.into())),
        };
        Ok(self)
    }

    /// Whether nothing is included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether the key is.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.parts.iter().any(|(p, _)| *p == Part::Key)
    }

    /// Whether a column of that name is fed from here.
    pub(super) fn feeds(&self, name: &str) -> bool {
        self.parts.iter().any(|(_, n)| n.eq_ignore_ascii_case(name))
    }

    /// Adds the columns that the stream lacks. Where one can't be, rows are refused with the reason.
    pub(super) fn add_columns(&self, stream: &Stream) {
        for (part, name) in &self.parts {
            let members = self.json_key && *part == Part::Key;
            if !members && target(&stream.schema(), name).is_none() {
                let wanted = [(name.as_str(), part.natural(), Role::Field)];
                // Met again, and told of, by each row.
                let _ = stream.ensure_columns(&wanted);
            }
        }
    }

    /// The columns' types and roles, in the order of the parts.
    pub(super) fn targets(&self, schema: &Schema) -> Vec<Option<(DataType, Role)>> {
        let of = |(_, name): &(Part, String)| target(schema, name);
        self.parts.iter().map(of).collect()
    }

    /// The cells that a message's rows get. `time` is its time as an event time.
    pub(super) fn cells<'r>(
        &'r self,
        record: &Record<'r>,
        targets: &[Option<(DataType, Role)>],
        time: i64,
    ) -> Vec<(Cow<'r, str>, Cell<'r>)> {
        let mut cells = Vec::with_capacity(self.parts.len());
        for ((part, name), target) in self.parts.iter().zip(targets) {
            let text = target.is_some_and(|t| t.0 == DataType::Utf8);
            let integer = |v: i64| match text {
                true => Cell::Str(Cow::Owned(v.to_string())),
                false => Cell::Int(v),
            };
            let cell = match part {
                Part::Key => {
                    let key = record.key.map(shown);
                    if self.json_key
                        && let Some(Cow::Borrowed(key)) = key
                        && let Some(members) = json::members(key, Some(name))
                    {
                        cells.extend(members);
                        continue;
                    }
                    text_cell(key, *target)
                }
                Part::Timestamp if target.is_some_and(|t| t.1 == Role::Time) => Cell::Time(time),
                Part::Timestamp => match record.time_ns.filter(|t| *t >= 0) {
                    Some(t) => Cell::Time(t),
                    None => Cell::Null,
                },
                Part::Headers => match headers_json(record.headers) {
                    Some(text) => Cell::Str(Cow::Owned(text)),
                    None => Cell::Null,
                },
                Part::Header(header) => {
                    let last = record.headers.iter().rev().find(|h| h.0 == header);
                    text_cell(last.and_then(|h| h.1).map(shown), *target)
                }
                Part::Topic => Cell::Str(Cow::Borrowed(record.topic)),
                Part::Partition => integer(i64::from(record.partition)),
                // Offsets of every source are below 2^63.
                Part::Offset => integer(i64::try_from(record.offset).unwrap_or(i64::MAX)),
            };
            cells.push((Cow::Borrowed(name.as_str()), cell));
        }
        cells
    }
}

/// Text as a cell: where a column is declared of another type, it may be spelled in text.
fn text_cell<'r>(text: Option<Cow<'r, str>>, target: Option<(DataType, Role)>) -> Cell<'r> {
    match (text, target) {
        (None, _) => Cell::Null,
        (Some(Cow::Borrowed(text)), Some((t, _))) if t != DataType::Utf8 => Cell::Untyped(text),
        (Some(text), _) => Cell::Str(text),
    }
}

/// The type and role of the column that a name means: the exact one, else the only one that differs in case alone.
fn target(schema: &Schema, name: &str) -> Option<(DataType, Role)> {
    let exact = schema.column(name);
    let column = exact.or_else(|| {
        let mut alike = schema
            .columns
            .iter()
            .filter(|c| c.name.eq_ignore_ascii_case(name));
        let first = alike.next()?;
        alike.next().is_none().then_some(first)
    })?;
    Some((column.data_type, column.role))
}

/// Bytes as text: as they are when they are UTF-8, else in hex.
pub(super) fn shown(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut hex = String::new();
            push_hex(&mut hex, bytes);
            Cow::Owned(hex)
        }
    }
}

/// The headers as a JSON object, by name; the values of a name given twice are a list. `None` without headers.
pub(super) fn headers_json(headers: &[Header<'_>]) -> Option<String> {
    if headers.is_empty() {
        return None;
    }
    let mut by_name: BTreeMap<&str, Vec<Option<Cow<'_, str>>>> = BTreeMap::new();
    for (name, value) in headers {
        by_name.entry(name).or_default().push(value.map(shown));
    }
    let member = |(name, mut values): (&str, Vec<Option<Cow<'_, str>>>)| {
        let value = match values.len() {
            1 => serde_json::Value::from(values.pop().flatten()),
            _ => serde_json::Value::from(values),
        };
        (name.to_owned(), value)
    };
    Some(serde_json::Value::Object(by_name.into_iter().map(member).collect()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_include_is_read_or_told_what_is_wrong() {
        let all = Include::parse(
            "key as user_id, TIMESTAMP AS kafka_time,headers , header:trace as t, header:Span, topic, partition, offset,",
        )
        .unwrap();
        let names: Vec<&str> = all.parts.iter().map(|p| p.1.as_str()).collect();
        assert_eq!(
            names,
            [
                "user_id",
                "kafka_time",
                "headers",
                "t",
                "Span",
                "topic",
                "partition",
                "offset"
            ]
        );
        assert!(all.has_key() && !all.is_empty() && all.feeds("USER_ID"));
        assert_eq!(
            Include::parse("timestamp").unwrap().parts[0].1,
            "message_time"
        );
        assert!(Include::parse(" ").unwrap().is_empty());
        for bad in ["value", "header:", "header", ":x"] {
            let error = Include::parse(bad).unwrap_err();
            assert_eq!(error, IncludeError::Part(bad.into()));
        }
        for bad in ["key user", "key as", "key as a b", "key was x"] {
            let error = Include::parse(bad).unwrap_err();
            assert_eq!(error, IncludeError::Form(bad.into()));
        }
        let twice = Include::parse("key as a, topic as A").unwrap_err();
        assert_eq!(twice, IncludeError::Twice("A".into()));
        assert!(all.clone().key_format("JSON").unwrap().json_key);
        assert!(all.key_format("avro").is_err());
    }

    #[test]
    fn headers_are_an_object() {
        let headers = [
            ("b", Some(&b"x\"y"[..])),
            ("a", None),
            ("b", Some(&b"\xff\x01"[..])),
        ];
        let record = Record {
            headers: &headers,
            ..Record::default()
        };
        assert_eq!(
            headers_json(record.headers).unwrap(),
            r#"{"a":null,"b":["x\"y","ff01"]}"#
        );
        assert_eq!(headers_json(&[]), None);
    }
}
