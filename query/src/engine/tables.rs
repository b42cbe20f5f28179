//! Tables: made, dropped, and rows taken out of them.

use super::ddl::engine_error;
use super::run::Asked;
use super::sources::{EngineSources, Named};
use super::{Output, QueryEngine, Session};
use crate::bind::table_def;
use crate::error::{BindError, QueryError};
use crate::rows::append;
use crate::table::Table;
use query_lang::ast::{
    CreateTable, Expr, ExprKind, Ident, ObjectName, Place, Query, Select, SelectItem, SetExpr,
    Span, TableFactor, TableRef,
};
use std::sync::Arc;
use tsdb::types::{BatchBuilder, DataType};
use tsdb::{Rows, TABLE_DELETED};

impl QueryEngine {
    pub(super) async fn create_table(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        create: &CreateTable,
    ) -> Result<Output, QueryError> {
        let new = table_def(create).map_err(|e| e.locate(sql))?;
        let (db, name) = self.place(session, sql, &create.name)?;
        let catalog = self.engine().catalog();
        if let Some(stream) = catalog.stream(&db, &name) {
            let table = self.tables.of(stream.id);
            if table.is_some() && create.if_not_exists {
                let notice = format!("table {name} exists already");
                return Ok(self.done("nothing to do", self.engine().published(), vec![notice]));
            }
            match table {
                Some(table) if create.or_replace => self.drop_table(&table)?,
                Some(_) => {
                    let message = format!("table \"{name}\" exists already");
                    return Err(QueryError::Conflict(message));
                }
                None => {
                    return Err(QueryError::Conflict(format!("\"{name}\" is a stream")));
                }
            }
        }
        if self.views().is_some_and(|v| v.get(&db, &name).is_some()) {
            return Err(QueryError::Conflict(format!("\"{name}\" is a view")));
        }
        self.use_transforms();
        let obstacle = self.transforms.change(|registry| {
            let stream = catalog
                .create_stream(&db, &name, &new.def)
                .map_err(engine_error)?;
            // Ahead of the table, which has the columns that there are.
            let obstacle = self.declare_source(&db, &name);
            let table = match Table::new(Arc::clone(&stream)) {
                Ok(table) => Arc::new(table),
                Err(e) => {
                    // Nobody has seen it: whoever brings rows has been waiting.
                    let _ = catalog.drop_stream(&db, &name);
                    return Err(QueryError::Exec(e.to_string()));
                }
            };
            self.tables.add(Arc::clone(&table));
            registry.plan(&stream).table = Some(table);
            Ok(obstacle)
        })?;
        let mut notices = new.notices;
        notices.extend(obstacle);
        self.logged(session, format!("table {name} created"), notices)
            .await
    }

    pub(super) fn drop_table(&self, table: &Table) -> Result<(), QueryError> {
        self.remove_stream(&table.stream)?;
        self.tables.remove(table.stream.id);
        Ok(())
    }

    /// Makes the tables of the catalog, and lets them follow the log.
    pub(super) fn restore_tables(&self) {
        let tables = Arc::clone(&self.tables);
        self.engine().attach(Arc::clone(&tables) as _, |snapshot| {
            tables.restore(snapshot)
        });
        for table in tables.all() {
            self.use_transforms();
            self.transforms.change(|registry| {
                registry.plan(&table.stream).table = Some(Arc::clone(&table));
            });
        }
    }

    /// Takes rows out of a table: those that fulfil the condition as the statement is run.
    pub(super) async fn delete(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        name: &ObjectName,
        predicate: Option<&Expr>,
    ) -> Result<Output, QueryError> {
        let named = EngineSources::new(self, session).named(name);
        let Named::Table(table) = named.map_err(|e| e.locate(sql))? else {
            return Err(BindError::not_yet(name.span(), "DELETE from a stream").locate(sql));
        };
        let schema = table.stream.schema();
        let keys: Vec<_> = table
            .key
            .iter()
            .map(|id| schema.columns[usize::from(id.0)].clone())
            .collect();
        let query = keys_where(name, keys.iter().map(|k| k.name.as_str()), predicate);
        let Output::Rows { rows, notices, .. } = self
            .run(session, sql, Asked::Query(Box::new(query)))
            .await?
        else {
            return Err(QueryError::Internal("a query yielded no rows".to_owned()));
        };
        let deleted = schema.column(TABLE_DELETED).map(|c| c.id);
        let deleted = deleted.ok_or_else(|| QueryError::Internal("no mark".to_owned()))?;
        let mut builder = BatchBuilder::new(table.stream.id);
        let (mut rows, now) = (rows, self.now());
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            // In pieces of one row, as the mark goes beside each.
            for row in 0..batch.num_rows() {
                append(
                    &mut builder,
                    &table.stream,
                    &keys,
                    &batch.slice(row, 1),
                    now,
                )?;
                if let Some(mark) = builder.column(deleted, DataType::Bool) {
                    mark.push_i64(1);
                }
            }
        }
        let count = builder.rows();
        let rows = Rows::from_builder(builder).into_iter().collect();
        let message = format!("{count} rows deleted");
        self.commit(session, rows, message, notices).await
    }
}

/// `SELECT keys FROM name WHERE ..`
fn keys_where<'a>(
    name: &ObjectName,
    keys: impl Iterator<Item = &'a str>,
    predicate: Option<&Expr>,
) -> Query {
    let span = name.span();
    let items = keys.map(|key| {
        let column = ObjectName::single(Ident::quoted(key));
        SelectItem::Expr {
            expr: Expr::new(ExprKind::Column(column), Span::default()),
            alias: None,
        }
    });
    let select = Select {
        distinct: None,
        distinct_at: Place::default(),
        items: items.collect(),
        from: vec![TableRef {
            factor: TableFactor::Table {
                name: name.clone(),
                alias: None,
            },
            joins: Vec::new(),
        }],
        latest_on: None,
        selection: predicate.cloned(),
        window: None,
        group_by: Vec::new(),
        having: None,
        named_windows: Vec::new(),
        qualify: None,
    };
    Query {
        recursive: false,
        ctes: Vec::new(),
        body: SetExpr::Select(Box::new(select)),
        order_by: Vec::new(),
        limit: None,
        offset: None,
        emit: None,
        emit_at: Place::default(),
        span,
    }
}
