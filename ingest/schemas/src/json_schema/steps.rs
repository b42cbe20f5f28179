//! An end to validation. Where two parts of a schema apply to the same value, and within each two to the same part of that
//! value, the validator's work doubles with every level of a message; so each schema that applies is counted.
//!
//! The count is a keyword of ours that stands in every schema, and leaves the validator by unwinding when no steps are
//! left.

use jsonschema::{Keyword, ValidationError};
use serde_json::Value;
use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The keyword that counts. Schemas of users have no reason to contain it.
pub(super) const KEYWORD: &str = "x-tidemill-step";

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// What unwinds.
struct NoneLeft;

/// The validator of the keyword.
pub(super) struct Step;

impl Step {
    fn count() {
        match LEFT.get().checked_sub(1) {
            Some(left) => LEFT.set(left),
            // No panic: nothing is printed.
            None => resume_unwind(Box::new(NoneLeft)),
        }
    }
}

impl<'i> Keyword<'i> for Step {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        Step::count();
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        Step::count();
        true
    }
}

/// Runs what validates, or `None` when it takes more than so many steps.
pub(super) fn within<T>(steps: usize, f: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(steps);
    // What the validator changes while it runs belongs to one run.
    let done = catch_unwind(AssertUnwindSafe(f));
    LEFT.set(usize::MAX);
    match done {
        Ok(done) => Some(done),
        Err(cause) if cause.is::<NoneLeft>() => None,
        Err(cause) => resume_unwind(cause),
    }
}

/// Puts the keyword into the schemas of all documents: the root, and those that it refers to by name. Where nothing is
/// referred to, the work is that of the text, and nothing is counted.
pub(super) fn mark(root: &mut Value, brought: &mut HashMap<String, Value>) {
    let mut targets = Vec::new();
    references(root, "", &mut targets);
    for (name, document) in brought.iter() {
        references(document, name, &mut targets);
    }
    if targets.is_empty() {
        return;
    }
    mark_schema(root);
    brought.values_mut().for_each(mark_schema);
    // A reference makes a schema of any place.
    for (name, pointer) in targets {
        let document = match name.as_str() {
            "" => Some(&mut *root),
            name => brought.get_mut(name),
        };
        if let Some(schema) = document.and_then(|d| d.pointer_mut(&pointer)) {
            mark_schema(schema);
        }
    }
}

/// The documents and pointers of all references in a document, which is called `own`.
fn references(value: &Value, own: &str, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for key in ["$ref", "$dynamicRef", "$recursiveRef"] {
                if let Some(Value::String(reference)) = members.get(key) {
                    let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
                    let name = if name.is_empty() { own } else { name };
                    into.push((name.to_owned(), pointer.to_owned()));
                }
            }
            members.values().for_each(|v| references(v, own, into));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, own, into)),
        _ => {}
    }
}

/// Keywords whose value is a schema or a list of schemas.
const SCHEMAS: [&str; 16] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is an object of schemas, or of lists of names.
const NAMED: [&str; 6] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

fn mark_schema(schema: &mut Value) {
    let Value::Object(members) = schema else {
        return;
    };
    if members.contains_key(KEYWORD) {
        return;
    }
    for (key, inner) in members.iter_mut() {
        match inner {
            Value::Object(named) if NAMED.contains(&key.as_str()) => {
                named.values_mut().for_each(mark_schema);
            }
            Value::Array(all) if SCHEMAS.contains(&key.as_str()) => {
                all.iter_mut().for_each(mark_schema);
            }
            one if SCHEMAS.contains(&key.as_str()) => mark_schema(one),
            _ => {}
        }
    }
    // Beside a reference older drafts look at nothing; what is referred to counts.
    if !members.contains_key("$ref") {
        members.insert(KEYWORD.to_owned(), Value::Bool(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_schema_stays_as_it_is() {
        let mut schema = json!({
            "const": {"a": {}}, "enum": [{}], "default": {}, "required": ["a"],
            "dependencies": {"a": ["b"]},
            "properties": {"enum": {"$ref": "#/parts/p"}, "const": {"type": "string"}},
            "parts": {"p": {"items": [{}, true]}, "q": {}},
        });
        mark(&mut schema, &mut HashMap::new());
        let step = json!({"x-tidemill-step": true});
        assert_eq!(
            schema,
            json!({
                "const": {"a": {}}, "enum": [{}], "default": {}, "required": ["a"],
                "dependencies": {"a": ["b"]},
                "properties": {"enum": {"$ref": "#/parts/p"}, "const": {"type": "string", "x-tidemill-step": true}},
                "parts": {"p": {"items": [step, true], "x-tidemill-step": true}, "q": {}},
                "x-tidemill-step": true,
            })
        );
        let mut plain = json!({"properties": {"a": {"type": "string"}}});
        let before = plain.clone();
        mark(&mut plain, &mut HashMap::new());
        assert_eq!(plain, before);
    }

    #[test]
    fn other_documents_count_as_well() {
        let mut root = json!({"$ref": "other#/x"});
        let mut brought =
            HashMap::from([("other".to_owned(), json!({"x": {"$ref": "#/y"}, "y": {}}))]);
        mark(&mut root, &mut brought);
        assert_eq!(brought["other"]["y"], json!({"x-tidemill-step": true}));
    }

    #[test]
    fn the_steps_end() {
        assert_eq!(within(3, || (0..3).for_each(|_| Step::count())), Some(()));
        assert_eq!(within(3, || (0..4).for_each(|_| Step::count())), None);
        Step::count();
        assert!(catch_unwind(|| within(3, || panic!("another"))).is_err());
    }
}
