//! JSON whose form a JSON Schema says: validated, then read as JSON is, with the types that the schema names.
//!
//! `integer` is a BIGINT, `number` a DOUBLE, a string of format `date-time` or `date` a TIMESTAMP. A property that the
//! schema does not describe gets the type that its first value has, as without a schema. Nothing is fetched: what a
//! schema refers to comes with it.

mod chains;
mod columns;
mod steps;
#[cfg(test)]
mod tests;

use crate::SchemaSource;
use crate::deep::{nesting, on_a_large_stack};
use crate::text::bad;
use ingest_decode::json::{Cells, each};
use ingest_decode::number::{parse_i64, parse_u64};
use ingest_decode::parse_time;
use ingest_decode::{Cell, RowReason};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;
use std::collections::HashMap;
use std::error::Error;
use tsdb::types::DataType;

/// Steps back that a pattern may take, so that no message makes one run for ever.
const MAX_BACKTRACKS: usize = 100_000;
/// Letters of a validator's words that are kept: they may hold the whole message.
const MAX_WORDS: usize = 512;

/// Schemas that may apply to the parts of a message, all counted: so many, and so many for each byte of it.
const MAX_STEPS: usize = 10_000;
const MAX_STEPS_PER_BYTE: usize = 100;

/// Objects and lists within one another in a message.
const MAX_NESTING: usize = 64;
/// What relative references are made absolute by where the schema has no id.
const BASE: &str = "tidemill:///";

/// Decodes messages of one schema.
#[derive(Debug)]
pub struct JsonSchemaDecoder {
    validator: Validator,
    columns: Vec<(String, DataType)>,
    types: HashMap<String, DataType>,
}

/// The schemas that another one brings with it.
struct Brought(HashMap<String, Value>);

impl Retrieve for Brought {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let name = uri.as_str();
        let short = name.strip_prefix(BASE).unwrap_or(name);
        // A relative reference is made absolute by the schema's own id, if it has one.
        let behind = |other: &&String| {
            let rest = name.strip_suffix(other.as_str());
            rest.is_some_and(|rest| rest.ends_with('/'))
        };
        let found = self.0.get(name).or_else(|| self.0.get(short));
        let found = found.or_else(|| self.0.get(self.0.keys().find(behind)?));
        found
            .cloned()
            .ok_or_else(|| format!("{short} is not among the schema's references").into())
    }
}

fn cut(words: String) -> String {
    match words.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

impl JsonSchemaDecoder {
    /// For messages of this schema.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(source: &SchemaSource) -> Result<JsonSchemaDecoder, String> {
        let parse = |text: &str| {
            serde_json::from_str::<Value>(text).map_err(|e| format!("the schema is no JSON: {e}"))
        };
        let mut schema = parse(&source.text)?;
        if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
            return Err("a JSON Schema is an object or a boolean".into());
        }
        let mut brought = HashMap::new();
        for needed in &source.dependencies {
            brought.insert(needed.name.clone(), parse(&needed.text)?);
        }
        chains::check_references(&schema, &brought)?;
        let columns = columns::columns(&schema)?;
        steps::mark(&mut schema, &mut brought);
        let named = schema.get("$id").or_else(|| schema.get("id"));
        let named = named.is_some_and(Value::is_string);
        let validator = on_a_large_stack(|| {
            let patterns = PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS);
            let options = jsonschema::options()
                .with_retriever(Brought(brought))
                .with_pattern_options(patterns)
                .with_keyword(steps::KEYWORD, |_, _, _| Ok(Box::new(steps::Step)));
            // A base would take the place of the schema's own.
            let options = if named {
                options
            } else {
                options.with_base_uri(BASE)
            };
            options.build(&schema).map_err(|e| cut(e.to_string()))
        })?;
        Ok(JsonSchemaDecoder {
            validator,
            types: columns.iter().cloned().collect(),
            columns,
        })
    }

    /// The columns that the schema describes.
    #[must_use]
    pub fn columns(&self) -> &[(String, DataType)] {
        &self.columns
    }

    /// Calls `rows` with the cells of each object of a message, or why there are none.
    pub fn decode(&self, message: &[u8], rows: &mut dyn FnMut(Result<Cells<'_>, RowReason>)) {
        if let Err(reason) = self.check(message) {
            rows(Err(reason));
            return;
        }
        each(message, &mut |cells| {
            rows(cells.map(|mut cells| {
                for (name, cell) in &mut cells {
                    if let Some(data_type) = self.types.get(name.as_ref()) {
                        retype(cell, *data_type);
                    }
                }
                cells
            }));
        });
    }

    fn check(&self, message: &[u8]) -> Result<(), RowReason> {
        // The validator recurses with the value, and with the references that apply to each part of it.
        let text = std::str::from_utf8(message).map_err(|_| RowReason::NotUtf8)?;
        if nesting(text) > MAX_NESTING {
            return Err(RowReason::TooDeep(MAX_NESTING));
        }
        let value: Value = serde_json::from_slice(message).map_err(|e| bad(e.to_string()))?;
        let most = MAX_STEPS + MAX_STEPS_PER_BYTE * message.len();
        match steps::within(most, || self.validator.is_valid(&value)) {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => {
                return Err(bad(format!(
                    "so many parts of its schema apply to it that checking it takes more than {most} steps"
                )));
            }
        }
        // Only whether a value is valid is remembered for its parts; why it is not may be too far to seek.
        let words = steps::within(most, || self.validator.validate(&value).err().map(words));
        Err(bad(cut(match words.flatten() {
            Some(words) => format!("not of its schema: {words}"),
            None => "not of its schema".into(),
        })))
    }
}

/// Where a value is not what its schema says, and how.
fn words(error: ValidationError<'_>) -> String {
    let at = error.instance_path().to_string();
    let at = if at.is_empty() { "the value" } else { &at };
    match error.kind() {
        // Its words show the schema, with the keyword that counts.
        ValidationErrorKind::Not { .. } => format!("{at}: is what it must not be"),
        _ => format!("{at}: {error}"),
    }
}

/// Gives a cell the type that its schema names, where its value has it.
fn retype(cell: &mut Cell<'_>, data_type: DataType) {
    let typed = match (data_type, &*cell) {
        (_, Cell::Null) => Some(Cell::NullOf(data_type)),
        (DataType::Int64, Cell::Number(text)) => {
            let bytes = text.as_bytes();
            let signed = parse_i64(bytes).map(Cell::Int);
            // Other spellings of an integer (1.0, 1e3) are told by the column, if there is one.
            signed
                .or_else(|| parse_u64(bytes).map(Cell::UInt))
                .or_else(|| {
                    let exact = ingest_decode::number::parse_decimal(bytes, 38, 0, true).ok()?;
                    i64::try_from(exact).ok().map(Cell::Int)
                })
        }
        (DataType::Timestamp, Cell::Str(text)) => parse_time(text.as_bytes()).map(Cell::Time),
        _ => None,
    };
    if let Some(typed) = typed {
        *cell = typed;
    }
}
