//! How far the references of a schema lead: the validator recurses with them.

use serde_json::Value;
use std::collections::HashMap;

/// References in a JSON Schema and in those that it brings: each may lead into the next.
const MAX_REFERENCES: usize = 2_000;
/// Schemas that apply to one value, each because the one before says so.
const MAX_CHAIN: usize = 32;
/// Schemas that apply to one value in all, one that is referred to twice counted twice: so often the validator asks.
const MAX_AT_ONCE: usize = 10_000;

/// Refuses a JSON Schema whose validator would recurse too deeply.
///
/// # Errors
/// In words.
pub(super) fn check_references(
    root: &Value,
    brought: &HashMap<String, Value>,
) -> Result<(), String> {
    let mut chains = Chains {
        brought,
        reaches: HashMap::new(),
        references: 0,
        elsewhere: 0,
    };
    for document in std::iter::once(root).chain(brought.values()) {
        chains.walk(document, document)?;
    }
    if chains.references > MAX_REFERENCES {
        return Err(format!(
            "the schema has more than {MAX_REFERENCES} references"
        ));
    }
    // Where these lead is not looked for, so each may lengthen any chain.
    let longest = chains.reaches.values().map(|r| r.height).max();
    if longest.unwrap_or(0) + chains.elsewhere > MAX_CHAIN {
        return Err(too_long());
    }
    if chains.reaches.values().any(|r| r.schemas > MAX_AT_ONCE) {
        return Err(format!(
            "more than {MAX_AT_ONCE} schemas apply to one value"
        ));
    }
    Ok(())
}

fn too_long() -> String {
    format!("more than {MAX_CHAIN} schemas apply to one value, each referring to the next")
}

struct Chains<'v> {
    brought: &'v HashMap<String, Value>,
    /// What applies to a value to which a schema does, by the schema's address.
    reaches: HashMap<usize, Reach>,
    references: usize,
    elsewhere: usize,
}

/// The schemas that apply because one does.
#[derive(Clone, Copy, Default)]
struct Reach {
    /// The longest chain of them.
    height: usize,
    /// All of them.
    schemas: usize,
}

/// Keywords whose schemas apply to the same value.
const ONE: [&str; 4] = ["not", "if", "then", "else"];
const SEVERAL: [&str; 5] = [
    "allOf",
    "anyOf",
    "oneOf",
    "dependentSchemas",
    "dependencies",
];

impl<'v> Chains<'v> {
    /// Looks at all that may be a schema.
    fn walk(&mut self, document: &'v Value, value: &'v Value) -> Result<(), String> {
        match value {
            Value::Object(members) => {
                for key in ["$ref", "$dynamicRef", "$recursiveRef"] {
                    if let Some(Value::String(reference)) = members.get(key) {
                        self.references += 1;
                        let known = key == "$ref" && self.follow(document, reference).is_some();
                        self.elsewhere += usize::from(!known);
                    }
                }
                self.reach(document, value, 0)?;
                members.values().try_for_each(|v| self.walk(document, v))
            }
            Value::Array(items) => items.iter().try_for_each(|v| self.walk(document, v)),
            _ => Ok(()),
        }
    }

    fn follow(&self, document: &'v Value, reference: &str) -> Option<(&'v Value, &'v Value)> {
        let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if name.is_empty() {
            document
        } else {
            self.brought.get(name)?
        };
        Some((document, document.pointer(pointer)?))
    }

    fn reach(
        &mut self,
        document: &'v Value,
        schema: &'v Value,
        depth: usize,
    ) -> Result<Reach, String> {
        if depth > MAX_CHAIN {
            return Err(too_long());
        }
        let key = std::ptr::from_ref(schema) as usize;
        if let Some(known) = self.reaches.get(&key) {
            return Ok(*known);
        }
        // A schema that leads back to itself ends there.
        self.reaches.insert(key, Reach::default());
        let mut inner: Vec<(&'v Value, &'v Value)> = Vec::new();
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            inner.extend(self.follow(document, reference));
        }
        inner.extend(ONE.iter().filter_map(|k| Some((document, schema.get(k)?))));
        for key in SEVERAL {
            match schema.get(key) {
                Some(Value::Array(all)) => inner.extend(all.iter().map(|s| (document, s))),
                Some(Value::Object(all)) => inner.extend(all.values().map(|s| (document, s))),
                _ => {}
            }
        }
        let mut all = Reach::default();
        for (document, schema) in inner {
            let one = self.reach(document, schema, depth + 1)?;
            all.height = all.height.max(1 + one.height);
            all.schemas = all.schemas.saturating_add(one.schemas).saturating_add(1);
        }
        self.reaches.insert(key, all);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Definitions, each of which is the next.
    fn chain(n: usize, link: impl Fn(Value) -> Value) -> Value {
        let mut all = serde_json::Map::new();
        for i in 0..n {
            let next = json!({"$ref": format!("#/definitions/d{}", i + 1)});
            all.insert(format!("d{i}"), link(next));
        }
        all.insert(format!("d{n}"), json!({"type": "object"}));
        json!({"$ref": "#/definitions/d0", "definitions": all})
    }

    #[test]
    fn chains_of_references_are_bounded() {
        let check = |schema: &Value| check_references(schema, &HashMap::new());
        assert_eq!(check(&chain(30, |next| next)), Ok(()));
        assert!(check(&chain(40, |next| next)).is_err());
        assert!(check(&chain(20, |next| json!({"allOf": [next]}))).is_err());
        let property = |next: Value| json!({"properties": {"a": next}});
        assert_eq!(check(&chain(1_500, property)), Ok(()));
        assert!(check(&chain(2_500, property)).is_err());
        assert_eq!(check(&json!({"allOf": [{"$ref": "#"}]})), Ok(()));
        // Short chains, each link of which is ten.
        let wide = |n| check(&chain(n, |next| json!({"allOf": vec![next; 10]})));
        assert_eq!(wide(3), Ok(()));
        assert!(wide(12).unwrap_err().contains("10000 schemas"));
        let anchors = vec![json!({"$ref": "#somewhere"}); 40];
        assert!(check(&json!({"properties": anchors})).is_err());
    }
}
