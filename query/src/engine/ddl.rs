//! Creating and dropping databases, streams and views.

use super::sources::{EngineSources, Named};
use super::{Output, QueryEngine, Session, ViewInfo};
use crate::bind::windowed::ContinuousQuery;
use crate::error::{BindError, BindResult, QueryError};
use query_lang::ast::{
    CreateStream, CreateView, DropKind, Ident, ObjectName, Statement, StatementKind,
};
use std::collections::HashSet;
use std::sync::Arc;
use tsdb::ledger::KeyedReply;
use tsdb::{Error, Request, Rows};

impl QueryEngine {
    pub(super) async fn ddl(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        statement: &Statement,
    ) -> Result<Output, QueryError> {
        match &statement.kind {
            StatementKind::CreateDatabase {
                name,
                if_not_exists,
            } => {
                if !self.engine().catalog().ensure_database(&name.value) && !if_not_exists {
                    return Err(QueryError::Conflict(format!(
                        "database \"{}\" exists already",
                        name.value
                    )));
                }
                self.logged(
                    session,
                    format!("database {} created", name.value),
                    Vec::new(),
                )
                .await
            }
            StatementKind::CreateStream(create) => self.create_stream(session, sql, create).await,
            StatementKind::CreateTable(create) => self.create_table(session, sql, create).await,
            StatementKind::CreateView(create) => self.create_view(session, sql, create).await,
            StatementKind::CreateSink(create) => self.create_sink(session, sql, create).await,
            StatementKind::Drop {
                kind: DropKind::Sink,
                name,
                if_exists,
            } => self.drop_sink(session, sql, name, *if_exists).await,
            StatementKind::Drop {
                kind,
                name,
                if_exists,
            } => self.drop_named(session, sql, *kind, name, *if_exists).await,
            _ => Err(super::not_yet(sql, statement, "this statement")),
        }
    }

    /// Makes what the catalog now says durable, with the reply if the request bears a key.
    pub(super) async fn logged(
        &self,
        session: &Session,
        message: impl Into<String>,
        notices: Vec<String>,
    ) -> Result<Output, QueryError> {
        self.commit(session, Vec::new(), message.into(), notices)
            .await
    }

    /// Commits rows, with the reply if the request bears a key.
    pub(super) async fn commit(
        &self,
        session: &Session,
        rows: Vec<Rows>,
        message: String,
        notices: Vec<String>,
    ) -> Result<Output, QueryError> {
        let keyed = session.keyed.map(|keyed| KeyedReply {
            key: keyed.key,
            request: keyed.request,
            reply: (keyed.reply)(&message, &notices).into(),
        });
        let request = Request {
            rows,
            keyed,
            ..Request::default()
        };
        let committed = self.engine().commit_async(request).await;
        let lsn = committed.map_err(engine_error)?;
        Ok(self.done(message, lsn, notices))
    }

    /// The database and the name that a new thing is to have.
    pub(super) fn place(
        &self,
        session: &Session,
        sql: &str,
        name: &ObjectName,
    ) -> Result<(String, String), QueryError> {
        match name.parts.as_slice() {
            [only] => Ok((session.db.clone(), only.value.clone())),
            [db, last] => Ok((self.database_named(db, sql)?, last.value.clone())),
            _ => {
                let message = "a name has two parts at most: database and name";
                Err(BindError::new(name.span(), message).locate(sql))
            }
        }
    }

    async fn create_stream(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        create: &CreateStream,
    ) -> Result<Output, QueryError> {
        let (db, name) = self.place(session, sql, &create.name)?;
        let catalog = self.engine().catalog();
        if create.if_not_exists && catalog.stream(&db, &name).is_some() {
            let notice = format!("stream {name} exists already");
            return Ok(self.done("nothing to do", self.engine().published(), vec![notice]));
        }
        if self.views().is_some_and(|v| v.get(&db, &name).is_some()) {
            return Err(QueryError::Conflict(format!("\"{name}\" is a view")));
        }
        let incoming = self.incoming(session, sql, create)?;
        let mut notices = incoming.new.notices.clone();
        self.make_stream(create, (&db, &name), session, incoming)?;
        notices.extend(self.declare_source(&db, &name));
        self.logged(session, format!("stream {name} created"), notices)
            .await
    }

    async fn create_view(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        create: &CreateView,
    ) -> Result<Output, QueryError> {
        let Some(views) = self.views() else {
            return Err(
                BindError::not_yet(create.name.span(), "a view on this server").locate(sql),
            );
        };
        if let Some(option) = create.options.first() {
            return Err(BindError::not_yet(option.name_span, "an option of a view").locate(sql));
        }
        let (db, name) = self.place(session, sql, &create.name)?;
        if self.engine().catalog().stream(&db, &name).is_some() {
            return Err(QueryError::Conflict(format!("\"{name}\" is a stream")));
        }
        if create.if_not_exists && views.get(&db, &name).is_some() {
            let notice = format!("view {name} exists already");
            return Ok(self.done("nothing to do", self.engine().published(), vec![notice]));
        }
        let (query, notices) = self.bind_continuous(session, sql, &create.query)?;
        let columns = column_names(&create.columns, &query).map_err(|e| e.locate(sql))?;
        let text = create.query.to_string();
        let job = {
            let (name, replace) = (name.clone(), create.or_replace);
            async move {
                tokio::task::spawn_blocking(move || {
                    views.create(&db, &name, query, &text, &columns, replace)
                })
                .await
                .map_err(|e| QueryError::Internal(format!("create a view: {e}")))?
            }
        };
        // A view over much history takes its time; the limit of queries is not meant for it.
        self.on_pool(std::time::Duration::from_secs(24 * 3600), job)
            .await?;
        self.logged(session, format!("view {name} created"), notices)
            .await
    }

    async fn drop_named(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        kind: DropKind,
        name: &ObjectName,
        if_exists: bool,
    ) -> Result<Output, QueryError> {
        if kind == DropKind::Database {
            return Err(BindError::not_yet(name.span(), "DROP DATABASE").locate(sql));
        }
        let found = {
            let sources = EngineSources::new(self, session);
            sources.named(name).map_err(|e| e.locate(sql))
        };
        let found = match found {
            Err(QueryError::NotFound { message, .. }) if if_exists => {
                return Ok(self.done("nothing to do", self.engine().published(), vec![message]));
            }
            other => other?,
        };
        let message = match (kind, found) {
            (DropKind::Stream, Named::Stream(stream)) => {
                let using = self.views().map_or_else(Vec::new, |v| v.list());
                let reads = |v: &&ViewInfo| {
                    let query = v.query.as_ref();
                    query.is_some_and(|q| q.source().id == stream.id)
                };
                if let Some(view) = using.iter().find(reads) {
                    let message = format!(
                        "view \"{}\" reads stream \"{}\": drop it first",
                        view.name, stream.name
                    );
                    return Err(QueryError::Conflict(message));
                }
                self.unread(&stream.db, &stream.name)?;
                self.remove_stream(&stream)?;
                if let Some(views) = self.views() {
                    views.stream_dropped(stream.id);
                }
                format!("stream {} dropped", stream.name)
            }
            (DropKind::View, Named::View(view)) => {
                self.unread(&view.db, &view.name)?;
                if let Some(views) = self.views() {
                    views.drop_view(&view.db, &view.name)?;
                }
                format!("view {} dropped", view.name)
            }
            (DropKind::Table, Named::Table(table)) => {
                self.drop_table(&table)?;
                format!("table {} dropped", table.stream.name)
            }
            (_, Named::Table(table)) => {
                return Err(BindError::new(
                    name.span(),
                    format!("\"{}\" is a table: write DROP TABLE", table.stream.name),
                )
                .locate(sql));
            }
            (_, Named::Stream(s)) => {
                return Err(BindError::new(
                    name.span(),
                    format!("\"{}\" is a stream: write DROP STREAM", s.name),
                )
                .locate(sql));
            }
            (_, Named::View(v)) => {
                return Err(BindError::new(
                    name.span(),
                    format!("\"{}\" is a view: write DROP VIEW", v.name),
                )
                .locate(sql));
            }
        };
        self.logged(session, message, Vec::new()).await
    }
}

/// The names that a view gives its first columns.
fn column_names(list: &[Ident], query: &ContinuousQuery) -> BindResult<Vec<String>> {
    let fields = query.output().fields();
    if let Some(more) = list.get(fields.len()) {
        let message = format!("{} column names for {} columns", list.len(), fields.len());
        return Err(BindError::new(more.span, message));
    }
    let others = fields.iter().skip(list.len()).map(|f| f.name().as_str());
    let mut seen: HashSet<&str> = others.collect();
    for name in list {
        if !seen.insert(&name.value) {
            let message = format!("there are two columns \"{}\"", name.value);
            return Err(BindError::new(name.span, message));
        }
    }
    Ok(list.iter().map(|n| n.value.clone()).collect())
}

/// The engine's error as a statement's.
pub(super) fn engine_error(e: Error) -> QueryError {
    match e {
        Error::StreamExists(_) => QueryError::Conflict(e.to_string()),
        Error::StreamNotFound(_) | Error::UnknownStream(_) => QueryError::Conflict(e.to_string()),
        Error::Refused(_)
        | Error::InvalidDefinition(_)
        | Error::TypeConflict { .. }
        | Error::AmbiguousName { .. } => QueryError::Exec(e.to_string()),
        Error::Overloaded { .. } | Error::Closed | Error::Unready(_) => {
            QueryError::Busy(e.to_string())
        }
        other => QueryError::Storage(other.to_string()),
    }
}
