//! Views as statements use them: created, read, dropped.

use super::checkpoint::Checkpoint;
use super::definition::Definition;
use super::runtime::{KIND, Start, ViewRuntime, exec, view_id};
use super::state::{Program, read_rows};
use super::worker::{Message, Snap};
use crate::bind::windowed::ContinuousQuery;
use crate::engine::{ViewInfo, Views};
use crate::error::QueryError;
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use std::sync::mpsc;
use tokio::sync::oneshot;
use tsdb::{Object, Snapshot};

impl Views for ViewRuntime {
    fn list(&self) -> Vec<ViewInfo> {
        self.registry
            .lock()
            .named
            .values()
            .map(|v| v.info())
            .collect()
    }

    fn get(&self, db: &str, name: &str) -> Option<ViewInfo> {
        self.view(db, name).map(|v| v.info())
    }

    fn create(
        &self,
        db: &str,
        name: &str,
        query: ContinuousQuery,
        sql: &str,
        replace: bool,
    ) -> Result<(), QueryError> {
        if self.view(db, name).is_some() && !replace {
            return Err(QueryError::Conflict(format!(
                "view \"{name}\" exists already"
            )));
        }
        let definition = Definition::new(self.new_epoch(), sql, query.output());
        let (ready, caught_up) = mpsc::channel();
        let view = self.start(
            db,
            name,
            query,
            &definition,
            Start::History,
            true,
            Some(ready),
        )?;
        self.follow(&view);
        let outcome = caught_up
            .recv()
            .map_err(|_| QueryError::Internal("a view's thread has ended".to_string()))
            .and_then(|r| r.map_err(exec));
        if let Err(e) = outcome {
            self.end(&view, false, "the view could not be built");
            return Err(e);
        }
        let key = (db.to_string(), name.to_string());
        let old = {
            let mut registry = self.registry.lock();
            if !replace && registry.named.contains_key(&key) {
                drop(registry);
                self.end(&view, false, "another view has taken the name");
                return Err(QueryError::Conflict(format!(
                    "view \"{name}\" exists already"
                )));
            }
            registry.broken.remove(&key);
            self.engine.catalog().put_object(Object {
                kind: KIND.to_string(),
                db: db.to_string(),
                name: name.to_string(),
                payload: definition.encode(),
            });
            registry.named.insert(key, view)
        };
        if let Some(old) = old {
            self.end(&old, false, "the view has been redefined");
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
        if let Some(view) = &view {
            self.end(view, false, "the view has been dropped");
        }
        if view.is_some() || broken.is_some() {
            self.engine.hold_wal(&format!("view {db}.{name}"), None);
            if let Err(error) = Checkpoint::remove_all(self.engine.disk(), view_id(db, name)) {
                tracing::warn!(%error, "a dropped view's saved state could not be removed");
            }
        }
        Ok(view.is_some() || broken.is_some())
    }

    fn ask(
        &self,
        db: &str,
        name: &str,
        snapshot: &Snapshot,
    ) -> BoxFuture<'static, Result<Vec<RecordBatch>, QueryError>> {
        let Some(view) = self.view(db, name) else {
            let e = QueryError::Conflict(format!("view \"{name}\" has just been dropped"));
            return Box::pin(std::future::ready(Err(e)));
        };
        if let Program::Rows(plan) = &view.program {
            let (plan, snapshot) = (plan.clone(), snapshot.clone());
            return Box::pin(
                async move { read_rows(&plan, &view.stream.0, &snapshot).map_err(exec) },
            );
        }
        let (reply, answer) = oneshot::channel();
        let snapshot = Box::new(Snap(snapshot.clone()));
        view.tap.send_read(Message::Read(snapshot, reply));
        Box::pin(async move {
            let rows = answer
                .await
                .map_err(|_| QueryError::Exec("the view has been dropped".to_string()))??;
            Ok(vec![rows])
        })
    }
}
