//! `GET /api/v1/sources`, and what sources and sinks add to `/metrics`.

use super::App;
use super::params::Params;
use super::reply::json_of;
use crate::metrics::{Page, label};
use axum::extract::{Request, State};
use axum::response::Response;
use ingest::source::{SourceState, SourceStatus};
use query::transform::Counts;
use query::{SinkBoard, SinkInfo};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Serialize)]
struct Source {
    database: String,
    stream: String,
    kind: &'static str,
    source: String,
    state: &'static str,
    error: Option<String>,
    messages: u64,
    bytes: u64,
    rows: u64,
    rejected: u64,
    last_rejection: Option<String>,
    repeated: u64,
    batches: u64,
    /// Of the last batch.
    batch_rows: usize,
    in_flight: usize,
    commit_ms: f64,
    lag: Option<u64>,
    partitions: Vec<Partition>,
}

#[derive(Serialize)]
struct Partition {
    partition: String,
    position: u64,
    end: Option<u64>,
    lag: Option<u64>,
    error: Option<String>,
}

fn describe(s: &SourceStatus) -> Source {
    let (state, error) = s.state();
    let get = |v: &AtomicU64| v.load(Ordering::Relaxed);
    let partitions = s.partitions().into_iter().map(|(partition, p)| Partition {
        partition,
        position: get(&p.next),
        end: p.end(),
        lag: p.lag(),
        error: p.trouble(),
    });
    Source {
        database: s.db.clone(),
        stream: s.stream.clone(),
        kind: s.kind,
        source: s.endpoint.clone(),
        state: state.name(),
        error,
        messages: get(&s.messages),
        bytes: get(&s.bytes),
        rows: get(&s.rows),
        rejected: get(&s.rejected),
        last_rejection: s.last_refused(),
        repeated: get(&s.repeated),
        batches: get(&s.batches),
        batch_rows: s.batch_rows.load(Ordering::Relaxed),
        in_flight: s.in_flight.load(Ordering::Relaxed),
        commit_ms: get(&s.commit_ns) as f64 / 1e6,
        lag: s.lag(),
        partitions: partitions.collect(),
    }
}

#[derive(Serialize)]
struct Sink {
    database: String,
    name: String,
    from: String,
    topic: String,
    state: &'static str,
    error: Option<String>,
    records: u64,
    /// Commits that are not in the topic yet.
    lag: u64,
}

impl Sink {
    fn of(s: &SinkInfo) -> Sink {
        Sink {
            database: s.db.clone(),
            name: s.name.clone(),
            from: s.from.clone(),
            topic: s.topic.clone(),
            state: s.state,
            error: s.error.clone(),
            records: s.rows,
            lag: s.lag,
        }
    }
}

#[derive(Serialize)]
struct Board {
    sources: Vec<Source>,
    sinks: Vec<Sink>,
    /// How full the write buffer is, 0 to 1.
    pressure: f64,
    /// Requests and batches that wait for their commit.
    queued_requests: usize,
    queued_bytes: u64,
}

/// Sources with their partitions, and sinks, of all databases or of `?db=`; and how full the write buffer is.
pub(crate) async fn list(State(app): State<Arc<App>>, request: Request) -> Response {
    let db = Params::of(request.uri()).get("db");
    let all = app.sources.statuses();
    let wanted = all
        .iter()
        .filter(|s| db.as_ref().is_none_or(|db| s.db == **db));
    let (sinks, queued) = (app.sinks.list(), app.engine.queued());
    let wanted_sinks = sinks
        .iter()
        .filter(|s| db.as_ref().is_none_or(|db| s.db == **db));
    json_of(&Board {
        sources: wanted.map(|s| describe(s)).collect(),
        sinks: wanted_sinks.map(Sink::of).collect(),
        pressure: app.engine.pressure(),
        queued_requests: queued.requests,
        queued_bytes: queued.bytes,
    })
}

/// A figure of each source: its name, what kind of figure it is, and what it means.
type Figure = (
    &'static str,
    &'static str,
    &'static str,
    fn(&SourceStatus) -> f64,
);

const FIGURES: [Figure; 9] = [
    (
        "tidemill_source_messages_total",
        "counter",
        "Messages that a source took.",
        |s| s.messages.load(Ordering::Relaxed) as f64,
    ),
    (
        "tidemill_source_bytes_total",
        "counter",
        "Bytes of their keys and values.",
        |s| s.bytes.load(Ordering::Relaxed) as f64,
    ),
    (
        "tidemill_source_rows_total",
        "counter",
        "Rows made of them.",
        |s| s.rows.load(Ordering::Relaxed) as f64,
    ),
    (
        "tidemill_source_rejected_total",
        "counter",
        "Rows that became dead letters.",
        |s| s.rejected.load(Ordering::Relaxed) as f64,
    ),
    (
        "tidemill_source_batches_total",
        "counter",
        "Batches that are durable.",
        |s| s.batches.load(Ordering::Relaxed) as f64,
    ),
    (
        "tidemill_source_batch_rows",
        "gauge",
        "Rows of the batch that was sent last.",
        |s| s.batch_rows.load(Ordering::Relaxed) as f64,
    ),
    (
        "tidemill_source_in_flight",
        "gauge",
        "Batches on their way to the log.",
        |s| s.in_flight.load(Ordering::Relaxed) as f64,
    ),
    (
        "tidemill_source_commit_seconds",
        "gauge",
        "From the sending of the last batch to its being durable and visible.",
        |s| s.commit_ns.load(Ordering::Relaxed) as f64 / 1e9,
    ),
    (
        "tidemill_source_running",
        "gauge",
        "1 while a source reads, 0 in any other state.",
        |s| f64::from(u8::from(s.state().0 == SourceState::Running)),
    ),
];

/// What can become of a row as it comes in, and where that is counted.
type Way = (&'static str, fn(&Counts) -> &AtomicU64);

/// A figure of a sink: its name, kind, what it is, and where it is found.
type SinkFigure = (
    &'static str,
    &'static str,
    &'static str,
    fn(&SinkInfo) -> u64,
);

/// What sinks add to `/metrics`.
fn sinks(app: &App, page: &mut Page) {
    let all = app.sinks.list();
    let labels =
        |s: &SinkInfo| format!("database=\"{}\",sink=\"{}\"", label(&s.db), label(&s.name));
    let figures: [SinkFigure; 3] = [
        (
            "tidemill_sink_records_total",
            "counter",
            "Records that a sink has sent.",
            |s| s.rows,
        ),
        (
            "tidemill_sink_lag",
            "gauge",
            "Commits that are not in the sink's topic yet.",
            |s| s.lag,
        ),
        (
            "tidemill_sink_running",
            "gauge",
            "1 while a sink sends, 0 in any other state.",
            |s| u64::from(s.state == "running"),
        ),
    ];
    for (name, kind, help, figure) in figures {
        page.many(name, kind, help, all.iter().map(|s| (labels(s), figure(s))));
    }
}

/// What sources and sinks add to `/metrics`.
pub(crate) fn metrics(app: &App, page: &mut Page) {
    sinks(app, page);
    let all = app.sources.statuses();
    let labels = |s: &SourceStatus| {
        let (db, stream) = (label(&s.db), label(&s.stream));
        format!("database=\"{db}\",stream=\"{stream}\",kind=\"{}\"", s.kind)
    };
    for (name, kind, help, figure) in FIGURES {
        page.many(name, kind, help, all.iter().map(|s| (labels(s), figure(s))));
    }
    let counts = app.query.transforms().counts();
    let ways: [Way; 5] = [
        ("filtered", |c| &c.filtered),
        ("sampled", |c| &c.sampled),
        ("shed", |c| &c.shed),
        ("late", |c| &c.late),
        ("derived", |c| &c.derived),
    ];
    page.many(
        "tidemill_incoming_rows_total",
        "counter",
        "Rows that a stream's conditions, sample, priorities or derivation have left out, or made.",
        counts.iter().flat_map(|(stream, counts)| {
            ways.iter().map(move |(way, figure)| {
                let (db, name) = (label(&stream.db), label(&stream.name));
                let labels = format!("database=\"{db}\",stream=\"{name}\",way=\"{way}\"");
                (labels, figure(counts).load(Ordering::Relaxed))
            })
        }),
    );
    page.one(
        "tidemill_pressure",
        "gauge",
        "How full the write buffer is: from 0.8 on what has a low priority is left out, from 0.9 on writes are slowed, at \
         1 they are refused.",
        app.engine.pressure(),
    );
    let parts = || {
        all.iter().flat_map(|s| {
            let of_source = s.partitions().into_iter();
            of_source.map(move |(name, p)| {
                let labels = format!("{},partition=\"{}\"", labels(s), label(&name));
                (labels, p)
            })
        })
    };
    page.many(
        "tidemill_source_lag",
        "gauge",
        "Messages of a partition that are there and not taken.",
        parts().filter_map(|(labels, p)| Some((labels, p.lag()?))),
    );
    page.many(
        "tidemill_source_partition_stopped",
        "gauge",
        "1 when a partition stands still and needs a person, else 0.",
        parts().map(|(labels, p)| (labels, u8::from(p.trouble().is_some()))),
    );
}
