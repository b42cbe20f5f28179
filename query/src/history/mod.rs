//! Answers from a snapshot: tables over it, and the fast ways to grouped rows and to last rows.

mod context;
mod convert;
mod dense;
mod exec;
mod keyed;
mod latest;
mod operator;
mod percentile;
mod pushdown;
mod table;
mod view_rows;

pub use context::{QueryContext, ScanReport};
pub use dense::DenseTable;
pub use keyed::{KeyedTable, TableSlot};
pub use latest::LatestTable;
pub use operator::OperatorTable;
pub use percentile::percentiles;
pub use table::StreamTable;
pub use view_rows::{ViewScan, ViewSlots, ViewTable, scan_of, view_scans};
