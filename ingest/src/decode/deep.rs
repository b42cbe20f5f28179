//! Schemas are read by recursion, here and in the crates that read them, and refer to one another: what could be too deep
//! for a usual stack is read on a large one, and what could be too deep for that is refused.

use serde_json::Value;
use std::collections::HashMap;

/// The stack that schemas are read on. Pages of it that are not used take no memory.
const STACK: usize = 64 << 20;
/// References in a JSON Schema and in those that it brings: each may lead into the next.
const MAX_REFERENCES: usize = 2_000;
/// Schemas that apply to one value, each because the one before says so.
const MAX_CHAIN: usize = 32;
/// Schemas that apply to one value in all, one that is referred to twice counted twice: so often the validator asks.
const MAX_AT_ONCE: usize = 10_000;

/// Runs what recurses with a schema.
///
/// # Errors
/// When there is no thread for it, or it panics.
pub(super) fn on_a_large_stack<T: Send>(
    f: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    let failed = |what: &str| Err(format!("the schema can't be read now: {what}"));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("schema".into())
            .stack_size(STACK)
            .spawn_scoped(scope, f);
        match thread {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|_| failed("its reader has panicked")),
            Err(e) => failed(&e.to_string()),
        }
    })
}

/// The deepest brackets within brackets, those in strings and in comments of C left out.
pub(super) fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut rest = text.as_bytes();
    while let [b, tail @ ..] = rest {
        rest = tail;
        match b {
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            b'/' if rest.first() == Some(&b'/') => {
                let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                rest = &rest[end..];
            }
            b'/' if rest.first() == Some(&b'*') => {
                let end = rest.windows(2).skip(1).position(|w| w == b"*/");
                rest = end.map_or(&[], |i| &rest[i + 3..]);
            }
            b'"' | b'\'' => {
                while let [c, tail @ ..] = rest {
                    rest = tail;
                    match c {
                        b'\\' => rest = rest.get(1..).unwrap_or_default(),
                        // A string does not go on in the next line; brackets there count.
                        b'\n' => break,
                        c if c == b => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

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

    #[test]
    fn nesting_is_counted_outside_of_comments_and_strings() {
        for (text, depth) in [
            ("message A { message B { } }", 2),
            ("// {{{{\nmessage A {}", 1),
            ("/* {{{ */ message A {} /* {", 1),
            ("/*/ {{ */ (", 1),
            (r#"option a = "{{\"{{"; ["#, 1),
            ("'{'{'{\n{{", 3),
            ("}}{", 1),
        ] {
            assert_eq!(nesting(text), depth, "{text}");
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        assert!(on_a_large_stack::<()>(|| panic!("on purpose")).is_err());
        assert_eq!(on_a_large_stack(|| Ok(7)), Ok(7));
    }

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
