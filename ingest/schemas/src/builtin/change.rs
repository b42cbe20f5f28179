//! Registering and deleting.

use super::error::RegistryError;
use super::identity::{guid_of, key_of};
use super::state::{Mode, Reference, State, Stored, Subject, Version, schema_name, subject_name};
use super::{Edit, MAX_NAME, MAX_SCHEMA, MAX_SCHEMAS, Registry, VersionChoice};
use crate::compat::{self, Previous};
use crate::{SchemaKind, SchemaSource};
use std::collections::HashSet;
use std::sync::Arc;

/// A schema that a client sends.
#[derive(Debug, Clone)]
pub struct NewSchema {
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// The id and version that it has elsewhere, for import.
    pub id: Option<u32>,
    /// See `id`.
    pub version: Option<u32>,
}

/// What came of registering.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The version that it is.
    pub version: u32,
    /// The schema, with its id.
    pub schema: Arc<Stored>,
}

/// A schema that has been found valid.
pub(super) struct Prepared {
    pub source: SchemaSource,
    pub references: Vec<Reference>,
    pub key: String,
}

/// Checks a schema.
pub(super) fn prepare(
    state: &State,
    new: &NewSchema,
    normalize: bool,
) -> Result<Prepared, RegistryError> {
    if new.text.len() > MAX_SCHEMA {
        return Err(RegistryError::invalid_schema(format!(
            "it has {} bytes, more than {MAX_SCHEMA}",
            new.text.len()
        )));
    }
    let dependencies = state.dependencies(&new.references);
    let mut source = SchemaSource {
        kind: new.kind,
        text: new.text.clone(),
        dependencies: dependencies.map_err(RegistryError::invalid_schema)?,
    };
    let key = key_of(&source, normalize).map_err(RegistryError::invalid_schema)?;
    if normalize && new.kind != SchemaKind::Protobuf {
        source.text.clone_from(&key);
    }
    Ok(Prepared {
        source,
        references: new.references.clone(),
        key,
    })
}

/// Whether a stored schema is this one.
pub(super) fn same(state: &State, stored: &Stored, wanted: &Prepared, normalize: bool) -> bool {
    if stored.kind != wanted.source.kind || stored.references != wanted.references {
        return false;
    }
    if stored.key == wanted.key {
        return true;
    }
    let normal = |s: &Stored| state.source(s).and_then(|s| key_of(&s, true));
    normalize && normal(stored).is_ok_and(|key| key == wanted.key)
}

/// A subject's versions, for comparison.
pub(super) fn previous(state: &State, subject: &str) -> Vec<Previous> {
    let live = state.subjects.get(subject).into_iter();
    let live = live.flat_map(|s| s.live().collect::<Vec<_>>());
    live.filter_map(|(version, id)| {
        let source = state.source(state.schemas.get(&id)?).ok()?;
        Some(Previous { version, source })
    })
    .collect()
}

/// Ids of the schemas in use that refer to a version.
pub(super) fn referrers(state: &State, subject: &str, version: u32) -> Vec<u32> {
    let refers = |r: &Reference| r.subject == subject && r.version == version;
    let all = state.schemas.values();
    let ids: HashSet<u32> = all
        .filter(|s| s.references.iter().any(refers))
        .map(|s| s.id)
        .collect();
    let live = state.subjects.values().flat_map(|s| s.live().map(|l| l.1));
    let mut used: Vec<u32> = live.filter(|id| ids.contains(id)).collect();
    used.sort_unstable();
    used.dedup();
    used
}

fn subject_of(state: &State, name: &str) -> Subject {
    let known = state.subjects.get(name);
    known.map(|s| (**s).clone()).unwrap_or_default()
}

fn writable(state: &State, subject: &str) -> Result<(), RegistryError> {
    if state.mode_of(subject) == Mode::ReadOnly {
        return Err(RegistryError::not_permitted(format!(
            "Subject {subject} is in read-only mode"
        )));
    }
    Ok(())
}

impl Registry {
    /// Registers a schema under a subject; one that is there already is only looked up.
    ///
    /// # Errors
    /// 409 when it is incompatible, 42201, 42205 when the mode forbids it; 50001 when it can't be made durable.
    pub fn register(
        &self,
        subject: &str,
        new: &NewSchema,
        normalize: bool,
    ) -> Result<Registered, RegistryError> {
        let _one = self.changing.lock();
        let state = self.now();
        if subject.is_empty() || subject.len() > MAX_NAME || subject.contains('\0') {
            let message = format!("The specified subject '{subject}' is not a valid subject.");
            return Err(RegistryError::new(422, 42208, message));
        }
        let wanted = prepare(&state, new, normalize)?;
        let known = subject_of(&state, subject);
        let import = new.id.is_some();
        for (version, id) in known.live().rev() {
            if let Some(schema) = state.schemas.get(&id)
                && same(&state, schema, &wanted, normalize)
                && new.id.is_none_or(|wanted| wanted == id)
            {
                return Ok(Registered {
                    version,
                    schema: schema.clone(),
                });
            }
        }
        writable(&state, subject)?;
        let mode = state.mode_of(subject);
        if import && mode != Mode::Import {
            return Err(RegistryError::not_permitted(format!(
                "Subject {subject} is not in import mode"
            )));
        }
        if !import && mode == Mode::Import {
            return Err(RegistryError::not_permitted(format!(
                "Subject {subject} is in import mode"
            )));
        }
        if !import {
            let level = state.level_of(subject);
            let problems = compat::check(level, &wanted.source, &previous(&state, subject));
            let problems = problems.map_err(RegistryError::invalid_schema)?;
            if !problems.is_empty() {
                let message = format!(
                    "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", \
                     details: [{}]",
                    problems.join(", ")
                );
                return Err(RegistryError::new(409, 409, message));
            }
        }
        self.add(&state, subject, known, wanted, new)
    }

    fn add(
        &self,
        state: &State,
        subject: &str,
        mut known: Subject,
        wanted: Prepared,
        new: &NewSchema,
    ) -> Result<Registered, RegistryError> {
        let mut next = state.clone();
        let mut edits = Vec::new();
        let guid = guid_of(wanted.source.kind, &wanted.key, &wanted.references);
        let equal = |s: &Arc<Stored>| {
            s.kind == wanted.source.kind && s.references == wanted.references && s.key == wanted.key
        };
        let found = match new.id {
            Some(id) => state.schemas.get(&id),
            None => state
                .by_guid
                .get(&guid)
                .and_then(|id| state.schemas.get(id)),
        };
        let schema = match found {
            Some(schema) if equal(schema) => schema.clone(),
            Some(schema) if new.id.is_some() => {
                return Err(RegistryError::not_permitted(format!(
                    "Overwrite new schema with id {} is not permitted.",
                    schema.id
                )));
            }
            // Another one of the same hash stays the one that the GUID means.
            _ => {
                if state.schemas.len() >= MAX_SCHEMAS {
                    let message = format!("There are {MAX_SCHEMAS} schemas already");
                    return Err(RegistryError::not_permitted(message));
                }
                let id = new.id.unwrap_or(state.next_id);
                if id == 0 || i32::try_from(id).is_err() {
                    return Err(RegistryError::not_permitted(format!("{id} can't be an id")));
                }
                let stored = Stored {
                    id,
                    kind: wanted.source.kind,
                    text: wanted.source.text,
                    references: wanted.references,
                    key: wanted.key,
                    guid,
                };
                edits.push(Edit::Put(stored.object()));
                next.add(stored.clone());
                Arc::new(stored)
            }
        };
        let last = known.versions.keys().next_back().copied().unwrap_or(0);
        let version = new.version.unwrap_or(last.saturating_add(1));
        if version == 0 || i32::try_from(version).is_err() {
            return Err(RegistryError::not_permitted(format!(
                "{version} can't be a version"
            )));
        }
        if let Some(there) = known.versions.get(&version)
            && there.id != schema.id
        {
            return Err(RegistryError::not_permitted(format!(
                "Version {version} of subject {subject} is another schema already"
            )));
        }
        let entry = Version {
            id: schema.id,
            deleted: false,
        };
        known.versions.insert(version, entry);
        edits.push(Edit::Put(known.object(subject)));
        next.subjects.insert(subject.to_owned(), Arc::new(known));
        self.publish(next, edits)?;
        Ok(Registered { version, schema })
    }

    /// Deletes a version: it is not found any more, and its id stays known; with `permanent`, which must follow, the id is
    /// forgotten with its last use.
    ///
    /// # Errors
    /// 40401, 40402, 40406 and 40407 when it is deleted already, or not yet; 42205, 42206 when others refer to it.
    pub fn delete_version(
        &self,
        subject: &str,
        choice: VersionChoice,
        permanent: bool,
    ) -> Result<u32, RegistryError> {
        let _one = self.changing.lock();
        let state = self.now();
        writable(&state, subject)?;
        let found = match (self.version(subject, choice, permanent), permanent) {
            (Ok(found), _) => found,
            // Told apart from one that has never been.
            (Err(error), false) => match self.version(subject, choice, true) {
                Ok(found) if choice != VersionChoice::Latest => {
                    let message = format!(
                        "Subject '{subject}' Version {} was soft deleted. Set permanent=true to delete permanently",
                        found.version
                    );
                    return Err(RegistryError::new(404, 40406, message));
                }
                _ => return Err(error),
            },
            (Err(error), true) => return Err(error),
        };
        if permanent && !found.deleted {
            let message = format!(
                "Subject '{subject}' Version {} was not deleted first before being permanently deleted",
                found.version
            );
            return Err(RegistryError::new(404, 40407, message));
        }
        self.remove(&state, subject, &[found.version], permanent)?;
        Ok(found.version)
    }

    /// Deletes a subject's versions, and with `permanent` the subject; gives the versions.
    ///
    /// # Errors
    /// 40401, 40404 and 40405 when it is deleted already, or not yet; 42205, 42206.
    pub fn delete_subject(
        &self,
        subject: &str,
        permanent: bool,
    ) -> Result<Vec<u32>, RegistryError> {
        let _one = self.changing.lock();
        let state = self.now();
        writable(&state, subject)?;
        let known = state.subjects.get(subject);
        let known = known
            .filter(|s| !s.versions.is_empty())
            .ok_or_else(|| RegistryError::no_subject(subject))?;
        let live: Vec<u32> = known.live().map(|l| l.0).collect();
        let message = match (permanent, live.is_empty()) {
            (false, true) => Some((
                40404,
                "was soft deleted. Set permanent=true to delete permanently",
            )),
            (true, false) => Some((
                40405,
                "was not deleted first before being permanently deleted",
            )),
            _ => None,
        };
        if let Some((code, what)) = message {
            let message = format!("Subject '{subject}' {what}");
            return Err(RegistryError::new(404, code, message));
        }
        let all = if permanent {
            known.versions.keys().copied().collect()
        } else {
            live
        };
        self.remove(&state, subject, &all, permanent)?;
        Ok(all)
    }

    fn remove(
        &self,
        state: &State,
        subject: &str,
        versions: &[u32],
        permanent: bool,
    ) -> Result<(), RegistryError> {
        for version in versions {
            let others = referrers(state, subject, *version);
            if !others.is_empty() {
                let message = format!(
                    "One or more references exist to the schema {{subject={subject},version={version}}}: {others:?}"
                );
                return Err(RegistryError::new(422, 42206, message));
            }
        }
        let mut next = state.clone();
        let mut known = subject_of(state, subject);
        let mut edits = Vec::new();
        for version in versions {
            if permanent {
                known.versions.remove(version);
            } else if let Some(entry) = known.versions.get_mut(version) {
                entry.deleted = true;
            }
        }
        if known.versions.is_empty() && known.level.is_none() && known.mode.is_none() {
            next.subjects.remove(subject);
            edits.push(Edit::Drop(subject_name(subject)));
        } else {
            edits.push(Edit::Put(known.object(subject)));
            next.subjects.insert(subject.to_owned(), Arc::new(known));
        }
        if permanent {
            let subjects = next.subjects.values();
            let used: HashSet<u32> = subjects
                .flat_map(|s| s.versions.values().map(|v| v.id))
                .collect();
            // Ids that are forgotten must not come again.
            edits.push(Edit::Put(next.global()));
            let gone: Vec<u32> = next
                .schemas
                .keys()
                .copied()
                .filter(|id| !used.contains(id))
                .collect();
            for id in gone {
                if let Some(schema) = next.schemas.remove(&id)
                    && next.by_guid.get(&schema.guid) == Some(&id)
                {
                    next.by_guid.remove(&schema.guid);
                }
                edits.push(Edit::Drop(schema_name(id)));
            }
        }
        self.publish(next, edits)
    }
}
