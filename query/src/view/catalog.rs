//! Views as statements use them: created, read, dropped.

use super::checkpoint::Checkpoint;
use super::definition::Definition;
use super::launch::Launch;
use super::reading::Request;
use super::runtime::{KIND, ViewRuntime, exec};
use super::saving::Saving;
use crate::bind::windowed::ContinuousQuery;
use crate::engine::{ViewInfo, ViewRead, ViewReader, Views};
use crate::error::QueryError;
use std::sync::mpsc;
use tsdb::Object;
use tsdb::types::StreamId;

impl Views for ViewRuntime {
    fn list(&self) -> Vec<ViewInfo> {
        let registry = self.registry.lock();
        let broken = registry.broken.iter().map(|(key, b)| b.info(key));
        let mut all: Vec<ViewInfo> = registry.named.values().map(|v| v.info()).collect();
        all.extend(broken);
        all.sort_by(|a, b| (&a.db, &a.name).cmp(&(&b.db, &b.name)));
        all
    }

    fn get(&self, db: &str, name: &str) -> Option<ViewInfo> {
        let key = (db.to_string(), name.to_string());
        let registry = self.registry.lock();
        let named = registry.named.get(&key).map(|v| v.info());
        named.or_else(|| registry.broken.get(&key).map(|b| b.info(&key)))
    }

    fn create(
        &self,
        db: &str,
        name: &str,
        query: ContinuousQuery,
        sql: &str,
        columns: &[String],
        replace: bool,
    ) -> Result<(), QueryError> {
        let exists = || QueryError::Conflict(format!("view \"{name}\" exists already"));
        if self.get(db, name).is_some() && !replace {
            return Err(exists());
        }
        let definition = Definition {
            names: columns.to_vec(),
            ..Definition::new(self.new_epoch(), sql, &query)
        };
        let query = query.renamed(columns);
        let (ready, caught_up) = mpsc::channel();
        let view = self.start(Launch {
            db,
            name,
            query,
            definition: &definition,
            durable: true,
            ready: Some(ready),
        })?;
        self.follow(&view);
        let outcome = caught_up
            .recv()
            .map_err(|_| QueryError::Internal("a view's thread has ended".to_string()))
            .and_then(|r| r.map_err(exec));
        if let Err(e) = outcome {
            self.end(&view, false, "the view could not be built");
            self.forget(db, name, &definition);
            return Err(e);
        }
        let key = (db.to_string(), name.to_string());
        let (old, broken) = {
            let mut registry = self.registry.lock();
            let taken = registry.named.contains_key(&key) || registry.broken.contains_key(&key);
            if taken && !replace {
                drop(registry);
                self.end(&view, false, "another view has taken the name");
                self.forget(db, name, &definition);
                return Err(exists());
            }
            self.engine.catalog().put_object(Object {
                kind: KIND.to_string(),
                db: db.to_string(),
                name: name.to_string(),
                payload: definition.encode(),
            });
            let broken = registry.broken.remove(&key);
            (registry.named.insert(key, view), broken)
        };
        if let Some(old) = &old {
            self.end(old, false, "the view has been redefined");
        }
        let old = old.map(|v| v.definition.clone());
        if let Some(definition) = old.or_else(|| broken.and_then(|b| b.definition)) {
            self.forget(db, name, &definition);
        }
        Ok(())
    }

    fn drop_view(&self, db: &str, name: &str) -> Result<bool, QueryError> {
        let key = (db.to_string(), name.to_string());
        let (view, broken) = {
            let mut registry = self.registry.lock();
            let found = (registry.named.remove(&key), registry.broken.remove(&key));
            if found.0.is_some() || found.1.is_some() {
                self.engine.catalog().drop_object(KIND, db, name);
            }
            found
        };
        let found = view.is_some() || broken.is_some();
        if let Some(view) = &view {
            self.end(view, false, "the view has been dropped");
        }
        let definition = view.map(|v| v.definition.clone());
        if let Some(definition) = definition.or_else(|| broken.and_then(|b| b.definition)) {
            self.forget(db, name, &definition);
        }
        Ok(found)
    }

    fn stream_dropped(&self, stream: StreamId) {
        let ended: Vec<_> = {
            let mut registry = self.registry.lock();
            let keys = registry.shared.iter();
            let keys = keys.filter(|(_, v)| v.query.source().id == stream);
            let keys: Vec<String> = keys.map(|(key, _)| key.clone()).collect();
            let views = keys.iter().filter_map(|key| registry.shared.remove(key));
            views.collect()
        };
        for view in ended {
            self.end(&view, false, "the stream has been dropped");
        }
    }

    fn reader(&self, db: &str, name: &str, read: &ViewRead) -> Result<ViewReader, QueryError> {
        let view = self.view(db, name).ok_or_else(|| {
            QueryError::Conflict(format!("view \"{name}\" has just been dropped"))
        })?;
        let (request, answer) = Request::new(&view.program, read)?;
        Ok(Box::new(move |snapshot| {
            view.tap.send_read(snapshot, request);
            Box::pin(async move {
                let gone = |_| QueryError::Conflict("the view has been dropped".to_string());
                answer.await.map_err(gone)?
            })
        }))
    }
}

impl ViewRuntime {
    /// Lets go of what is kept of a view that has ended: its files, and the log.
    fn forget(&self, db: &str, name: &str, definition: &Definition) {
        let saving = Saving::of(db, name, definition);
        self.engine.hold_wal(&saving.owner, None);
        if let Err(error) = Checkpoint::remove_all(self.engine.disk(), saving.id) {
            tracing::warn!(%error, "a dropped view's saved state could not be removed");
        }
    }
}
