//! The command line of `tidemill load`.

use clap::{Args, Subcommand};

/// Write a workload to a server and report what it acknowledged.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// What to write.
    #[command(subcommand)]
    pub(super) workload: Workload,
}

#[derive(Debug, Subcommand)]
pub(super) enum Workload {
    /// TSBS cpu-only in line protocol: 10 tags, 10 integer fields, every host once per tick
    Tsbs(TsbsArgs),
    /// Purchases in NDJSON, a few of them by fraudsters who buy in many cities
    Purchases(PurchasesArgs),
    /// One TSBS row per request over many keep-alive connections
    OneRow(OneRowArgs),
}

/// What all workloads have.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// Where the server listens
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    pub url: String,
    /// Path and query of the write route [default: Tidemill's own for the workload]
    #[arg(long)]
    pub path: Option<String>,
    /// Stop after so many seconds [default: 10 without --rows]
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Stop after so many rows
    #[arg(long)]
    pub rows: Option<u64>,
    /// Rows per second on a fixed schedule; latency then counts from when a request was due
    #[arg(long)]
    pub rate: Option<f64>,
    /// Sent as `Authorization: Token ..`
    #[arg(long, env = "TIDEMILL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Seed of the data
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Read so many acknowledged rows back by SQL, each at once and without retry
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub verify_sample: u64,
    /// Path of the SQL route for --verify-sample
    #[arg(long, default_value = "/api/v1/sql?db=benchmark")]
    pub verify_path: String,
    /// Print one JSON object and no progress
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TsbsArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub data: TsbsData,
    /// Rows per request
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
}

/// The shape of TSBS data.
#[derive(Debug, Clone, Args)]
pub(super) struct TsbsData {
    /// Hosts
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub hosts: u32,
    /// Time of the first tick, RFC 3339
    #[arg(long, default_value = "2016-01-01T00:00:00Z")]
    pub start: String,
    /// Seconds between ticks
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub interval: u32,
    /// Write each row's fields in an order of its own
    #[arg(long)]
    pub shuffle_fields: bool,
    /// Leave some fields out in so many percent of the rows
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub drop_fields: u8,
}

#[derive(Debug, Args)]
pub(super) struct PurchasesArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub data: PurchasesData,
    /// Rows per request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
}

/// The shape of purchases.
#[derive(Debug, Clone, Args)]
pub(super) struct PurchasesData {
    /// Honest users, each of whom buys in one city
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub users: u32,
    /// Fraudsters, each of whom goes from city to city
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub fraudsters: u32,
    /// One purchase in so many is a fraudster's
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub fraud_every: u32,
    /// Event time of the first purchase, RFC 3339 [default: now]
    #[arg(long)]
    pub start: Option<String>,
    /// Milliseconds of event time between purchases
    #[arg(long, default_value_t = 10)]
    pub interval_ms: u32,
}

#[derive(Debug, Args)]
pub(super) struct OneRowArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub data: TsbsData,
    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub connections: u32,
}
