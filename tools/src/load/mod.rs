//! `tidemill load`: renders a workload and writes it to a server, Tidemill or any other that takes the same bodies,
//! and reports what was acknowledged: rows, rate, latency, and the sums by which SQL can check them.
//!
//! Closed loop: each connection sends when its last request is acknowledged. With `--rate` the schedule is fixed
//! instead and latency counts from the moment a request was due, so that a stalled server can't hide its stall.

mod args;
mod connection;
mod drive;
mod one_row;
mod purchases;
mod report;
mod response;
mod tsbs;
mod verify;

pub use args::LoadArgs;

use args::Workload;

/// Runs a workload to its end and prints the summary.
///
/// # Errors
/// When the server can't be reached or refuses a request for another reason than being busy, or when a sampled row
/// that was acknowledged can't be read.
pub fn run(args: LoadArgs) -> anyhow::Result<()> {
    match args.workload {
        Workload::Tsbs(args) => {
            let source = tsbs::Source::new(&args.data, args.common.seed)?;
            drive::run(
                source,
                &args.common,
                args.batch,
                args.connections,
                tsbs::PATH,
                "text/plain; charset=utf-8",
            )
        }
        Workload::Purchases(args) => {
            let source = purchases::Source::new(&args.data, args.common.seed)?;
            drive::run(
                source,
                &args.common,
                args.batch,
                args.connections,
                purchases::PATH,
                "application/x-ndjson",
            )
        }
        Workload::OneRow(args) => one_row::run(&args),
    }
}
