//! What a registry tells.

use super::error::RegistryError;
use super::state::{Stored, Subject};
use super::{NewSchema, Registry, change};
use crate::compat::{self, Previous};
use crate::protobuf_descriptor;
use crate::{SchemaKind, wire::SchemaId};
use std::sync::Arc;

/// Which version of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionChoice {
    /// The greatest that is not deleted.
    Latest,
    /// That one.
    Number(u32),
}

impl VersionChoice {
    /// As it is written in a path.
    ///
    /// # Errors
    /// 42202 for anything but `latest`, -1 and the numbers from 1 on.
    pub fn parse(text: &str) -> Result<VersionChoice, RegistryError> {
        if text == "latest" || text == "-1" {
            return Ok(VersionChoice::Latest);
        }
        let number = text.parse::<u32>().ok();
        let number = number.filter(|n| *n >= 1 && i32::try_from(*n).is_ok());
        number.map(VersionChoice::Number).ok_or_else(|| {
            let message = format!(
                "The specified version '{text}' is not a valid version id. Allowed values are between [1, 2^31-1] and \
                 the string \"latest\""
            );
            RegistryError::new(422, 42202, message)
        })
    }
}

/// Which of what is there, and of what is deleted but not yet for ever, is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// What is not deleted.
    Live,
    /// That, and what is deleted.
    All,
    /// What is deleted.
    Deleted,
}

impl Listed {
    fn has(self, deleted: bool) -> bool {
        match self {
            Listed::Live => !deleted,
            Listed::All => true,
            Listed::Deleted => deleted,
        }
    }
}

/// A subject's version, with its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The subject.
    pub subject: String,
    /// The version.
    pub version: u32,
    /// The schema.
    pub schema: Arc<Stored>,
    /// Whether it is deleted, and not yet for ever.
    pub deleted: bool,
}

impl Registry {
    /// Names of the subjects that begin with `prefix`. One counts as deleted when all its versions are.
    #[must_use]
    pub fn subjects(&self, prefix: &str, listed: Listed) -> Vec<String> {
        let state = self.now();
        let named = state.subjects.iter().filter(|(name, s)| {
            name.starts_with(prefix)
                && !s.versions.is_empty()
                && listed.has(s.live().next().is_none())
        });
        named.map(|(name, _)| name.clone()).collect()
    }

    /// Numbers of a subject's versions.
    ///
    /// # Errors
    /// 40401 when there is none.
    pub fn versions(&self, subject: &str, listed: Listed) -> Result<Vec<u32>, RegistryError> {
        let state = self.now();
        let found = state.subjects.get(subject).map(|s| {
            let kept = s.versions.iter().filter(|(_, v)| listed.has(v.deleted));
            kept.map(|(n, _)| *n).collect::<Vec<u32>>()
        });
        found
            .filter(|v| !v.is_empty())
            .ok_or_else(|| RegistryError::no_subject(subject))
    }

    /// A subject's version.
    ///
    /// # Errors
    /// 40401, 40402.
    pub fn version(
        &self,
        subject: &str,
        choice: VersionChoice,
        deleted: bool,
    ) -> Result<Found, RegistryError> {
        let state = self.now();
        let known: Option<&Arc<Subject>> = state.subjects.get(subject);
        let known = known
            .filter(|s| s.versions.values().any(|v| deleted || !v.deleted))
            .ok_or_else(|| RegistryError::no_subject(subject))?;
        let mut kept = known.versions.iter().filter(|(_, v)| deleted || !v.deleted);
        let found = match choice {
            VersionChoice::Latest => kept.next_back(),
            VersionChoice::Number(n) => kept.find(|(v, _)| **v == n),
        };
        let number = match choice {
            VersionChoice::Latest => "latest".to_owned(),
            VersionChoice::Number(n) => n.to_string(),
        };
        let (version, entry) = found.ok_or_else(|| RegistryError::no_version(number))?;
        let schema = state.schemas.get(&entry.id);
        let schema = schema.ok_or_else(|| RegistryError::no_schema(entry.id))?;
        Ok(Found {
            subject: subject.to_owned(),
            version: *version,
            schema: schema.clone(),
            deleted: entry.deleted,
        })
    }

    /// The schema of an id or GUID.
    ///
    /// # Errors
    /// 40403.
    pub fn schema_of(&self, id: &SchemaId) -> Result<Arc<Stored>, RegistryError> {
        let state = self.now();
        let number = match id {
            SchemaId::Id(id) => Some(*id),
            SchemaId::Guid(guid) => state.by_guid.get(guid).copied(),
        };
        let found = number.and_then(|id| state.schemas.get(&id));
        found.cloned().ok_or_else(|| RegistryError::no_schema(id))
    }

    /// The greatest id that has been given out; 0 before the first.
    #[must_use]
    pub fn greatest_id(&self) -> u32 {
        self.now().next_id.saturating_sub(1)
    }

    /// Where an id is used: subjects with their versions.
    ///
    /// # Errors
    /// 40403.
    pub fn uses(&self, id: u32, deleted: bool) -> Result<Vec<(String, u32)>, RegistryError> {
        let state = self.now();
        if !state.schemas.contains_key(&id) {
            return Err(RegistryError::no_schema(id));
        }
        let mut uses = Vec::new();
        for (name, subject) in &state.subjects {
            for (version, entry) in &subject.versions {
                if entry.id == id && (deleted || !entry.deleted) {
                    uses.push((name.clone(), *version));
                }
            }
        }
        Ok(uses)
    }

    /// Ids of the schemas that refer to a version.
    ///
    /// # Errors
    /// 40401, 40402.
    pub fn referenced_by(
        &self,
        subject: &str,
        choice: VersionChoice,
    ) -> Result<Vec<u32>, RegistryError> {
        let found = self.version(subject, choice, true)?;
        let state = self.now();
        Ok(change::referrers(&state, subject, found.version))
    }

    /// The version of a subject that is this very schema.
    ///
    /// # Errors
    /// 40401, 40403, 42201.
    pub fn lookup(
        &self,
        subject: &str,
        new: &NewSchema,
        normalize: bool,
        deleted: bool,
    ) -> Result<Found, RegistryError> {
        let state = self.now();
        let known = state.subjects.get(subject);
        let known = known
            .filter(|s| s.versions.values().any(|v| deleted || !v.deleted))
            .ok_or_else(|| RegistryError::no_subject(subject))?;
        let wanted = change::prepare(&state, new, normalize)?;
        let kept = known.versions.iter().filter(|(_, v)| deleted || !v.deleted);
        for (version, entry) in kept.rev() {
            if let Some(schema) = state.schemas.get(&entry.id)
                && change::same(&state, schema, &wanted, normalize)
            {
                return Ok(Found {
                    subject: subject.to_owned(),
                    version: *version,
                    schema: schema.clone(),
                    deleted: entry.deleted,
                });
            }
        }
        Err(RegistryError::new(404, 40403, "Schema not found"))
    }

    /// Why a schema is not compatible with a version of a subject, or with those that the subject's level asks for; nothing
    /// when it is.
    ///
    /// # Errors
    /// 40402 when the version is not there, 42201.
    pub fn check(
        &self,
        subject: &str,
        choice: Option<VersionChoice>,
        new: &NewSchema,
    ) -> Result<Vec<String>, RegistryError> {
        let state = self.now();
        let wanted = change::prepare(&state, new, false)?;
        let previous = match choice {
            None => change::previous(&state, subject),
            Some(choice) => match self.version(subject, choice, false) {
                Ok(found) => vec![Previous {
                    version: found.version,
                    source: state
                        .source(&found.schema)
                        .map_err(RegistryError::invalid_schema)?,
                }],
                Err(_) if choice == VersionChoice::Latest => Vec::new(),
                Err(error) => return Err(error),
            },
        };
        compat::check(state.level_of(subject), &wanted.source, &previous)
            .map_err(RegistryError::invalid_schema)
    }

    /// A schema's text in a form that a client asks for: `serialized` is a Protobuf file's descriptor in base64.
    ///
    /// # Errors
    /// 42201 when a reference of it leads nowhere.
    pub fn text_as(&self, schema: &Stored, format: &str) -> Result<String, RegistryError> {
        if format != "serialized" || schema.kind != SchemaKind::Protobuf {
            return Ok(schema.text.clone());
        }
        let source = self.now().source(schema);
        source
            .and_then(|s| protobuf_descriptor(&s))
            .map_err(RegistryError::invalid_schema)
    }
}
