//! `CREATE STREAM`: columns and options become a stream's definition.

use super::nearest::did_you_mean;
use super::options::{is_source, names, one_source, source_option};
use crate::error::{BindError, BindResult};
use crate::types::stored_type;
use query_lang::ast::{
    CreateStream, Interval, Literal, NANOS_PER_DAY, NANOS_PER_SECOND, SqlOption,
};
use tsdb::types::{DataType, Role};
use tsdb::{Late, StreamDef, StreamOptions};

/// The options of `CREATE STREAM .. WITH (..)` that the engine itself reads.
const OPTIONS: &[&str] = &[
    "event_time",
    "tags",
    "disorder",
    "lateness",
    "late",
    "retention",
    "partition",
    "timestamp",
];
/// Names that an event-time column goes by when none is declared.
const TIME_NAMES: &[&str] = &["timestamp", "ts", "time"];

/// A stream's definition and what the user should know about it.
pub struct NewStream {
    /// What to create.
    pub def: StreamDef,
    /// Notices.
    pub notices: Vec<String>,
}

/// The definition that a `CREATE STREAM` asks for.
pub fn stream_def(create: &CreateStream) -> BindResult<NewStream> {
    let mut notices = Vec::new();
    let mut columns: Vec<(String, DataType, Role)> = Vec::with_capacity(create.columns.len() + 1);
    for c in &create.columns {
        if columns.iter().any(|(n, ..)| *n == c.name.value) {
            return Err(BindError::new(
                c.name.span,
                format!("column \"{}\" is declared twice", c.name.value),
            ));
        }
        let data_type = stored_type(&c.data_type).map_err(|why| BindError::new(c.span, why))?;
        let role = if c.tag { Role::Tag } else { Role::Field };
        if c.tag && data_type != DataType::Utf8 {
            return Err(tag_type(c.span, &c.name.value));
        }
        if c.not_null {
            notices.push(format!("NOT NULL of \"{}\" is not enforced", c.name.value));
        }
        columns.push((c.name.value.clone(), data_type, role));
    }
    let options = options(create, &mut columns, &mut notices)?;
    event_time(create, &mut columns, &mut notices)?;
    Ok(NewStream {
        def: StreamDef { columns, options },
        notices,
    })
}

/// The definition of a derived stream, given its columns and the place of the one that its event time is unless the options
/// say otherwise.
pub fn derived_def(
    create: &CreateStream,
    mut columns: Vec<(String, DataType, Role)>,
    time: Option<usize>,
) -> BindResult<NewStream> {
    let mut notices = Vec::new();
    let made = columns.len();
    let options = options(create, &mut columns, &mut notices)?;
    if let Some((missing, ..)) = columns.get(made) {
        let said = |o: &&SqlOption| o.name.eq_ignore_ascii_case("tags");
        let at = create.options.iter().find(said);
        let span = at.map_or(create.name.span(), |o| o.value_span);
        let message = format!("there is no column \"{missing}\" to be a tag");
        return Err(BindError::new(span, message));
    }
    let read = |o: &&SqlOption| is_source(&o.name);
    if let Some(option) = create.options.iter().find(read) {
        let message = "a derived stream has its rows from a stream, and no source of its own";
        return Err(BindError::new(option.name_span, message));
    }
    match time {
        Some(i) if asked_time(create).is_none() => columns[i].2 = Role::Time,
        _ => event_time(create, &mut columns, &mut notices)?,
    }
    Ok(NewStream {
        def: StreamDef { columns, options },
        notices,
    })
}

/// The option that names the event time.
pub fn asked_time(create: &CreateStream) -> Option<&SqlOption> {
    let asked = |name: &str| {
        create
            .options
            .iter()
            .find(|o| o.name.eq_ignore_ascii_case(name))
    };
    asked("event_time").or_else(|| asked("timestamp"))
}

fn tag_type(span: query_lang::ast::Span, name: &str) -> BindError {
    BindError::new(span, format!("\"{name}\" is a tag and must be a STRING"))
}

fn position(columns: &[(String, DataType, Role)], name: &str) -> Option<usize> {
    columns.iter().position(|(n, ..)| n == name).or_else(|| {
        columns
            .iter()
            .position(|(n, ..)| n.eq_ignore_ascii_case(name))
    })
}

fn options(
    create: &CreateStream,
    columns: &mut Vec<(String, DataType, Role)>,
    notices: &mut Vec<String>,
) -> BindResult<StreamOptions> {
    let mut options = StreamOptions::default();
    let mut seen: Vec<String> = Vec::new();
    for option in &create.options {
        let name = option.name.to_ascii_lowercase();
        if seen.contains(&name) {
            return Err(BindError::new(
                option.name_span,
                format!("option {name} is given twice"),
            ));
        }
        match name.as_str() {
            // The event time is seen to once all columns are known.
            "event_time" | "timestamp" => {
                text(option)?;
            }
            "tags" => {
                for tag in text(option)?
                    .split(',')
                    .map(str::trim)
                    .filter(|t| !t.is_empty())
                {
                    match position(columns, tag) {
                        Some(i) if columns[i].1 != DataType::Utf8 => {
                            return Err(tag_type(option.value_span, tag));
                        }
                        Some(i) => columns[i].2 = Role::Tag,
                        None => columns.push((tag.to_owned(), DataType::Utf8, Role::Tag)),
                    }
                }
            }
            "disorder" => options.disorder_ns = duration(option, 0)?,
            "lateness" => options.lateness_ns = duration(option, 0)?,
            "late" => {
                options.late = match text(option)?.to_ascii_lowercase().as_str() {
                    "repair" => Late::Repair,
                    "dead_letter" => Late::DeadLetter,
                    _ => {
                        return Err(BindError::new(
                            option.value_span,
                            "late is 'repair' or 'dead_letter'",
                        ));
                    }
                }
            }
            "retention" => options.retention_ns = Some(duration(option, 1)?),
            "partition" => options.partition_ns = duration(option, NANOS_PER_SECOND)?,
            other => match source_option(option, other) {
                Some(kept) => options.extra.push((name.clone(), kept?)),
                None => {
                    let known = OPTIONS.iter().copied().chain(names());
                    return Err(BindError::new(
                        option.name_span,
                        format!("there is no stream option \"{other}\""),
                    )
                    .hint(did_you_mean(other, known)));
                }
            },
        }
        seen.push(name);
    }
    one_source(&create.options)?;
    if let Some((_, topic)) = options.extra.iter().find(|(n, _)| n == "kafka_topic") {
        notices.push(format!(
            "the topic '{topic}' is read once Kafka brokers are configured; rows can be posted meanwhile"
        ));
    }
    Ok(options)
}

/// Sees to it that exactly one column is the event time.
fn event_time(
    create: &CreateStream,
    columns: &mut Vec<(String, DataType, Role)>,
    notices: &mut Vec<String>,
) -> BindResult<()> {
    if let Some(option) = asked_time(create) {
        let wanted = text(option)?;
        let Some(i) = position(columns, wanted) else {
            let names: Vec<String> = columns.iter().map(|(n, ..)| n.clone()).collect();
            return Err(BindError::new(
                option.value_span,
                format!("there is no column \"{wanted}\" to be the event time"),
            )
            .hint(did_you_mean(wanted, names.iter().map(String::as_str))));
        };
        if columns[i].2 == Role::Tag
            || !matches!(
                columns[i].1,
                DataType::Timestamp | DataType::Int64 | DataType::Utf8
            )
        {
            return Err(BindError::new(
                option.value_span,
                format!("\"{wanted}\" cannot be the event time: declare it TIMESTAMP"),
            ));
        }
        columns[i].1 = DataType::Timestamp;
        columns[i].2 = Role::Time;
        return Ok(());
    }
    let named = TIME_NAMES.iter().find_map(|n| {
        columns.iter().position(|(c, t, r)| {
            c.eq_ignore_ascii_case(n) && *r == Role::Field && *t == DataType::Timestamp
        })
    });
    let only = || {
        let mut times = columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c.1 == DataType::Timestamp);
        match (times.next(), times.next()) {
            (Some((i, _)), None) => Ok(Some(i)),
            (None, _) => Ok(None),
            _ => Err(BindError::new(
                create.name.span(),
                "several columns could be the event time",
            )
            .hint(Some("add WITH (event_time = 'column')".to_owned()))),
        }
    };
    let found = match named {
        Some(i) => Some(i),
        None => only()?,
    };
    match found {
        Some(i) => columns[i].2 = Role::Time,
        None => {
            if position(columns, "time").is_some() {
                return Err(BindError::new(
                    create.name.span(),
                    "no column is a TIMESTAMP, and \"time\" is taken",
                )
                .hint(Some(
                    "declare the event time TIMESTAMP, or add WITH (event_time = 'column')"
                        .to_owned(),
                )));
            }
            notices.push(
                "no event-time column was declared: \"time\" holds the time of the commit"
                    .to_owned(),
            );
            columns.push(("time".to_owned(), DataType::Timestamp, Role::Time));
        }
    }
    Ok(())
}

fn text(option: &SqlOption) -> BindResult<&str> {
    match &option.value {
        Literal::String(s) => Ok(s),
        _ => Err(BindError::new(
            option.value_span,
            format!("option {} takes a text", option.name),
        )),
    }
}

fn duration(option: &SqlOption, least: i64) -> BindResult<i64> {
    let wrong =
        |why: String| BindError::new(option.value_span, format!("option {}: {why}", option.name));
    let interval = match &option.value {
        Literal::Interval(i) => *i,
        Literal::String(s) => s.parse::<Interval>().map_err(|e| wrong(e.to_string()))?,
        _ => return Err(wrong("takes a length of time, like '5 seconds'".to_owned())),
    };
    // A month of retention means 30 days: expiry needs no calendar.
    let nanos = i64::from(interval.months)
        .checked_mul(30 * NANOS_PER_DAY)
        .and_then(|m| m.checked_add(interval.nanos))
        .ok_or_else(|| wrong("the interval is too long".to_owned()))?;
    if nanos < least {
        return Err(wrong("the interval is too short".to_owned()));
    }
    Ok(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use query_lang::ast::StatementKind;

    fn create(sql: &str) -> BindResult<NewStream> {
        let mut statements = query_lang::parse_statements(sql).unwrap();
        match statements.remove(0).kind {
            StatementKind::CreateStream(c) => stream_def(&c),
            other => panic!("not a CREATE STREAM: {other:?}"),
        }
    }

    #[test]
    fn the_purchases_of_the_users_have_their_time_and_a_notice() {
        let new = create(
            "CREATE STREAM purchases (user_id BIGINT, amount DECIMAL(10,2), city STRING, timestamp TIMESTAMP) \
             WITH (kafka_topic = 'purchases', value_format = 'JSON')",
        )
        .unwrap();
        assert_eq!(
            new.def.columns[3],
            ("timestamp".to_owned(), DataType::Timestamp, Role::Time)
        );
        assert_eq!(
            new.def.columns[1].1,
            DataType::Decimal {
                precision: 10,
                scale: 2
            }
        );
        assert_eq!(new.notices.len(), 1);
        assert_eq!(new.def.options.extra.len(), 2);
    }

    #[test]
    fn options_are_read_and_unknown_ones_name_the_nearest() {
        let new = create(
            "CREATE STREAM s (at BIGINT, host STRING, v DOUBLE) WITH (event_time = 'at', tags = 'host, region', \
             disorder = '2 seconds', lateness = '10 minutes', late = 'dead_letter', retention = '30 days')",
        )
        .unwrap();
        assert_eq!(new.def.columns[0].2, Role::Time);
        assert_eq!(
            new.def.columns[3],
            ("region".to_owned(), DataType::Utf8, Role::Tag)
        );
        let o = new.def.options;
        assert_eq!(
            (o.disorder_ns, o.lateness_ns),
            (2_000_000_000, 600_000_000_000)
        );
        assert_eq!(
            (o.late, o.retention_ns),
            (Late::DeadLetter, Some(30 * NANOS_PER_DAY))
        );
        let wrong = create("CREATE STREAM s (v DOUBLE) WITH (retension = '1 day')")
            .err()
            .unwrap();
        assert_eq!(wrong.hint.as_deref(), Some("did you mean \"retention\"?"));
        assert!(create("CREATE STREAM s (a TIMESTAMP, b TIMESTAMP)").is_err());
        assert_eq!(
            create("CREATE STREAM s (v DOUBLE)").unwrap().def.columns[1].0,
            "time"
        );
    }
}
