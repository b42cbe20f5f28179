//! `INSERT`: rows of a query become rows of a stream, in one commit.

use super::run::Asked;
use super::sources::{EngineSources, Named};
use super::{Output, QueryEngine, Session};
use crate::error::{BindError, QueryError};
use crate::rows::append;
use crate::table::{TIME, is_table, shown};
use crate::types::arrow_type;
use query_lang::ast::{Ident, Insert, InsertSource};
use std::sync::Arc;
use tsdb::types::{BatchBuilder, ColumnDef};
use tsdb::{Rows, Stream};

/// Most rows one statement may insert: they are one commit, held in memory until it is durable.
const MAX_ROWS: usize = 5_000_000;

impl QueryEngine {
    pub(super) async fn insert(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        insert: &Insert,
    ) -> Result<Output, QueryError> {
        let named = EngineSources::new(self, session)
            .named(&insert.table)
            .map_err(|e| e.locate(sql))?;
        let wrong = |what: &str| Err(BindError::new(insert.table.span(), what).locate(sql));
        let (stream, all) = match named {
            Named::Stream(_) if insert.upsert => {
                return wrong("a stream has no keys: write INSERT INTO");
            }
            Named::Stream(stream) => {
                let all = stream.schema().columns.clone();
                (stream, all)
            }
            Named::Table(table) => (Arc::clone(&table.stream), shown(&table.stream)),
            Named::View(_) => return wrong("a view takes no rows"),
        };
        let targets = targets(&stream, all, &insert.columns).map_err(|e| e.locate(sql))?;
        let span = insert.table.span();
        let mismatch = |n: usize| {
            BindError::new(span, format!("{n} values for {} columns", targets.len())).locate(sql)
        };
        let asked = match &insert.source {
            InsertSource::Query(query) => Asked::Query(query.clone()),
            InsertSource::Values(values) => {
                if let Some(row) = values.rows.iter().find(|r| r.len() != targets.len()) {
                    return Err(mismatch(row.len()));
                }
                let types = targets.iter().map(|t| arrow_type(t.data_type)).collect();
                Asked::Values {
                    values: values.clone(),
                    types,
                    span,
                }
            }
        };
        let Output::Rows {
            schema,
            rows,
            notices,
            ..
        } = self.run(session, sql, asked).await?
        else {
            return Err(QueryError::Internal("a query yielded no rows".to_owned()));
        };
        if schema.fields().len() != targets.len() {
            return Err(mismatch(schema.fields().len()));
        }
        let now = self.now();
        let mut builder = BatchBuilder::new(stream.id);
        let mut rows = rows;
        while let Some(batch) = rows.next().await {
            append(&mut builder, &stream, &targets, &batch?, now)?;
            if builder.rows() > MAX_ROWS {
                return Err(QueryError::TooLarge(format!(
                    "one INSERT takes {MAX_ROWS} rows at most"
                )));
            }
        }
        let count = builder.rows();
        let rows = Rows::from_builder(builder).into_iter().collect();
        let done = if insert.upsert {
            "upserted"
        } else {
            "inserted"
        };
        let message = format!("{count} rows {done}");
        self.commit(session, rows, message, notices).await
    }
}

/// The stream's columns that values are for.
fn targets(
    stream: &Stream,
    all: Vec<ColumnDef>,
    columns: &[Ident],
) -> Result<Vec<ColumnDef>, BindError> {
    if columns.is_empty() {
        return Ok(all);
    }
    // Some are there to be named only.
    let mut all = stream.schema().columns.clone();
    all.retain(|c| !is_table(stream) || c.name != TIME);
    let mut targets: Vec<ColumnDef> = Vec::with_capacity(columns.len());
    for name in columns {
        let exact = all.iter().find(|c| c.name == name.value);
        let Some(def) = exact.or_else(|| all.iter().find(|c| name.matches(&c.name))) else {
            let names = all.iter().map(|c| c.name.as_str());
            return Err(BindError::new(
                name.span,
                format!(
                    "{} \"{}\" has no column \"{}\"",
                    if is_table(stream) { "table" } else { "stream" },
                    stream.name,
                    name.value
                ),
            )
            .hint(crate::bind::nearest::did_you_mean(&name.value, names)));
        };
        if targets.iter().any(|t| t.id == def.id) {
            return Err(BindError::new(
                name.span,
                format!("column \"{}\" is named twice", def.name),
            ));
        }
        targets.push(def.clone());
    }
    Ok(targets)
}
