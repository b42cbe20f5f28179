//! The functions that queries may call.

use datafusion::catalog::TableFunction;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names that the language has besides DataFusion's.
const OWN: &[&str] = &[
    "approx_percentile",
    "collect_list",
    "collect_set",
    "cumulate",
    "first",
    "hop",
    "last",
    "percentile",
    "session",
    "session_end",
    "session_start",
    "time_bucket",
    "tumble",
    "window_end",
    "window_start",
];

/// The functions that queries may call, looked up by lower-case name.
pub struct Functions {
    state: Arc<SessionState>,
    names: Vec<String>,
}

impl Functions {
    /// The functions registered with `state`.
    #[must_use]
    pub fn new(state: SessionState) -> Self {
        let mut names: BTreeSet<String> = OWN.iter().map(|n| (*n).to_owned()).collect();
        names.extend(state.scalar_functions().keys().cloned());
        names.extend(state.aggregate_functions().keys().cloned());
        names.extend(state.window_functions().keys().cloned());
        Self {
            state: Arc::new(state),
            names: names.into_iter().collect(),
        }
    }

    /// The scalar function of that name.
    #[must_use]
    pub fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    /// The aggregate function of that name.
    #[must_use]
    pub fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    /// The window function of that name.
    #[must_use]
    pub fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    /// The table function of that name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<Arc<TableFunction>> {
        self.state.table_functions().get(name).cloned()
    }

    /// What the functions are registered with.
    #[must_use]
    pub fn state(&self) -> &Arc<SessionState> {
        &self.state
    }

    /// All names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether a name is of the kind `scalar`, `aggregate` or `window`.
    #[must_use]
    pub fn kind(&self, name: &str) -> &'static str {
        const AGGREGATES: &[&str] = &[
            "approx_percentile",
            "collect_list",
            "collect_set",
            "first",
            "last",
            "percentile",
        ];
        if self.aggregate(name).is_some() || AGGREGATES.contains(&name) {
            "aggregate"
        } else if self.window(name).is_some() {
            "window"
        } else {
            "scalar"
        }
    }
}
