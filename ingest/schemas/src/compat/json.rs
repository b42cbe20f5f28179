//! Rules for JSON Schema: every value that the writer allows must be allowed by the reader, as far as that can be seen
//! keyword by keyword. What can't be seen counts as incompatible, so equal parts are always compatible and the rest is
//! cautious.
//!
//! - `true`, `{}` and a schema without restrictions take everything; `false` takes nothing.
//! - `type`, `enum`, `const`: the reader's must hold the writer's; an integer is a number.
//! - Bounds (`minimum`, `maxLength`, ..) may only be relaxed; `pattern`, `multipleOf`, `format` and what is not known
//!   here must be equal or gone; annotations (`title`, `default`, ..) do not count.
//! - `required` may only lose names. A property that the reader describes and the writer does not is compatible only
//!   when the writer's objects can't have it, or with a schema that takes what they may have
//!   (`additionalProperties`). One that the reader no longer describes must fit its `additionalProperties`.
//! - `items`, `prefixItems`: as properties. `allOf`, `anyOf`, `oneOf`: each branch of the writer's must be read by one
//!   of the reader's `anyOf` or `oneOf`, or by all of its `allOf`. References are followed, also to other schemas.

use super::Problem;
use super::keywords::{
    ANNOTATIONS, COMPARED, LOWER, UPPER, disjoint, fits, list, refers, takes_all, type_of, types,
    values,
};
use crate::SchemaSource;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Schemas within schemas that are compared.
const MAX_DEPTH: usize = 64;
/// Comparisons in all: branches of branches of branches take time.
const MAX_STEPS: usize = 100_000;

/// A document with those that it refers to.
struct Document {
    root: Value,
    others: HashMap<String, Value>,
}

impl Document {
    fn parse(source: &SchemaSource) -> Result<Document, String> {
        let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| e.to_string());
        let mut others = HashMap::new();
        for needed in &source.dependencies {
            others.insert(needed.name.clone(), parse(&needed.text)?);
        }
        Ok(Document {
            root: parse(&source.text)?,
            others,
        })
    }

    /// What a reference means, with the document in which its own references are looked up.
    fn follow<'d>(&'d self, within: &'d Value, reference: &str) -> Option<(&'d Value, &'d Value)> {
        let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if name.is_empty() {
            within
        } else {
            self.others.get(name)?
        };
        Some((document, document.pointer(pointer)?))
    }
}

/// A schema, with its document.
#[derive(Clone, Copy)]
struct Part<'d> {
    document: &'d Value,
    schema: &'d Value,
}

impl<'d> Part<'d> {
    fn of(self, schema: &'d Value) -> Part<'d> {
        Part { schema, ..self }
    }

    fn get(self, key: &str) -> Option<&'d Value> {
        self.schema.get(key)
    }

    fn key(self) -> usize {
        std::ptr::from_ref(self.schema) as usize
    }
}

/// Why one can't read all data of the other.
pub(super) fn read(reader: &SchemaSource, writer: &SchemaSource) -> Result<Vec<Problem>, String> {
    let (reader, writer) = (Document::parse(reader)?, Document::parse(writer)?);
    let mut check = Check {
        reader: &reader,
        writer: &writer,
        same: reader.root == writer.root && reader.others == writer.others,
        met: HashSet::new(),
        trail: Vec::new(),
        steps: MAX_STEPS,
    };
    let (r, w) = (
        Part {
            document: &reader.root,
            schema: &reader.root,
        },
        Part {
            document: &writer.root,
            schema: &writer.root,
        },
    );
    Ok(check.read(r, w, "", 0))
}

struct Check<'d> {
    reader: &'d Document,
    writer: &'d Document,
    /// Whether references mean the same in both.
    same: bool,
    /// Pairs that are being compared, or have been without a problem; in their order, too.
    met: HashSet<(usize, usize)>,
    trail: Vec<(usize, usize)>,
    steps: usize,
}

impl<'d> Check<'d> {
    /// Follows references; `None` when one leads nowhere or round in a circle, or restricts more beside itself, which
    /// the drafts of JSON Schema read differently.
    fn resolve(&self, document: &'d Document, part: Part<'d>) -> Option<Part<'d>> {
        let mut part = part;
        for _ in 0..MAX_DEPTH {
            let Some(reference) = part.get("$ref").and_then(Value::as_str) else {
                return Some(part);
            };
            let beside = |k: &String| k != "$ref" && !ANNOTATIONS.contains(&k.as_str());
            if part
                .schema
                .as_object()
                .is_some_and(|m| m.keys().any(beside))
            {
                return None;
            }
            let (within, schema) = document.follow(part.document, reference)?;
            part = Part {
                document: within,
                schema,
            };
        }
        None
    }

    fn read(&mut self, r: Part<'d>, w: Part<'d>, path: &str, depth: usize) -> Vec<Problem> {
        if r.schema == w.schema && (self.same || !refers(r.schema)) {
            return Vec::new();
        }
        let left = self.steps.checked_sub(1);
        if left.is_none() || depth > MAX_DEPTH {
            let what = "the schemas are too large to be compared";
            return vec![Problem::new("TOO_COMPLEX", path, what)];
        }
        self.steps = left.unwrap_or(0);
        let resolved = (self.resolve(self.reader, r), self.resolve(self.writer, w));
        let (Some(r), Some(w)) = resolved else {
            let what = "a reference of the reader or the writer leads nowhere, or restricts more beside itself";
            return vec![Problem::new("REFERENCE", path, what)];
        };
        if takes_all(r.schema) || *w.schema == Value::Bool(false) {
            return Vec::new();
        }
        if *r.schema == Value::Bool(false) {
            let what = "the reader takes nothing any more";
            return vec![Problem::new("TYPE_NARROWED", path, what)];
        }
        let pair = (r.key(), w.key());
        if !self.met.insert(pair) {
            // It holds itself: what is wrong with it is told where it was met first.
            return Vec::new();
        }
        let before = self.trail.len();
        self.trail.push(pair);
        let problems = self.compare(r, w, path, depth + 1);
        if !problems.is_empty() {
            // What was found good on the way may have counted on this pair.
            for pair in self.trail.drain(before..) {
                self.met.remove(&pair);
            }
        }
        problems
    }

    fn compare(&mut self, r: Part<'d>, w: Part<'d>, path: &str, depth: usize) -> Vec<Problem> {
        // A writer that allows one of several: each must be read.
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = list(w.schema, key)
                && r.get(key) != w.get(key)
                && w.get("type").is_none()
                && w.get("properties").is_none()
            {
                let mut problems = Vec::new();
                for (i, branch) in branches.iter().enumerate() {
                    let at = format!("{path}/{key}/{i}");
                    problems.extend(self.read(r, w.of(branch), &at, depth));
                }
                return problems;
            }
        }
        let mut problems = Vec::new();
        self.types(r, w, path, &mut problems);
        self.bounds(r.schema, w.schema, path, &mut problems);
        self.objects(r, w, path, depth, &mut problems);
        self.lists(r, w, path, depth, &mut problems);
        self.branches(r, w, path, depth, &mut problems);
        problems
    }

    fn types(&self, r: Part<'d>, w: Part<'d>, path: &str, out: &mut Vec<Problem>) {
        let named = values(w.schema);
        if let Some(allowed) = types(r.schema) {
            let written: Option<Vec<&str>> = match &named {
                Some(all) => Some(all.iter().map(|v| type_of(v)).collect()),
                None => types(w.schema),
            };
            match written {
                None => {
                    let what = "the reader takes some types and the writer has no restriction";
                    out.push(Problem::new("TYPE_NARROWED", path, what));
                }
                Some(written) => {
                    let refused: Vec<&str> =
                        written.into_iter().filter(|t| !fits(t, &allowed)).collect();
                    if !refused.is_empty() {
                        let what = format!(
                            "the reader does not take {} of the writer",
                            refused.join(", ")
                        );
                        let kind = if refused.len() < allowed.len() + refused.len()
                            && types(w.schema).is_some_and(|t| t.iter().any(|t| fits(t, &allowed)))
                        {
                            "TYPE_NARROWED"
                        } else {
                            "TYPE_CHANGED"
                        };
                        out.push(Problem::new(kind, path, what));
                    }
                }
            }
        }
        if let Some(allowed) = values(r.schema) {
            let missing = match named {
                Some(all) => all.iter().any(|v| !allowed.contains(v)),
                None => true,
            };
            if missing {
                let what = "the writer has values that are not among those of the reader";
                out.push(Problem::new("ENUM_ARRAY_NARROWED", path, what));
            }
        }
    }

    /// Bounds, and keywords that must be equal or gone.
    fn bounds(&self, r: &Value, w: &Value, path: &str, out: &mut Vec<Problem>) {
        let Value::Object(members) = r else { return };
        for (key, value) in members {
            let key = key.as_str();
            if ANNOTATIONS.contains(&key) || COMPARED.contains(&key) {
                continue;
            }
            // These count what the keywords beside them say.
            let beside = matches!(key, "unevaluatedProperties" | "unevaluatedItems");
            let equal = w.get(key) == Some(value) && (self.same || !refers(value));
            if equal && !beside {
                continue;
            }
            let both = (value.as_f64(), w.get(key).and_then(Value::as_f64));
            let relaxed = match both {
                (Some(r), Some(w)) if LOWER.contains(&key) => r <= w,
                (Some(r), Some(w)) if UPPER.contains(&key) => r >= w,
                // A bound that every value keeps.
                (Some(r), None) => r <= 0.0 && key.starts_with("min") && key != "minimum",
                _ => *value == Value::Bool(false) && key == "uniqueItems",
            };
            if !relaxed {
                let what =
                    format!("'{key}' is stricter or another in the reader than in the writer");
                let at = format!("{path}/{key}");
                out.push(Problem::new("RESTRICTION_ADDED", &at, what));
            }
        }
    }

    fn objects(
        &mut self,
        r: Part<'d>,
        w: Part<'d>,
        path: &str,
        depth: usize,
        out: &mut Vec<Problem>,
    ) {
        let objects = |p: Part<'d>| types(p.schema).is_none_or(|t| t.contains(&"object"));
        if !objects(r) || !objects(w) {
            return;
        }
        let names = |p: Part<'d>| -> Vec<&'d str> {
            let all = list(p.schema, "required").into_iter().flatten();
            all.filter_map(Value::as_str).collect()
        };
        let always = names(w);
        for name in names(r).into_iter().filter(|n| !always.contains(n)) {
            let what = format!("the reader requires '{name}' and the writer does not");
            let at = format!("{path}/required");
            out.push(Problem::new("REQUIRED_ATTRIBUTE_ADDED", &at, what));
        }
        let properties = |p: Part<'d>| p.get("properties").and_then(Value::as_object);
        let (read, written) = (properties(r), properties(w));
        let open = &Value::Bool(true);
        let rest = |p: Part<'d>| p.of(p.get("additionalProperties").unwrap_or(open));
        let (r_rest, w_rest) = (rest(r), rest(w));
        for (name, schema) in read.into_iter().flatten() {
            let at = format!("{path}/properties/{name}");
            let other = match written.and_then(|w| w.get(name)) {
                Some(other) => w.of(other),
                // A pattern may stand for the name.
                None if w.get("patternProperties").is_some() => w.of(open),
                None => w_rest,
            };
            let found = self.read(r.of(schema), other, &at, depth);
            if written.is_some_and(|w| w.contains_key(name)) {
                out.extend(found);
            } else if !found.is_empty() {
                let what = format!(
                    "the reader describes '{name}', and the writer's objects may have anything there"
                );
                let kind = "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL";
                out.push(Problem::new(kind, &at, what));
            }
        }
        for (name, schema) in written.into_iter().flatten() {
            if read.is_some_and(|r| r.contains_key(name)) {
                continue;
            }
            let at = format!("{path}/properties/{name}");
            if !self.read(r_rest, w.of(schema), &at, depth).is_empty() {
                let what = format!("the reader no longer takes the property '{name}'");
                let kind = "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL";
                out.push(Problem::new(kind, &at, what));
            }
        }
        let at = format!("{path}/additionalProperties");
        if !self.read(r_rest, w_rest, &at, depth).is_empty() {
            let what = "the reader takes fewer additional properties than the writer";
            out.push(Problem::new("ADDITIONAL_PROPERTIES_NARROWED", &at, what));
        }
    }

    fn lists(
        &mut self,
        r: Part<'d>,
        w: Part<'d>,
        path: &str,
        depth: usize,
        out: &mut Vec<Problem>,
    ) {
        let arrays = |p: Part<'d>| types(p.schema).is_none_or(|t| t.contains(&"array"));
        if !arrays(r) || !arrays(w) {
            return;
        }
        let open = &Value::Bool(true);
        // A list of schemas in `items` is what later drafts call `prefixItems`.
        let rest = |p: Part<'d>| {
            let key = match list(p.schema, "items") {
                Some(_) => "additionalItems",
                None => "items",
            };
            p.of(p.get(key).unwrap_or(open))
        };
        let (r_rest, w_rest) = (rest(r), rest(w));
        let first = |p: Part<'d>| list(p.schema, "items").or_else(|| list(p.schema, "prefixItems"));
        let (r_first, w_first) = (first(r), first(w));
        let count = r_first.map_or(0, Vec::len).max(w_first.map_or(0, Vec::len));
        for i in 0..count {
            let at = format!("{path}/items/{i}");
            let read = r_first.and_then(|f| f.get(i)).map_or(r_rest, |s| r.of(s));
            let written = w_first.and_then(|f| f.get(i)).map_or(w_rest, |s| w.of(s));
            out.extend(self.read(read, written, &at, depth));
        }
        out.extend(self.read(r_rest, w_rest, &format!("{path}/items"), depth));
    }

    fn branches(
        &mut self,
        r: Part<'d>,
        w: Part<'d>,
        path: &str,
        depth: usize,
        out: &mut Vec<Problem>,
    ) {
        for (i, branch) in list(r.schema, "allOf").into_iter().flatten().enumerate() {
            let written = list(w.schema, "allOf").into_iter().flatten();
            let mut any = std::iter::once(w).chain(written.map(|b| w.of(b)));
            let at = format!("{path}/allOf/{i}");
            if !any.any(|w| self.read(r.of(branch), w, &at, depth).is_empty()) {
                let what = "the writer's values need not be what this part of the reader asks for";
                out.push(Problem::new("PRODUCT_TYPE_EXTENDED", &at, what));
            }
        }
        for key in ["anyOf", "oneOf"] {
            let Some(branches) = list(r.schema, key) else {
                continue;
            };
            if r.get(key) == w.get(key) && (self.same || !branches.iter().any(refers)) {
                continue;
            }
            let at = format!("{path}/{key}");
            let fits = branches
                .iter()
                .position(|b| self.read(r.of(b), w, &at, depth).is_empty());
            // Exactly one may take it, so the others must be of types that the writer does not write.
            let alone = |i: usize| {
                let others = branches.iter().enumerate().filter(|(j, _)| *j != i);
                key == "anyOf" || others.into_iter().all(|(_, b)| disjoint(b, w.schema))
            };
            if !fits.is_some_and(alone) {
                let what = "no branch of the reader takes all values of the writer";
                out.push(Problem::new("SUM_TYPE_NARROWED", &at, what));
            }
        }
    }
}
