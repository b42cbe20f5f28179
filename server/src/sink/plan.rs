//! What a sink is to do, from its definition and the catalog as it is now.

use super::definition::{Definition, Origin};
use super::encode::{Encoder, place};
use super::worker::Shared;
use query::QueryError;
use query::bind::windowed::ContinuousQuery;
use query::lang::ast::Emit;
use query::view::{RowFeed, Subscription, key_columns};
use query::{ViewInfo, Views};
use std::sync::Arc;

/// What a sink sends, and how.
pub(super) enum Plan {
    /// Each row by itself.
    Rows {
        feed: Box<RowFeed>,
        encoder: Encoder,
    },
    /// The rows of a query with state, as they change.
    Changes(Box<Changes>),
}

pub(super) struct Changes {
    pub query: Arc<ContinuousQuery>,
    /// Only windows that have closed, each once.
    pub finals: bool,
    pub encoder: Encoder,
    /// Writes what tells rows apart, where the records' keys do not.
    pub identity: Option<Encoder>,
}

fn option_list(definition: &Definition) -> Option<Vec<String>> {
    let names = definition.option("key")?.split(',').map(str::trim);
    Some(names.map(str::to_owned).collect())
}

impl Plan {
    /// # Errors
    /// What is missing, or can't be.
    pub fn of(shared: &Shared, definition: &Definition) -> Result<Plan, String> {
        let words = |e: QueryError| e.to_string();
        let query = match &definition.origin {
            Origin::Stream { name, id, .. } => {
                let stream = shared.engine.catalog().stream_by_id(*id);
                let stream = stream.ok_or_else(|| format!("stream \"{name}\" is gone"))?;
                let feed = RowFeed::of_stream(&stream).map_err(words)?;
                return rows(feed, definition);
            }
            Origin::View { db, name } => {
                let view = shared.views.get(db, name);
                let view: ViewInfo = view.ok_or_else(|| format!("view \"{name}\" is gone"))?;
                view.runnable().map_err(words)?.clone()
            }
            Origin::Query { db, sql } => Arc::new(shared.query.bind_kept(db, sql).map_err(words)?),
        };
        match query.as_ref() {
            ContinuousQuery::Rows(q) => {
                let feed = RowFeed::of_query(&shared.engine, q).map_err(words)?;
                rows(feed, definition)
            }
            ContinuousQuery::Aggregate(q) => {
                let finals = q.emit == Some(Emit::Final);
                changes(query, finals, definition).map(|c| Plan::Changes(Box::new(c)))
            }
        }
    }
}

fn forms(definition: &Definition) -> (Option<&str>, Option<&str>) {
    (
        definition.option("value_format"),
        definition.option("key_format"),
    )
}

/// Writes the rows of a feed.
pub(super) fn row_encoder(feed: &RowFeed, definition: &Definition) -> Result<Encoder, String> {
    let keys = option_list(definition).unwrap_or_default();
    Encoder::new(feed.columns(), &keys, false, forms(definition))
}

fn rows(feed: RowFeed, definition: &Definition) -> Result<Plan, String> {
    Ok(Plan::Rows {
        encoder: row_encoder(&feed, definition)?,
        feed: Box::new(feed),
    })
}

fn changes(
    query: Arc<ContinuousQuery>,
    finals: bool,
    definition: &Definition,
) -> Result<Changes, String> {
    let columns = query.output().clone();
    let (needed, more) = key_columns(&query)?;
    let own: Vec<String> = needed.iter().chain(&more).cloned().collect();
    let given = option_list(definition);
    let keys = given.as_ref().unwrap_or(&own);
    if let Some(given) = given.as_ref().filter(|_| !finals) {
        let places = given.iter().map(|name| place(&columns, name));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        for name in &needed {
            if !places.contains(&place(&columns, name)?) {
                return Err(format!(
                    "several rows would have one key: \"{name}\" must be part of it (without the option the key is {})",
                    own.join(", ")
                ));
            }
        }
    }
    let identity = match &given {
        Some(_) if finals => Some(Encoder::new(&columns, &own, true, (None, None))?),
        _ => None,
    };
    Ok(Changes {
        encoder: Encoder::new(&columns, keys, true, forms(definition))?,
        query,
        finals,
        identity,
    })
}

impl Changes {
    /// Follows the query from now on.
    ///
    /// # Errors
    /// Why it can't be followed now.
    pub fn subscribe(
        &self,
        shared: &Shared,
        definition: &Definition,
    ) -> Result<Subscription, String> {
        let words = |e: QueryError| e.to_string();
        match &definition.origin {
            Origin::Query { sql, .. } => shared
                .views
                .subscribe_query(self.query.as_ref().clone(), sql)
                .map_err(words),
            Origin::View { db, name } => {
                let subscription = shared.views.subscribe(db, name, self.finals);
                subscription.map_err(words)
            }
            Origin::Stream { name, .. } => Err(format!("\"{name}\" is a stream")),
        }
    }
}
