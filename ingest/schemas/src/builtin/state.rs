//! What a registry holds, and how it lies in the catalog: one object for each schema and each subject, and one for what
//! holds for all.
//!
//! ```text
//! kind schema_registry, database "", name
//!   id/<id>          {"v":1,"type","schema","key"?,"references":[{"name","subject","version"}]}
//!   subject/<name>   {"v":1,"versions":[[version,id,deleted]..],"level"?,"mode"?}
//!   global           {"v":1,"level"?,"mode"?,"next_id"}
//! ```
//!
//! A schema's object is always written ahead of a subject's that names it, so every prefix of the log is whole.

use super::identity::guid_of;
use crate::compat::Level;
use crate::{Dependency, SchemaKind, SchemaSource};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use tsdb::{Catalog, Object};

/// The kind of the catalog's objects.
pub(super) const KIND: &str = "schema_registry";
/// Schemas that one may need, directly or not.
const MAX_DEPENDENCIES: usize = 200;

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// The name by which it refers to it.
    pub name: String,
    /// The subject that has it.
    pub subject: String,
    /// The subject's version.
    pub version: u32,
}

/// What may be done with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mode {
    /// All.
    #[default]
    #[serde(rename = "READWRITE")]
    ReadWrite,
    /// Nothing is registered or deleted.
    #[serde(rename = "READONLY")]
    ReadOnly,
    /// Schemas come with the ids that they have elsewhere, unchecked.
    #[serde(rename = "IMPORT")]
    Import,
}

impl Mode {
    /// The name, as registries spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::ReadWrite => "READWRITE",
            Mode::ReadOnly => "READONLY",
            Mode::Import => "IMPORT",
        }
    }

    /// The mode of that name, in any case.
    #[must_use]
    pub fn of(name: &str) -> Option<Mode> {
        [Mode::ReadWrite, Mode::ReadOnly, Mode::Import]
            .into_iter()
            .find(|m| m.name().eq_ignore_ascii_case(name))
    }
}

/// A schema with an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id, the same in all subjects.
    pub id: u32,
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// The text by which it is told from others.
    pub(super) key: String,
    /// Its GUID, which follows from what it is.
    pub guid: [u8; 16],
}

/// A subject's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub id: u32,
    pub deleted: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    pub versions: BTreeMap<u32, Version>,
    pub level: Option<Level>,
    pub mode: Option<Mode>,
}

/// All of it. A reader holds one state; a writer makes the next one.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub schemas: BTreeMap<u32, Arc<Stored>>,
    pub by_guid: HashMap<[u8; 16], u32>,
    pub subjects: BTreeMap<String, Arc<Subject>>,
    pub level: Option<Level>,
    pub mode: Option<Mode>,
    /// Ids from here on have never been given out.
    pub next_id: u32,
}

#[derive(Serialize, Deserialize)]
struct SchemaObject {
    v: u32,
    #[serde(rename = "type")]
    kind: SchemaKind,
    schema: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Serialize, Deserialize)]
struct SubjectObject {
    v: u32,
    versions: Vec<(u32, u32, bool)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
}

#[derive(Serialize, Deserialize)]
struct GlobalObject {
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    next_id: u32,
}

/// The version of the objects' form.
const FORM: u32 = 1;

fn object(name: String, value: &impl Serialize) -> Object {
    Object {
        kind: KIND.to_owned(),
        db: String::new(),
        name,
        // Invariant: these structs have string keys and no failing serialisers, so they are always JSON.
        payload: serde_json::to_vec(value).unwrap_or_default(),
    }
}

pub(super) fn schema_name(id: u32) -> String {
    format!("id/{id:010}")
}

pub(super) fn subject_name(subject: &str) -> String {
    format!("subject/{subject}")
}

impl Stored {
    pub(super) fn object(&self) -> Object {
        object(
            schema_name(self.id),
            &SchemaObject {
                v: FORM,
                kind: self.kind,
                schema: self.text.clone(),
                key: (self.key != self.text).then(|| self.key.clone()),
                references: self.references.clone(),
            },
        )
    }
}

impl Subject {
    pub(super) fn object(&self, name: &str) -> Object {
        let versions = self.versions.iter().map(|(n, v)| (*n, v.id, v.deleted));
        object(
            subject_name(name),
            &SubjectObject {
                v: FORM,
                versions: versions.collect(),
                level: self.level,
                mode: self.mode,
            },
        )
    }

    pub(super) fn live(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> {
        let live = self.versions.iter().filter(|(_, v)| !v.deleted);
        live.map(|(n, v)| (*n, v.id))
    }
}

impl State {
    pub(super) fn global(&self) -> Object {
        object(
            "global".to_owned(),
            &GlobalObject {
                v: FORM,
                level: self.level,
                mode: self.mode,
                next_id: self.next_id,
            },
        )
    }

    /// What the catalog's objects say. An object that can't be read is left out, and told.
    pub fn load(catalog: &Catalog) -> State {
        let mut state = State {
            next_id: 1,
            ..State::default()
        };
        for object in catalog.objects(KIND) {
            if let Err(error) = state.take(&object) {
                tracing::error!(object = object.name, %error, "an object of the schema registry can't be read");
            }
        }
        state
    }

    fn take(&mut self, object: &Object) -> Result<(), String> {
        let newer = |v: u32| {
            if v > FORM {
                return Err(format!("its form {v} is newer than this program's {FORM}"));
            }
            Ok(())
        };
        if let Some(id) = object.name.strip_prefix("id/") {
            let id: u32 = id.parse().map_err(|_| "its name has no id".to_owned())?;
            let read: SchemaObject =
                serde_json::from_slice(&object.payload).map_err(|e| e.to_string())?;
            newer(read.v)?;
            let key = read.key.unwrap_or_else(|| read.schema.clone());
            self.add(Stored {
                id,
                guid: guid_of(read.kind, &key, &read.references),
                kind: read.kind,
                text: read.schema,
                references: read.references,
                key,
            });
        } else if let Some(name) = object.name.strip_prefix("subject/") {
            let read: SubjectObject =
                serde_json::from_slice(&object.payload).map_err(|e| e.to_string())?;
            newer(read.v)?;
            let versions = read.versions.into_iter();
            let subject = Subject {
                versions: versions
                    .map(|(n, id, deleted)| (n, Version { id, deleted }))
                    .collect(),
                level: read.level,
                mode: read.mode,
            };
            self.subjects.insert(name.to_owned(), Arc::new(subject));
        } else if object.name == "global" {
            let read: GlobalObject =
                serde_json::from_slice(&object.payload).map_err(|e| e.to_string())?;
            newer(read.v)?;
            (self.level, self.mode) = (read.level, read.mode);
            self.next_id = self.next_id.max(read.next_id);
        }
        Ok(())
    }

    /// Takes a schema in.
    pub fn add(&mut self, stored: Stored) {
        self.next_id = self.next_id.max(stored.id.saturating_add(1));
        self.by_guid.entry(stored.guid).or_insert(stored.id);
        self.schemas.insert(stored.id, Arc::new(stored));
    }

    /// The subject's level, or the one for all.
    pub fn level_of(&self, subject: &str) -> Level {
        let own = self.subjects.get(subject).and_then(|s| s.level);
        own.or(self.level).unwrap_or_default()
    }

    /// The subject's mode, or the one for all.
    pub fn mode_of(&self, subject: &str) -> Mode {
        let own = self.subjects.get(subject).and_then(|s| s.mode);
        own.or(self.mode).unwrap_or_default()
    }

    /// The schemas that these references lead to, those behind first; what they are called must be told apart.
    ///
    /// # Errors
    /// When one leads nowhere.
    pub fn dependencies(&self, references: &[Reference]) -> Result<Vec<Dependency>, String> {
        let mut found: Vec<Dependency> = Vec::new();
        let mut met: HashSet<&str> = HashSet::new();
        let mut waiting: Vec<&Reference> = references.iter().rev().collect();
        while let Some(reference) = waiting.pop() {
            if !met.insert(&reference.name) {
                continue;
            }
            if met.len() > MAX_DEPENDENCIES {
                return Err(format!("it refers to more than {MAX_DEPENDENCIES} others"));
            }
            let version = self
                .subjects
                .get(&reference.subject)
                .and_then(|s| s.versions.get(&reference.version));
            let stored = version.and_then(|v| self.schemas.get(&v.id));
            let stored = stored.ok_or_else(|| {
                format!(
                    "no schema reference found for subject \"{}\" and version {}",
                    reference.subject, reference.version
                )
            })?;
            waiting.extend(stored.references.iter().rev());
            found.push(Dependency {
                name: reference.name.clone(),
                text: stored.text.clone(),
            });
        }
        found.reverse();
        Ok(found)
    }

    /// A stored schema with all that it refers to.
    ///
    /// # Errors
    /// When a reference leads nowhere.
    pub fn source(&self, stored: &Stored) -> Result<SchemaSource, String> {
        Ok(SchemaSource {
            kind: stored.kind,
            text: stored.text.clone(),
            dependencies: self.dependencies(&stored.references)?,
        })
    }
}
