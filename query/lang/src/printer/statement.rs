//! Statements.

use std::fmt::{self, Display, Formatter};

use super::names::quoted;
use super::{clause, in_parens, list};
use crate::ast::{CreateView, DropKind, Insert, InsertSource, ShowKind, Statement, StatementKind};

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)
    }
}

pub(super) fn if_not_exists(given: bool) -> &'static str {
    if given { "IF NOT EXISTS " } else { "" }
}

impl Display for StatementKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            StatementKind::CreateDatabase {
                name,
                if_not_exists: lenient,
            } => {
                write!(f, "CREATE DATABASE {}{name}", if_not_exists(*lenient))
            }
            StatementKind::CreateStream(create) => write!(f, "{create}"),
            StatementKind::CreateTable(create) => write!(f, "{create}"),
            StatementKind::CreateView(create) => write!(f, "{create}"),
            StatementKind::CreateSink(create) => write!(f, "{create}"),
            StatementKind::Insert(insert) => write!(f, "{insert}"),
            StatementKind::Delete { table, predicate } => {
                write!(f, "DELETE FROM {table}")?;
                clause(f, " WHERE ", predicate)
            }
            StatementKind::Query(query) => write!(f, "{query}"),
            StatementKind::Show { kind, like } => {
                write!(f, "SHOW {kind}")?;
                match like {
                    Some(like) => {
                        f.write_str(" LIKE ")?;
                        quoted(f, like, '\'')
                    }
                    None => Ok(()),
                }
            }
            StatementKind::Describe { name } => write!(f, "DESCRIBE {name}"),
            StatementKind::Drop {
                kind,
                name,
                if_exists,
            } => {
                let kind = match kind {
                    DropKind::Stream => "STREAM",
                    DropKind::Table => "TABLE",
                    DropKind::Sink => "SINK",
                    DropKind::View => "VIEW",
                    DropKind::Database => "DATABASE",
                };
                write!(
                    f,
                    "DROP {kind} {}{name}",
                    if *if_exists { "IF EXISTS " } else { "" }
                )
            }
            StatementKind::Explain {
                analyze,
                verbose,
                statement,
            } => {
                let analyze = if *analyze { "ANALYZE " } else { "" };
                let verbose = if *verbose { "VERBOSE " } else { "" };
                write!(f, "EXPLAIN {analyze}{verbose}{statement}")
            }
            StatementKind::ReplayDeadLetters { stream, predicate } => {
                f.write_str("REPLAY DEAD LETTERS")?;
                clause(f, " FROM ", stream)?;
                clause(f, " WHERE ", predicate)
            }
            StatementKind::PauseSource { stream } => write!(f, "PAUSE SOURCE {stream}"),
            StatementKind::ResumeSource { stream } => write!(f, "RESUME SOURCE {stream}"),
            StatementKind::Use { database } => write!(f, "USE {database}"),
            StatementKind::Set { name, value } => write!(f, "SET {name} = {value}"),
        }
    }
}

impl Display for ShowKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ShowKind::Streams => "STREAMS",
            ShowKind::Views => "VIEWS",
            ShowKind::Databases => "DATABASES",
            ShowKind::Tables => "TABLES",
            ShowKind::Columns { of } => return write!(f, "COLUMNS FROM {of}"),
            ShowKind::Functions => "FUNCTIONS",
            ShowKind::Queries => "QUERIES",
            ShowKind::Sources => "SOURCES",
            ShowKind::Sinks => "SINKS",
        })
    }
}

impl Display for CreateView {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let replace = if self.or_replace { "OR REPLACE " } else { "" };
        let materialized = if self.materialized {
            "MATERIALIZED "
        } else {
            ""
        };
        let lenient = if_not_exists(self.if_not_exists);
        write!(
            f,
            "CREATE {replace}{materialized}VIEW {lenient}{}",
            self.name
        )?;
        in_parens(f, " ", &self.columns)?;
        in_parens(f, " WITH ", &self.options)?;
        write!(f, " AS {}", self.query)
    }
}

impl Display for Insert {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verb = if self.upsert { "UPSERT" } else { "INSERT" };
        write!(f, "{verb} INTO {}", self.table)?;
        if !self.columns.is_empty() {
            f.write_str(" (")?;
            list(f, &self.columns, ", ")?;
            f.write_str(")")?;
        }
        match &self.source {
            InsertSource::Values(values) => write!(f, " {values}"),
            InsertSource::Query(query) => write!(f, " {query}"),
        }
    }
}
