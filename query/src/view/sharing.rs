//! Subscriptions to views, and to queries that subscribers share.

use super::definition::Definition;
use super::launch::Launch;
use super::runtime::{Lease, View, ViewRuntime};
use super::subscription::{Outbox, Subscription};
use super::worker::{Message, Snap};
use crate::bind::windowed::ContinuousQuery;
use crate::engine::Views;
use crate::error::QueryError;
use query_lang::ast::Emit;
use std::sync::Arc;

impl ViewRuntime {
    /// Subscribes to a view: its changes, or with `finals` its windows as they close.
    ///
    /// # Errors
    /// [`QueryError::Conflict`] when there is no such view.
    pub fn subscribe(
        &self,
        db: &str,
        name: &str,
        finals: bool,
    ) -> Result<Subscription, QueryError> {
        let view = self.view(db, name).ok_or_else(|| QueryError::NotFound {
            message: format!("there is no view \"{name}\""),
            line: 1,
            column: 1,
            hint: None,
        })?;
        Ok(self.attach(&view, finals, None))
    }

    /// Subscribes to a query. Equal queries share their work, which ends with the last subscription.
    ///
    /// # Errors
    /// When the query can't be kept up to date.
    pub fn subscribe_query(
        &self,
        mut query: ContinuousQuery,
        sql: &str,
    ) -> Result<Subscription, QueryError> {
        let emit = match &mut query {
            ContinuousQuery::Aggregate(q) => q.emit.take(),
            ContinuousQuery::Rows(q) => q.emit.take(),
        };
        let finals = emit == Some(Emit::Final) && matches!(query, ContinuousQuery::Aggregate(_));
        let key = format!("{query:?}");
        let leased = self.registry.lock().lease(&key);
        let view = match leased {
            Some(view) => view,
            None => self.share(&key, query, sql)?,
        };
        Ok(self.attach(&view, finals, Some(key)))
    }

    /// Starts a query that subscriptions share, and takes the first lease on it.
    fn share(&self, key: &str, query: ContinuousQuery, sql: &str) -> Result<Arc<View>, QueryError> {
        let definition = Definition::new(self.new_epoch(), sql, &query);
        let db = query.source().db.clone();
        let view = self.start(Launch {
            db: &db,
            name: sql,
            query,
            definition: &definition,
            durable: false,
            ready: None,
        })?;
        self.follow(&view);
        let mut registry = self.registry.lock();
        let first = registry.lease(key);
        if let Some(first) = first {
            // Another subscriber was faster.
            drop(registry);
            self.end(&view, false, "not needed");
            return Ok(first);
        }
        *view.leases.lock() = 1;
        registry.shared.insert(key.to_string(), view.clone());
        drop(registry);
        // It may have been dropped before the query was there to be ended with it.
        let stream = view.query.source().id;
        if self.engine.catalog().stream_by_id(stream).is_none() {
            self.stream_dropped(stream);
        }
        Ok(view)
    }

    fn attach(&self, view: &Arc<View>, finals: bool, key: Option<String>) -> Subscription {
        let outbox = Arc::new(Outbox::default());
        self.engine.barrier(|snapshot| {
            view.tap.send(Message::Subscribe(
                outbox.clone(),
                finals,
                Box::new(Snap(snapshot.clone())),
            ));
        });
        Subscription {
            columns: view.program.output().clone(),
            epoch: view.definition.epoch,
            outbox,
            tap: view.tap.clone(),
            _lease: Lease {
                runtime: self.this.clone(),
                key,
            },
        }
    }

    /// One subscription of a shared query has ended.
    pub(super) fn release(&self, key: &str) {
        let mut registry = self.registry.lock();
        let Some(view) = registry.shared.get(key).cloned() else {
            return;
        };
        let last = {
            let mut leases = view.leases.lock();
            *leases = leases.saturating_sub(1);
            *leases == 0
        };
        if last {
            registry.shared.remove(key);
            self.hub.taps.write().retain(|t| !Arc::ptr_eq(t, &view.tap));
            view.tap.send(Message::Stop(None, "no subscriber is left"));
        }
    }
}
