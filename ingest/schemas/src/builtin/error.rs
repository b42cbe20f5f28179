//! Refusals, with the codes that Confluent's clients know.

/// Why a request to the registry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    /// The status for HTTP.
    pub status: u16,
    /// The code in the reply's body.
    pub code: u32,
    /// In words.
    pub message: String,
}

impl RegistryError {
    pub(super) fn new(status: u16, code: u32, message: impl Into<String>) -> RegistryError {
        RegistryError {
            status,
            code,
            message: message.into(),
        }
    }

    pub(super) fn no_subject(subject: &str) -> RegistryError {
        RegistryError::new(404, 40401, format!("Subject '{subject}' not found."))
    }

    pub(super) fn no_version(version: impl std::fmt::Display) -> RegistryError {
        RegistryError::new(404, 40402, format!("Version {version} not found."))
    }

    pub(super) fn no_schema(id: impl std::fmt::Display) -> RegistryError {
        RegistryError::new(404, 40403, format!("Schema {id} not found"))
    }

    pub(super) fn invalid_schema(why: impl std::fmt::Display) -> RegistryError {
        RegistryError::new(422, 42201, format!("Invalid schema: {why}"))
    }

    pub(super) fn not_permitted(why: impl Into<String>) -> RegistryError {
        RegistryError::new(422, 42205, why)
    }

    /// What can't be made durable.
    pub(super) fn store(error: &tsdb::Error) -> RegistryError {
        let status = match error {
            tsdb::Error::Overloaded { .. } | tsdb::Error::NoRoom(_) | tsdb::Error::Closed => 503,
            _ => 500,
        };
        RegistryError::new(
            status,
            50001,
            format!("Error in the backend data store: {error}"),
        )
    }
}
