//! Keywords of JSON Schema, and what can be told of a schema from its own.

use serde_json::Value;

/// Keywords that restrict nothing.
pub(super) const ANNOTATIONS: [&str; 20] = [
    "$schema",
    "$id",
    "id",
    "$comment",
    "$anchor",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "javaType",
    "connect.type",
    "connect.index",
    "confluent:tags",
];

/// Lower bounds: the reader's must not be greater.
pub(super) const LOWER: [&str; 5] = [
    "minimum",
    "exclusiveMinimum",
    "minLength",
    "minItems",
    "minProperties",
];

/// Upper bounds: the reader's must not be less.
pub(super) const UPPER: [&str; 5] = [
    "maximum",
    "exclusiveMaximum",
    "maxLength",
    "maxItems",
    "maxProperties",
];

/// Keywords that are compared by the code below.
pub(super) const COMPARED: [&str; 13] = [
    "$ref",
    "type",
    "enum",
    "const",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "allOf",
    "anyOf",
    "oneOf",
];

pub(super) fn takes_all(schema: &Value) -> bool {
    match schema {
        Value::Bool(all) => *all,
        Value::Object(members) => members.keys().all(|k| ANNOTATIONS.contains(&k.as_str())),
        _ => false,
    }
}

pub(super) fn list<'v>(schema: &'v Value, key: &str) -> Option<&'v Vec<Value>> {
    schema.get(key).and_then(Value::as_array)
}

/// The types that a schema allows; `None` for all.
pub(super) fn types(schema: &Value) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

pub(super) fn fits(kind: &str, allowed: &[&str]) -> bool {
    allowed.contains(&kind) || (kind == "integer" && allowed.contains(&"number"))
}

/// The only values that a schema allows, if it names them.
pub(super) fn values(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), list(schema, "enum")) {
        (Some(one), _) => Some(vec![one]),
        (None, Some(all)) => Some(all.iter().collect()),
        (None, None) => None,
    }
}

/// Whether a schema has a reference anywhere.
pub(super) fn refers(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(k, v)| {
            matches!(k.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef") || refers(v)
        }),
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}

/// Whether no value is of both, as far as their types say.
pub(super) fn disjoint(a: &Value, b: &Value) -> bool {
    let all = |s: &Value| -> Option<Vec<&'static str>> {
        match values(s) {
            Some(values) => Some(values.into_iter().map(type_of).collect()),
            None => {
                const NAMES: [&str; 7] = [
                    "null", "boolean", "integer", "number", "string", "array", "object",
                ];
                let named = types(s)?;
                Some(NAMES.into_iter().filter(|n| named.contains(n)).collect())
            }
        }
    };
    match (all(a), all(b)) {
        (Some(a), Some(b)) => !a.iter().any(|t| fits(t, &b)) && !b.iter().any(|t| fits(t, &a)),
        _ => false,
    }
}
