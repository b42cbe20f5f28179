//! The columns that a schema describes.

use crate::schema_bounds::SchemaBounds;
use ingest_decode::json::MAX_DEPTH;
use serde_json::Value;
use tsdb::types::DataType;

/// The columns of an object's properties, those within an object with a dotted name.
///
/// # Errors
/// In words, when there are too many.
pub(super) fn columns(schema: &Value) -> Result<Vec<(String, DataType)>, String> {
    let mut describer = Describer {
        root: schema,
        bounds: SchemaBounds::default(),
        within: Vec::new(),
        columns: Vec::new(),
    };
    describer.describe(schema, "")?;
    Ok(describer.columns)
}

/// Finds the columns of an object's properties, as far as the schema says what they are.
struct Describer<'s> {
    root: &'s Value,
    bounds: SchemaBounds,
    /// The schemas that are being described, the outermost first: one that is met within itself stays JSON.
    within: Vec<&'s Value>,
    columns: Vec<(String, DataType)>,
}

impl<'s> Describer<'s> {
    fn describe(&mut self, schema: &'s Value, prefix: &str) -> Result<(), String> {
        let schema = resolve(self.root, schema);
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return Ok(());
        };
        let met = self.within.iter().any(|s| std::ptr::eq(*s, schema));
        if met || self.within.len() >= MAX_DEPTH {
            return Ok(());
        }
        self.within.push(schema);
        for (name, property) in properties {
            self.bounds.part()?;
            let name = format!("{prefix}{name}");
            let property = some(self.root, property);
            let format = property.get("format").and_then(Value::as_str);
            let data_type = match types(property).as_slice() {
                ["integer"] => DataType::Int64,
                ["number"] | ["integer", "number"] | ["number", "integer"] => DataType::Float64,
                ["boolean"] => DataType::Bool,
                ["string"] if matches!(format, Some("date-time" | "date")) => DataType::Timestamp,
                ["string"] | ["array"] => DataType::Utf8,
                _ => {
                    self.describe(property, &format!("{name}."))?;
                    continue;
                }
            };
            self.bounds.column()?;
            self.columns.push((name, data_type));
        }
        self.within.pop();
        Ok(())
    }
}

/// The types that a schema names, but null.
fn types(schema: &Value) -> Vec<&str> {
    let names = match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    names.into_iter().filter(|n| *n != "null").collect()
}

/// Of `oneOf` and `anyOf` with null the other one.
fn some<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let schema = resolve(root, schema);
    for key in ["oneOf", "anyOf"] {
        if let Some(Value::Array(all)) = schema.get(key) {
            let is_null = |s: &&Value| s.get("type").and_then(Value::as_str) == Some("null");
            let others: Vec<&Value> = all.iter().filter(|s| !is_null(s)).collect();
            if let ([one], true) = (others.as_slice(), others.len() < all.len()) {
                return resolve(root, one);
            }
        }
    }
    schema
}

/// What a schema within the same document refers to, if it does.
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    // A reference to itself ends somewhere.
    for _ in 0..MAX_DEPTH {
        let pointer = schema.get("$ref").and_then(Value::as_str);
        let Some(pointer) = pointer.and_then(|p| p.strip_prefix('#')) else {
            return schema;
        };
        match root.pointer(pointer) {
            Some(found) => schema = found,
            None => return schema,
        }
    }
    schema
}
