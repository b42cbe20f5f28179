//! From syntax tree to plan: names are resolved, types checked, and the tree becomes DataFusion's logical plan or,
//! for grouped queries over one stream, a [`windowed::WindowedAggregate`]. SQL text is never made again.

mod aggregate;
mod bucket;
mod continuous;
mod ddl;
mod derive;
mod expr;
mod from;
mod function;
mod functions;
mod general;
mod grouped;
mod latest;
mod literal;
pub mod nearest;
mod operator;
pub(crate) mod options;
mod over;
mod plan;
mod query;
mod rebase;
mod scope;
mod select;
mod table_ddl;
mod window;
pub mod windowed;

pub use bucket::bucket;
pub use ddl::{NewStream, asked_time, derived_def, stream_def};
pub use derive::{Derived, DerivedColumn, TableLookup, number_of, numbered};
pub use functions::Functions;
pub use literal::{integer_time, timestamp};
pub use options::sink_options;
pub use query::Bound;
pub use scope::Env;
pub use table_ddl::table_def;

use crate::error::{BindError, BindResult};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, TableSource};
use query_lang::ast::{self, NamedWindow, ObjectName, Span};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use windowed::{ContinuousQuery, SourceRef, WindowedAggregate};

/// A table that a name means.
pub struct Table {
    /// The name it is known by unless an alias is given.
    pub name: String,
    /// Its rows.
    pub rows: Arc<dyn TableSource>,
    /// The stream behind it, unless it is a view or a keyed table.
    pub stream: Option<SourceRef>,
    /// The keyed table, if it is one.
    pub keyed: Option<Arc<crate::table::Table>>,
}

/// A request for the last row of each series.
pub struct Latest {
    /// The stream.
    pub source: SourceRef,
    /// The tag columns that make the key, as indices into the stream's schema.
    pub keys: Vec<usize>,
    /// What rows must fulfil to be considered, over unqualified columns.
    pub filter: Option<Expr>,
}

/// Where rows come from: what the binder asks of the engine.
pub trait Sources {
    /// The stream or view of that name.
    fn table(&self, name: &ObjectName) -> BindResult<Table>;

    /// Group rows of `query`, in its group schema, by an operator of Tidemill's own: always when `must`, else only
    /// where that is faster than the general plan.
    fn grouped(&self, query: &Arc<WindowedAggregate>, must: bool) -> Option<Arc<dyn TableSource>>;

    /// The last rows, if there is a way that is faster than the general plan.
    fn latest(&self, latest: Latest) -> Option<Arc<dyn TableSource>>;
}

/// Binds the queries of one statement.
pub struct Binder<'a> {
    sources: &'a dyn Sources,
    functions: &'a Functions,
    /// What `now()` means.
    now_ns: i64,
    /// Whether the query is to be kept up to date, which rules some things out.
    continuous: bool,
    /// Whether `window_start` and its like are in sight.
    in_windowed: Cell<bool>,
    named_windows: RefCell<Vec<NamedWindow>>,
    notices: RefCell<Vec<String>>,
    /// Where aggregates and subqueries stand in the text.
    places: RefCell<Vec<(Expr, Span)>>,
}

impl<'a> Binder<'a> {
    /// A binder for one statement.
    pub fn new(sources: &'a dyn Sources, functions: &'a Functions, now_ns: i64) -> Self {
        Self {
            sources,
            functions,
            now_ns,
            continuous: false,
            in_windowed: Cell::new(false),
            named_windows: RefCell::new(Vec::new()),
            notices: RefCell::new(Vec::new()),
            places: RefCell::new(Vec::new()),
        }
    }

    /// Binds a query for one answer.
    pub fn history(&self, query: &ast::Query) -> BindResult<Bound> {
        self.query(query, &Env::top())
    }

    /// Binds the rows of an `INSERT .. VALUES` for columns of these types.
    pub fn rows(&self, values: &ast::Values, types: &[DataType], span: Span) -> BindResult<Bound> {
        self.values(values, Some(types), span, &Env::top())
    }

    /// Binds a query that is kept up to date: over one stream, grouped or row by row. `now()` and what depends on
    /// all rows at once (order, limit, joins, set operations, window functions) is refused with its place.
    pub fn continuous(mut self, query: &ast::Query) -> BindResult<(ContinuousQuery, Vec<String>)> {
        self.continuous = true;
        let bound = self.continuous_query(query)?;
        Ok((bound, self.notices.into_inner()))
    }

    /// What the user should know about how the statement was understood.
    pub fn into_notices(self) -> Vec<String> {
        self.notices.into_inner()
    }

    /// Notes where an expression stands.
    fn placed(&self, e: Expr, span: Span) -> Expr {
        self.places.borrow_mut().push((e.clone(), span));
        e
    }

    /// Where an aggregate or a subquery stands.
    fn place_of(&self, e: &Expr) -> Option<Span> {
        let places = self.places.borrow();
        places.iter().find(|(p, _)| p == e).map(|(_, span)| *span)
    }

    fn notice(&self, text: impl Into<String>) {
        let text = text.into();
        let mut notices = self.notices.borrow_mut();
        if !notices.contains(&text) {
            notices.push(text);
        }
    }
}

/// A bound expression's error at `span`.
pub(crate) fn df<T>(span: Span, result: datafusion::error::Result<T>) -> BindResult<T> {
    result.map_err(|e| BindError::from_df(span, &e))
}
