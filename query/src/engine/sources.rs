//! Names of streams and views, and the tables behind them.

use super::show::ranges;
use super::{QueryEngine, Session, ViewAnswer, ViewInfo};
use crate::bind::nearest::did_you_mean;
use crate::bind::windowed::{ContinuousQuery, SourceRef, WindowSpec, WindowedAggregate};
use crate::bind::{Latest, Sources, Table};
use crate::error::{BindError, BindErrorKind, BindResult, QueryError};
use crate::history::{
    DenseTable, KeyedTable, LatestTable, OperatorTable, QueryContext, StreamTable, TableSlot,
    ViewScan, ViewSlots, ViewTable,
};
use crate::table::{self, Table as Keyed};
use crate::types::arrow_schema;
use datafusion::catalog::view::ViewTable as PlanTable;
use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableSource};
use parking_lot::Mutex;
use query_lang::ast::{Ident, ObjectName};
use std::sync::Arc;
use tsdb::Stream;

/// The tables of one statement, all of one snapshot.
pub(super) struct EngineSources<'a> {
    engine: &'a Arc<QueryEngine>,
    session: &'a Session,
    pub context: Arc<QueryContext>,
    views: Mutex<Vec<(ViewInfo, Arc<ViewSlots>)>>,
    tables: Mutex<Vec<(Arc<Keyed>, Arc<TableSlot>)>>,
}

/// Where a statement stands.
#[derive(Debug)]
pub(super) struct Fixed {
    /// The commit up to which everything is in all that is read.
    pub lsn: u64,
    /// A view is behind; `lsn` is what it has reached.
    pub lagging: bool,
    /// What the user should know of the views.
    pub notices: Vec<String>,
}

impl Fixed {
    fn at(lsn: u64) -> Self {
        Self {
            lsn,
            lagging: false,
            notices: Vec::new(),
        }
    }

    fn note(&mut self, view: &ViewInfo, answer: &ViewAnswer) {
        if answer.lagging {
            self.lagging = true;
            self.lsn = self.lsn.min(answer.lsn);
            self.notices.push(format!(
                "view \"{}\" is lagging: its rows are those of commit {}",
                view.name, answer.lsn
            ));
        }
        if !answer.pending.is_empty() {
            self.notices.push(format!(
                "windows of view \"{}\" await a repair: {}",
                view.name,
                ranges(&answer.pending)
            ));
        }
    }
}

/// What a name of the catalog means.
pub(super) enum Named {
    Stream(Arc<Stream>),
    Table(Arc<Keyed>),
    View(ViewInfo),
}

impl<'a> EngineSources<'a> {
    pub fn new(engine: &'a Arc<QueryEngine>, session: &'a Session) -> Self {
        Self {
            engine,
            session,
            context: Arc::default(),
            views: Mutex::default(),
            tables: Mutex::default(),
        }
    }

    /// Fixes the snapshot, takes the rows of the tables that were named, and reads what is wanted of the views, all at its
    /// LSN.
    pub async fn fix(
        &self,
        scans: Vec<(Arc<ViewSlots>, ViewScan)>,
        memory: &Arc<dyn MemoryPool>,
    ) -> Result<Fixed, QueryError> {
        let named = std::mem::take(&mut *self.views.lock());
        let mut readers = Vec::new();
        if let Some(runtime) = self.engine.views() {
            for (slots, scan) in scans {
                let Some((view, _)) = named.iter().find(|(_, s)| Arc::ptr_eq(s, &slots)) else {
                    continue;
                };
                let read = scan.to_read(memory);
                let reader = runtime.reader(&view.db, &view.name, &read)?;
                readers.push((view, slots, scan, reader));
            }
        }
        let tables = std::mem::take(&mut *self.tables.lock());
        if readers.is_empty() && tables.is_empty() {
            let snapshot = self.engine.engine().snapshot();
            let lsn = snapshot.lsn().0;
            self.context.fix(snapshot);
            return Ok(Fixed::at(lsn));
        }
        let (snapshot, asked) = self.engine.engine().barrier(|snapshot| {
            tables.iter().for_each(|(table, slot)| slot.fix(table));
            let asked: Vec<_> = readers
                .into_iter()
                .map(|(view, slots, scan, reader)| (view, slots, scan, reader(snapshot)))
                .collect();
            (snapshot.clone(), asked)
        });
        let mut fixed = Fixed::at(snapshot.lsn().0);
        self.context.fix(snapshot);
        for (view, slots, scan, answer) in asked {
            let answer = answer.await?;
            fixed.note(view, &answer);
            slots.fill(scan, answer.rows);
        }
        Ok(fixed)
    }

    /// The stream or view that `name` means.
    pub fn named(&self, name: &ObjectName) -> BindResult<Named> {
        let (db, last) = match name.parts.as_slice() {
            [last] => (self.session.db.clone(), last),
            [db, last] => (self.engine.database(db)?, last),
            _ => {
                return Err(BindError::new(
                    name.span(),
                    "a table's name has two parts at most: database and name",
                ));
            }
        };
        if let Some(stream) = self.stream(&db, last)? {
            return match self.engine.tables.of(stream.id) {
                Some(table) => Ok(Named::Table(table)),
                None if table::is_table(&stream) => {
                    let message = format!("table \"{}\" could not be restored", stream.name);
                    Err(BindError {
                        kind: BindErrorKind::Storage,
                        ..BindError::new(name.span(), message)
                    })
                }
                None => Ok(Named::Stream(stream)),
            };
        }
        if let Some(view) = self.engine.view(&db, last)? {
            return Ok(Named::View(view));
        }
        let names = self.engine.table_names(&db);
        Err(BindError::not_found(
            name.span(),
            format!("there is no stream, table or view \"{}\"", last.value),
        )
        .hint(did_you_mean(&last.value, names.iter().map(String::as_str))))
    }

    fn stream(&self, db: &str, name: &Ident) -> BindResult<Option<Arc<Stream>>> {
        let catalog = self.engine.engine().catalog();
        if name.quoted {
            return Ok(catalog.stream(db, &name.value));
        }
        catalog
            .lookup(db, &name.value)
            .map_err(|e| BindError::new(name.span, e.to_string()))
    }

    fn stream_by(&self, source: &SourceRef) -> Option<Arc<Stream>> {
        self.engine.engine().catalog().stream_by_id(source.id)
    }

    /// The rows of a view that keeps no state: its query over the snapshot.
    fn stateless(&self, view: &ViewInfo) -> BindResult<Option<Arc<dyn TableSource>>> {
        let Some(ContinuousQuery::Rows(query)) = view.query.as_deref() else {
            return Ok(None);
        };
        let Some(stream) = self.stream_by(&query.source) else {
            return Ok(None);
        };
        let table = StreamTable::new(Arc::clone(&self.context), stream, query.source.clone());
        let built = LogicalPlanBuilder::scan(
            query.source.name.as_str(),
            provider_as_source(Arc::new(table)),
            None,
        )
        .and_then(|b| match &query.filter {
            Some(f) => b.filter(f.clone()),
            None => Ok(b),
        })
        .and_then(|b| {
            b.project(query.projection.iter().map(|(e, name)| match e {
                Expr::Column(Column { name: n, .. }) if n == name => e.clone().alias(name),
                other => other.clone().alias(name),
            }))
        })
        .and_then(LogicalPlanBuilder::build);
        let plan = built.map_err(|e| BindError {
            kind: BindErrorKind::Storage,
            ..BindError::new(
                query_lang::ast::Span::default(),
                format!("view \"{}\": {e}", view.name),
            )
        })?;
        Ok(Some(provider_as_source(Arc::new(PlanTable::new(
            plan, None,
        )))))
    }
}

/// A stream as a query sees it now.
pub(crate) fn source_of(stream: &Stream) -> SourceRef {
    let schema = stream.schema();
    SourceRef {
        db: stream.db.clone(),
        name: stream.name.clone(),
        id: stream.id,
        arrow: arrow_schema(&schema),
        schema,
    }
}

impl Sources for EngineSources<'_> {
    fn table(&self, name: &ObjectName) -> BindResult<Table> {
        match self.named(name)? {
            Named::Stream(stream) => {
                let source = source_of(&stream);
                let table = StreamTable::new(
                    Arc::clone(&self.context),
                    Arc::clone(&stream),
                    source.clone(),
                );
                Ok(Table {
                    name: stream.name.clone(),
                    rows: provider_as_source(Arc::new(table)),
                    stream: Some(source),
                    keyed: None,
                })
            }
            Named::Table(table) => {
                let slot = Arc::new(TableSlot::default());
                let rows = KeyedTable::new(&table, Arc::clone(&slot));
                self.tables.lock().push((Arc::clone(&table), slot));
                Ok(Table {
                    name: table.stream.name.clone(),
                    rows: provider_as_source(Arc::new(rows)),
                    stream: None,
                    keyed: Some(table),
                })
            }
            Named::View(view) => {
                let Some(query) = view.query.clone() else {
                    let message = format!("view \"{}\" is {}", view.name, view.state);
                    return Err(BindError::new(name.span(), message));
                };
                if let Some(rows) = self.stateless(&view)? {
                    return Ok(Table {
                        name: view.name,
                        rows,
                        stream: None,
                        keyed: None,
                    });
                }
                let slots = Arc::new(ViewSlots::default());
                let table = ViewTable::new(view.name.clone(), query, Arc::clone(&slots));
                let name = view.name.clone();
                self.views.lock().push((view, slots));
                Ok(Table {
                    name,
                    rows: provider_as_source(Arc::new(table)),
                    stream: None,
                    keyed: None,
                })
            }
        }
    }

    fn grouped(&self, query: &Arc<WindowedAggregate>, must: bool) -> Option<Arc<dyn TableSource>> {
        let stream = self.stream_by(&query.source)?;
        if query.window == WindowSpec::None
            && let Some(dense) = DenseTable::new(
                Arc::clone(&self.context),
                Arc::clone(&stream),
                Arc::clone(query),
            )
        {
            return Some(provider_as_source(Arc::new(dense)));
        }
        must.then(|| {
            provider_as_source(Arc::new(OperatorTable::new(
                Arc::clone(&self.context),
                stream,
                Arc::clone(query),
            )))
        })
    }

    fn latest(&self, latest: Latest) -> Option<Arc<dyn TableSource>> {
        let stream = self.stream_by(&latest.source)?;
        let table = LatestTable::new(Arc::clone(&self.context), stream, latest)?;
        Some(provider_as_source(Arc::new(table)))
    }
}

impl QueryEngine {
    /// The database that a name means.
    pub(super) fn database(&self, name: &Ident) -> BindResult<String> {
        let all = self.engine().catalog().databases();
        if let Some(exact) = all.iter().find(|d| **d == name.value) {
            return Ok(exact.clone());
        }
        let mut folded = all.iter().filter(|d| name.matches(d));
        match (folded.next(), folded.next()) {
            (Some(one), None) => Ok(one.clone()),
            (Some(a), Some(b)) => Err(BindError::new(
                name.span,
                format!("\"{}\" may mean \"{a}\" or \"{b}\"", name.value),
            )),
            (None, _) => Err(BindError::not_found(
                name.span,
                format!("there is no database \"{}\"", name.value),
            )
            .hint(did_you_mean(&name.value, all.iter().map(String::as_str)))),
        }
    }

    pub(super) fn database_named(&self, name: &Ident, sql: &str) -> Result<String, QueryError> {
        self.database(name).map_err(|e| e.locate(sql))
    }

    /// The view that a name means: the exact one, else the only one that differs in case alone.
    pub(super) fn view(&self, db: &str, name: &Ident) -> BindResult<Option<ViewInfo>> {
        let Some(views) = self.views() else {
            return Ok(None);
        };
        if let Some(exact) = views.get(db, &name.value) {
            return Ok(Some(exact));
        }
        let mut folded = views
            .list()
            .into_iter()
            .filter(|v| v.db == db && name.matches(&v.name));
        match (folded.next(), folded.next()) {
            (Some(a), Some(b)) => Err(BindError::new(
                name.span,
                format!(
                    "\"{}\" may mean \"{}\" or \"{}\"",
                    name.value, a.name, b.name
                ),
            )),
            (found, _) => Ok(found),
        }
    }

    /// Names of the streams and views of a database.
    pub(super) fn table_names(&self, db: &str) -> Vec<String> {
        let streams = self
            .engine()
            .catalog()
            .streams()
            .into_iter()
            .filter(|s| s.db == db)
            .map(|s| s.name.clone());
        let views = self.views().map_or_else(Vec::new, |v| v.list());
        streams
            .chain(views.into_iter().filter(|v| v.db == db).map(|v| v.name))
            .collect()
    }
}
