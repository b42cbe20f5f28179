//! The registry within the server.
//!
//! All of it lies in the catalog, so it is as durable as rows are: a change is answered once it is in the log, and seen
//! by others not before. Reading never waits for a change.

mod change;
mod error;
mod identity;
mod read;
mod settings;
mod state;
#[cfg(test)]
mod tests;

pub use change::{NewSchema, Registered};
pub use error::RegistryError;
pub use read::{Found, Listed, VersionChoice};
pub use state::{Mode, Reference, Stored};

use super::{Missing, Resolver, SchemaId, SchemaSource};
use parking_lot::{Mutex, RwLock};
use state::State;
use std::sync::Arc;
use tsdb::{Engine, Object, Request};

/// Schemas that a registry takes.
const MAX_SCHEMAS: usize = 100_000;
/// Bytes of a schema's text.
const MAX_SCHEMA: usize = 1 << 20;
/// Bytes of a subject's name.
const MAX_NAME: usize = 1_024;

/// A registry. Its changes block until they are durable, so they are not made by threads of an async runtime.
pub struct Registry {
    engine: Engine,
    /// What is durable.
    state: RwLock<Arc<State>>,
    /// One change at a time.
    changing: Mutex<()>,
}

/// What a change does to the catalog.
enum Edit {
    Put(Object),
    Drop(String),
}

impl Registry {
    /// The registry that lies in the engine's catalog.
    #[must_use]
    pub fn open(engine: Engine) -> Registry {
        let state = State::load(engine.catalog());
        Registry {
            engine,
            state: RwLock::new(Arc::new(state)),
            changing: Mutex::new(()),
        }
    }

    fn now(&self) -> Arc<State> {
        self.state.read().clone()
    }

    /// Makes edits durable, then shows the state that they lead to.
    fn publish(&self, next: State, edits: Vec<Edit>) -> Result<(), RegistryError> {
        let catalog = self.engine.catalog();
        for edit in edits {
            match edit {
                Edit::Put(object) => catalog.put_object(object),
                Edit::Drop(name) => {
                    catalog.drop_object(state::KIND, "", &name);
                }
            }
        }
        match self.engine.commit(Request::default()) {
            Ok(_) => {
                *self.state.write() = Arc::new(next);
                Ok(())
            }
            Err(error) => {
                // The edits stay in the catalog and reach the log with whatever does: what is shown must agree.
                *self.state.write() = Arc::new(State::load(catalog));
                Err(RegistryError::store(&error))
            }
        }
    }
}

impl Resolver for Registry {
    fn schema(&self, id: &SchemaId) -> Result<Arc<SchemaSource>, Missing> {
        let state = self.now();
        let number = match id {
            SchemaId::Id(id) => Some(*id),
            SchemaId::Guid(guid) => state.by_guid.get(guid).copied(),
        };
        let stored = number.and_then(|id| state.schemas.get(&id));
        let stored = stored.ok_or_else(|| {
            Missing::Unknown(format!("the built-in schema registry has no schema {id}"))
        })?;
        let source = state.source(stored);
        source.map(Arc::new).map_err(Missing::Unknown)
    }
}
