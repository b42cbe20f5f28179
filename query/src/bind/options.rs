//! The options that say where a stream's rows come from and how much they matter: names and values are checked here, the
//! engine keeps them as text, and whoever runs the sources reads them.

use super::literal::{integer_time, timestamp};
use super::nearest::did_you_mean;
use crate::error::{BindError, BindResult};
use arrow::array::StringArray;
use arrow::compute::regexp_is_match_scalar;
use datafusion::common::ScalarValue;
use query_lang::ast::{Literal, SqlOption};

/// What values an option takes.
#[derive(Clone, Copy)]
enum Takes {
    /// Any text but an empty one.
    Text,
    /// One of these words, kept in small letters.
    OneOf(&'static [&'static str]),
    /// Parts of messages, each with a column's name if need be: `key as user_id, header:trace`.
    Parts,
    /// Names with commas between.
    Names,
    /// The name of a topic of Kafka.
    Topic,
    /// Names of topics with commas between.
    Topics,
    /// A regular expression.
    Pattern,
    /// `earliest`, `latest`, or a time, which is kept as nanoseconds since 1970.
    Start,
    /// A number from 1 on.
    Count,
    /// True or false.
    Flag,
}

const FORMATS: Takes = Takes::OneOf(&[
    "json",
    "csv",
    "tsv",
    "avro",
    "protobuf",
    "json_schema",
    "line_protocol",
    "text",
    "raw",
]);

/// What of a message can be a column besides its value.
const PARTS: &[&str] = &[
    "key",
    "timestamp",
    "partition",
    "offset",
    "topic",
    "headers",
];

const OPTIONS: &[(&str, Takes)] = &[
    ("kafka_topic", Takes::Topics),
    ("kafka_topic_pattern", Takes::Pattern),
    ("kafka_brokers", Takes::Text),
    ("kafka_group", Takes::Text),
    ("kafka_start", Takes::Start),
    ("include", Takes::Parts),
    ("value_format", FORMATS),
    (
        "key_format",
        Takes::OneOf(&["json", "csv", "avro", "protobuf", "string", "none"]),
    ),
    ("key", Takes::Text),
    ("csv_columns", Takes::Names),
    ("schema_registry", Takes::Text),
    ("value_schema", Takes::Text),
    ("value_message", Takes::Text),
    ("nats_subject", Takes::Text),
    ("nats_stream", Takes::Text),
    ("nats_url", Takes::Text),
    ("nats_start", Takes::Start),
    ("mqtt_topic", Takes::Text),
    ("mqtt_url", Takes::Text),
    ("file_path", Takes::Text),
    ("file_format", FORMATS),
    ("file_truncation", Takes::OneOf(&["stop", "restart"])),
    ("csv_header", Takes::Flag),
    (
        "priority",
        Takes::OneOf(&["critical", "high", "normal", "low"]),
    ),
    ("timestamp_format", Takes::Text),
    ("partitions", Takes::Count),
    ("replicas", Takes::Count),
];

/// The options that name a source. A stream has one at most; NATS may be given both of its names.
const SOURCES: &[&[&str]] = &[
    &["kafka_topic"],
    &["kafka_topic_pattern"],
    &["nats_subject", "nats_stream"],
    &["mqtt_topic"],
    &["file_path"],
];

/// The options of a sink.
const SINK_OPTIONS: &[(&str, Takes)] = &[
    ("kafka_topic", Takes::Topic),
    ("kafka_brokers", Takes::Text),
    ("value_format", Takes::OneOf(&["json", "csv"])),
    ("key_format", Takes::OneOf(&["json", "csv", "string"])),
    ("key", Takes::Names),
    ("exactly_once", Takes::Flag),
    ("snapshot", Takes::Flag),
    ("partitions", Takes::Count),
    ("replicas", Takes::Count),
    ("log_limit", Takes::Count),
];

/// What is kept of a sink's options: names in small letters, and texts.
pub fn sink_options(options: &[SqlOption]) -> BindResult<Vec<(String, String)>> {
    let mut kept = Vec::with_capacity(options.len());
    for option in options {
        let name = option.name.to_ascii_lowercase();
        let text = if name.starts_with("kafka.") {
            plain(&option.value)
        } else {
            let known = SINK_OPTIONS.iter().find(|(known, _)| *known == name);
            let Some((_, takes)) = known else {
                let names = SINK_OPTIONS.iter().map(|(n, _)| *n);
                let message = format!("there is no sink option \"{name}\"");
                return Err(
                    BindError::new(option.name_span, message).hint(did_you_mean(&name, names))
                );
            };
            value(option, *takes)?
        };
        kept.push((name, text));
    }
    Ok(kept)
}

/// Names of all options of this kind.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name)
}

/// Whether an option of that name is a setting of a client's own.
fn is_setting(name: &str) -> bool {
    ["kafka.", "nats.", "mqtt."]
        .iter()
        .any(|client| name.starts_with(client))
}

/// Whether an option of that name says where rows come from.
pub fn is_source(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name != "priority" && (is_setting(&name) || names().any(|n| n == name))
}

/// The text that is kept of an option called `name` (in small letters); `None` when there is no such option.
pub fn source_option(option: &SqlOption, name: &str) -> Option<BindResult<String>> {
    if is_setting(name) {
        return Some(Ok(plain(&option.value)));
    }
    let (_, takes) = OPTIONS.iter().find(|(known, _)| *known == name)?;
    Some(value(option, *takes))
}

/// Objects to a second source.
pub fn one_source(options: &[SqlOption]) -> BindResult<()> {
    let source = |option: &SqlOption| {
        let is = |name: &&str| option.name.eq_ignore_ascii_case(name);
        SOURCES.iter().position(|names| names.iter().any(&is))
    };
    let mut named = options.iter().filter_map(|o| Some((source(o)?, o)));
    let Some((first, one)) = named.next() else {
        return Ok(());
    };
    match named.find(|(source, _)| *source != first) {
        Some((_, other)) => Err(BindError::new(
            other.name_span,
            format!(
                "a stream has one source: {} is given beside {}",
                other.name, one.name
            ),
        )),
        None => Ok(()),
    }
}

fn value(option: &SqlOption, takes: Takes) -> BindResult<String> {
    let wrong = |what: &str| {
        let message = format!("option {} takes {what}", option.name);
        BindError::new(option.value_span, message)
    };
    let text = match &option.value {
        Literal::String(text) => text.trim(),
        Literal::Integer(n) if matches!(takes, Takes::Count | Takes::Start) => {
            return match (takes, i64::try_from(*n)) {
                (Takes::Count, Ok(n)) if n >= 1 => Ok(n.to_string()),
                (Takes::Start, Ok(n)) => Ok(integer_time(n).to_string()),
                _ => Err(wrong("a number from 1 on")),
            };
        }
        Literal::Boolean(b) if matches!(takes, Takes::Flag) => return Ok(b.to_string()),
        Literal::Timestamp(text) if matches!(takes, Takes::Start) => text.as_str(),
        _ if matches!(takes, Takes::Count) => return Err(wrong("a number from 1 on")),
        _ if matches!(takes, Takes::Flag) => return Err(wrong("true or false")),
        _ => return Err(wrong("a text")),
    };
    if text.is_empty() {
        return Err(wrong("a text that is not empty"));
    }
    match takes {
        Takes::Text => Ok(text.to_owned()),
        Takes::OneOf(words) => {
            word(text, words).ok_or_else(|| wrong(&either(words)).hint(near(text, words)))
        }
        Takes::Parts => {
            let parts = list(text).map(|part| {
                let (first, rest) = part.split_at(part.find(char::is_whitespace).unwrap_or(part.len()));
                let header = first.split_once(':').is_some_and(|(kind, name)| {
                    kind.eq_ignore_ascii_case("header") && !name.is_empty()
                });
                if header {
                    return Ok(part.to_owned());
                }
                word(first, PARTS).map(|word| word + rest).ok_or_else(|| {
                    let what = format!(
                        "some of {} or header:NAME, with commas between, each with `as column` if need be",
                        either(PARTS)
                    );
                    wrong(&what).hint(near(first, PARTS))
                })
            });
            Ok(parts.collect::<BindResult<Vec<_>>>()?.join(","))
        }
        Takes::Names => Ok(list(text).collect::<Vec<_>>().join(",")),
        Takes::Topic | Takes::Topics => {
            const LONGEST: usize = 249;
            let legal = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
            let is_name = |name: &str| {
                name.len() <= LONGEST && name.bytes().all(legal) && !matches!(name, "." | "..")
            };
            let names: Vec<&str> = match takes {
                Takes::Topics => list(text).collect(),
                _ => vec![text],
            };
            if names.is_empty() || !names.iter().all(|name| is_name(name)) {
                return Err(
                    wrong("the name of a topic: letters, digits, `.`, `_` and `-`")
                        .hint(Some("kafka_topic_pattern takes a pattern".to_owned())),
                );
            }
            Ok(names.join(","))
        }
        Takes::Pattern => {
            let probe = StringArray::from(vec![""]);
            regexp_is_match_scalar(&probe, text, None)
                .map_err(|e| wrong(&format!("a regular expression: {e}")))?;
            Ok(text.to_owned())
        }
        Takes::Start => match word(text, &["earliest", "latest"]) {
            Some(word) => Ok(word),
            None => match timestamp(text, option.value_span) {
                Ok(ScalarValue::TimestampNanosecond(Some(ns), _)) => Ok(ns.to_string()),
                _ => Err(wrong("'earliest', 'latest' or a time")),
            },
        },
        Takes::Count => Err(wrong("a number from 1 on")),
        Takes::Flag => word(text, &["true", "false"]).ok_or_else(|| wrong("true or false")),
    }
}

/// The parts of a list, empty ones left out.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|p| !p.is_empty())
}

fn word(text: &str, words: &[&str]) -> Option<String> {
    let found = words.iter().find(|w| text.eq_ignore_ascii_case(w))?;
    Some((*found).to_owned())
}

fn near(text: &str, words: &'static [&'static str]) -> Option<String> {
    did_you_mean(text, words.iter().copied())
}

/// `'a', 'b' or 'c'`
fn either(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// A constant's text, without quotes.
fn plain(value: &Literal) -> String {
    match value {
        Literal::String(s) | Literal::Decimal(s) | Literal::Float(s) => s.clone(),
        Literal::Boolean(b) => b.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use query_lang::ast::StatementKind;

    /// What is kept of the options of `WITH (..)`.
    fn kept(with: &str) -> Result<Vec<String>, BindError> {
        let sql = format!("CREATE STREAM s WITH ({with})");
        let statements = query_lang::parse_statements(&sql).unwrap();
        let StatementKind::CreateStream(create) = &statements[0].kind else {
            panic!("{sql}");
        };
        one_source(&create.options)?;
        let options = create.options.iter();
        options
            .map(|o| source_option(o, &o.name.to_ascii_lowercase()).unwrap())
            .collect()
    }

    #[test]
    fn values_are_checked_and_kept_in_one_spelling() {
        let good = [
            ("value_format = 'JSON'", "json"),
            ("priority = critical", "critical"),
            ("kafka_topic = 'a.b-c_d'", "a.b-c_d"),
            ("kafka_topic_pattern = 'events\\..*'", "events\\..*"),
            ("kafka_start = 'Latest'", "latest"),
            ("kafka_start = 1700000000", "1700000000000000000"),
            ("kafka_start = '2026-01-01'", "1767225600000000000"),
            ("include = 'Key, headers,'", "key,headers"),
            ("csv_columns = 'a , b'", "a,b"),
            ("partitions = 3", "3"),
            ("kafka.linger.ms = 5", "5"),
            ("kafka.enable.idempotence = true", "true"),
        ];
        for (with, wanted) in good {
            assert_eq!(kept(with).unwrap(), [wanted], "{with}");
        }
    }

    #[test]
    fn wrong_values_are_said_where_they_stand() {
        let bad = [
            ("value_format = 'jsn'", Some("did you mean \"json\"?")),
            ("priority = 'urgent'", None),
            ("priority = 3", None),
            (
                "kafka_topic = 'a b'",
                Some("kafka_topic_pattern takes a pattern"),
            ),
            ("kafka_topic = ''", None),
            ("kafka_topic_pattern = '('", None),
            ("kafka_start = 'whenever'", None),
            ("include = 'key, offst'", Some("did you mean \"offset\"?")),
            ("partitions = 0", None),
            ("partitions = 'x'", None),
            ("file_path = 1", None),
        ];
        for (with, hint) in bad {
            let error = kept(with).unwrap_err();
            assert_eq!(error.hint.as_deref(), hint, "{with}: {}", error.message);
            assert!(error.span.start > 20, "{with}");
        }
    }

    #[test]
    fn a_sink_has_options_of_its_own() {
        let kept = |with: &str| {
            let sql = format!("CREATE SINK s FROM t WITH ({with})");
            let statements = query_lang::parse_statements(&sql).unwrap();
            let StatementKind::CreateSink(create) = &statements[0].kind else {
                panic!("{sql}");
            };
            sink_options(&create.options)
        };
        let all = kept(
            "kafka_topic = 'a', KEY = 'x, y', exactly_once = FALSE, snapshot = 'True', \"kafka.linger.ms\" = 5, \
             partitions = 3",
        );
        let all = all.unwrap();
        let texts: Vec<String> = all.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            texts,
            [
                "kafka_topic=a",
                "key=x,y",
                "exactly_once=false",
                "snapshot=true",
                "kafka.linger.ms=5",
                "partitions=3"
            ]
        );
        for (with, hint) in [
            ("kafka_topik = 'a'", Some("did you mean \"kafka_topic\"?")),
            ("exactly_once = 3", None),
            ("exactly_once = 'maybe'", None),
            ("value_format = 'avro'", None),
        ] {
            assert_eq!(kept(with).unwrap_err().hint.as_deref(), hint, "{with}");
        }
    }

    #[test]
    fn a_stream_has_one_source() {
        assert!(kept("nats_stream = 'a', nats_subject = 'b'").is_ok());
        let error = kept("kafka_topic = 'a', file_path = 'b'").unwrap_err();
        assert_eq!(
            error.message,
            "a stream has one source: file_path is given beside kafka_topic"
        );
    }
}
