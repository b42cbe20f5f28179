//! Statements.

use super::{DataType, Expr, Ident, Literal, ObjectName, Query, Select, Span, Values};

/// One statement and where it stands (without its semicolon).
#[derive(Debug, Clone)]
pub struct Statement {
    /// What it says.
    pub kind: StatementKind,
    /// Where it stands.
    pub span: Span,
}

impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    /// `CREATE DATABASE [IF NOT EXISTS] name`
    CreateDatabase {
        /// The new database.
        name: Ident,
        /// Whether an existing one is no error.
        if_not_exists: bool,
    },
    /// `CREATE STREAM ..`
    CreateStream(Box<CreateStream>),
    /// `CREATE [OR REPLACE] TABLE ..`
    CreateTable(CreateTable),
    /// `CREATE [OR REPLACE] [MATERIALIZED] VIEW .. AS ..`
    CreateView(CreateView),
    /// `CREATE SINK ..`
    CreateSink(CreateSink),
    /// `INSERT INTO ..`, `UPSERT INTO ..`
    Insert(Insert),
    /// `DELETE FROM table [WHERE ..]`
    Delete {
        /// Where from.
        table: ObjectName,
        /// Which rows; all when absent.
        predicate: Option<Expr>,
    },
    /// A query that stands by itself.
    Query(Box<Query>),
    /// `SHOW ..`
    Show {
        /// What to list.
        kind: ShowKind,
        /// `LIKE '..'`: which names to list.
        like: Option<String>,
    },
    /// `DESCRIBE name`
    Describe {
        /// What to describe.
        name: ObjectName,
    },
    /// `DROP STREAM | TABLE | VIEW | SINK | DATABASE [IF EXISTS] name`
    Drop {
        /// What kind of thing it is said to be.
        kind: DropKind,
        /// Its name.
        name: ObjectName,
        /// Whether a missing one is no error.
        if_exists: bool,
    },
    /// `EXPLAIN [ANALYZE] [VERBOSE] statement`
    Explain {
        /// Whether to run it and report what happened.
        analyze: bool,
        /// Whether to show the plan's details.
        verbose: bool,
        /// What to explain; never itself an `EXPLAIN`.
        statement: Box<Statement>,
    },
    /// `REPLAY DEAD LETTERS [FROM stream] [WHERE ..]`
    ReplayDeadLetters {
        /// Whose letters; those of every stream when absent.
        stream: Option<ObjectName>,
        /// Which of them; all when absent.
        predicate: Option<Expr>,
    },
    /// `PAUSE SOURCE stream`
    PauseSource {
        /// The stream whose source is to stop reading.
        stream: ObjectName,
    },
    /// `RESUME SOURCE stream`
    ResumeSource {
        /// The stream whose source is to go on reading.
        stream: ObjectName,
    },
    /// `USE database`
    Use {
        /// The database that unqualified names mean from now on.
        database: Ident,
    },
    /// `SET name = value`
    Set {
        /// The setting.
        name: ObjectName,
        /// Its new value.
        value: Literal,
    },
}

/// `CREATE STREAM [IF NOT EXISTS] name [(columns)] [WITH (options)] [WHERE ..] [SAMPLE ..] [PRIORITY ..]`, or
/// `CREATE STREAM [IF NOT EXISTS] name [WITH (options)] AS SELECT .. [SAMPLE ..]`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateStream {
    /// The new stream.
    pub name: ObjectName,
    /// Declared columns, maybe none; always none with `derived`.
    pub columns: Vec<ColumnDef>,
    /// `WITH (..)`, in the order written.
    pub options: Vec<SqlOption>,
    /// Whether an existing one is no error.
    pub if_not_exists: bool,
    /// `AS SELECT ..`: what its rows are made from as rows of another stream come in.
    pub derived: Option<Box<Select>>,
    /// `WHERE ..` behind the options: which incoming rows are kept; absent with `derived`, whose own `WHERE` says it.
    pub filter: Option<Expr>,
    /// `SAMPLE ..`: which part of them is kept.
    pub sample: Option<Sample>,
    /// `PRIORITY ..`: how much each row matters when not all can be taken; absent with `derived`.
    pub priority: Option<Expr>,
}

/// `SAMPLE n PERCENT [BY a, b]`
#[derive(Debug, Clone)]
pub struct Sample {
    /// How many of a hundred: digits with or without a point, above 0 and at most 100.
    pub percent: Literal,
    /// Rows that are equal in these are kept or left out together; each row by itself when empty.
    pub by: Vec<Expr>,
    /// Where it stands.
    pub span: Span,
}

impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        self.percent == other.percent && self.by == other.by
    }
}

/// `CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name (columns, PRIMARY KEY (a, b)) [WITH (options)]`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// The new table.
    pub name: ObjectName,
    /// Its columns; at least one.
    pub columns: Vec<ColumnDef>,
    /// The columns that tell rows apart, also when written behind a column's type; maybe none.
    pub primary_key: Vec<Ident>,
    /// `WITH (..)`, in the order written.
    pub options: Vec<SqlOption>,
    /// Whether an existing one is no error.
    pub if_not_exists: bool,
    /// Whether an existing one gives way.
    pub or_replace: bool,
}

/// `CREATE SINK [IF NOT EXISTS] name FROM stream [WITH (options)]`, or `.. AS query [WITH (options)]`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSink {
    /// The new sink.
    pub name: ObjectName,
    /// What it sends.
    pub source: SinkSource,
    /// `WITH (..)`, in the order written.
    pub options: Vec<SqlOption>,
    /// Whether an existing one is no error.
    pub if_not_exists: bool,
}

/// What a sink sends.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkSource {
    /// `FROM name`: the rows of a stream, or the changes of a view.
    Named(ObjectName),
    /// `AS query`: the changes of a continuous query.
    Query(Box<Query>),
}

/// One declared column.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    /// Its name; a dotted one (`properties.page`) is one name here.
    pub name: Ident,
    /// Its type.
    pub data_type: DataType,
    /// Whether `TAG` follows the type: part of the series key.
    pub tag: bool,
    /// Whether `NOT NULL` follows the type.
    pub not_null: bool,
    /// Where the definition stands.
    pub span: Span,
}

impl PartialEq for ColumnDef {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.data_type == other.data_type
            && self.tag == other.tag
            && self.not_null == other.not_null
    }
}

/// `name = value` inside `WITH (..)`.
#[derive(Debug, Clone)]
pub struct SqlOption {
    /// The option's name as written, dots included.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// Its value. A bare word stands for its text, a bare `5 SECONDS` for the interval.
    pub value: Literal,
    /// Where the value stands.
    pub value_span: Span,
}

impl PartialEq for SqlOption {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

/// `CREATE [OR REPLACE] [MATERIALIZED] VIEW [IF NOT EXISTS] name [(columns)] [WITH (options)] AS query`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// The new view.
    pub name: ObjectName,
    /// Names for the query's columns, maybe none.
    pub columns: Vec<Ident>,
    /// `WITH (..)`, in the order written.
    pub options: Vec<SqlOption>,
    /// Whether an existing one is no error.
    pub if_not_exists: bool,
    /// Whether an existing one gives way.
    pub or_replace: bool,
    /// Whether `MATERIALIZED` was said.
    pub materialized: bool,
    /// What the view holds.
    pub query: Box<Query>,
}

/// `INSERT | UPSERT INTO table [(columns)] VALUES .. | query`
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// Where to.
    pub table: ObjectName,
    /// The columns the source's values are for; all, in order, when empty.
    pub columns: Vec<Ident>,
    /// The rows.
    pub source: InsertSource,
    /// Whether `UPSERT` was said: the target is a table.
    pub upsert: bool,
}

/// Where inserted rows come from.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    /// `VALUES (..), (..)`
    Values(Values),
    /// A query.
    Query(Box<Query>),
}

/// What `SHOW` lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShowKind {
    /// `SHOW STREAMS`
    Streams,
    /// `SHOW VIEWS`
    Views,
    /// `SHOW DATABASES`
    Databases,
    /// `SHOW TABLES`
    Tables,
    /// `SHOW COLUMNS FROM name`
    Columns {
        /// Whose columns.
        of: ObjectName,
    },
    /// `SHOW FUNCTIONS`
    Functions,
    /// `SHOW QUERIES`
    Queries,
    /// `SHOW SOURCES`
    Sources,
    /// `SHOW SINKS`
    Sinks,
}

/// What `DROP` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropKind {
    /// `DROP STREAM`
    Stream,
    /// `DROP TABLE`
    Table,
    /// `DROP SINK`
    Sink,
    /// `DROP [MATERIALIZED] VIEW`
    View,
    /// `DROP DATABASE`
    Database,
}
