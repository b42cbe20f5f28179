//! The syntax tree: plain structs and enums, one file per kind of node.
//!
//! What holds for the whole tree:
//! - Equality ignores spans (and only spans): two texts that mean the same parse to equal trees.
//! - A tree that came out of the parser is shallow: its depth is bounded, and long operator runs
//!   (`a + b + c ..`, `p OR q OR ..`, `q1 UNION q2 ..`, `t JOIN u JOIN ..`) are flat lists. Walking
//!   it recursively is therefore safe.
//! - Names keep the case they were written in; whether they were quoted is kept beside them.

mod expr;
mod function;
mod ident;
mod interval;
mod literal;
mod query;
mod span;
mod statement;
mod table;
mod types;
mod window;

pub use expr::{BinaryOp, CaseBranch, Expr, ExprKind, IsTest, TrimSide, UnaryOp};
pub use function::{
    ArgValue, FrameBound, FrameUnits, FunctionArg, FunctionCall, NullTreatment, Over, WindowFrame,
    WindowSpec,
};
pub use ident::{Ident, ObjectName};
pub use interval::{Interval, NANOS_PER_DAY, NANOS_PER_SECOND};
pub use literal::Literal;
pub use query::{
    Cte, Distinct, Emit, LatestOn, NamedWindow, OrderItem, Query, Select, SelectItem, SetArm,
    SetExpr, SetOp, Values,
};
pub use span::{Place, Span, line_column};
pub use statement::{
    ColumnDef, CreateSink, CreateStream, CreateTable, CreateView, DropKind, Insert, InsertSource,
    Sample, ShowKind, SinkSource, SqlOption, Statement, StatementKind,
};
pub use table::{
    Join, JoinConstraint, JoinKind, JoinWithin, TableAlias, TableFactor, TableRef, WindowedTable,
};
pub use types::DataType;
pub use window::{WindowClause, WindowKind};
