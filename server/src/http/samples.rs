//! What the routes of metrics share: a request's body becomes samples, and they are committed.

use super::params::Params;
use super::reply::{self, ApiError};
use super::{App, body, left_out};
use http::request::Parts;
use hyper::body::Incoming;
use ingest::admission::{Encoding, Rejection};
use ingest::dead_letter::{MAX_REASON, cut};
use ingest::decode::metric::{DecodedMetrics, MetricContext, SiftedLetters};
use std::sync::atomic::Ordering;
use std::time::Instant;
use tsdb::{Rows, Sifted};

/// What a request came to.
pub(super) struct Stored {
    pub(super) samples: usize,
    pub(super) histograms: usize,
    pub(super) exemplars: usize,
    /// Samples, histograms and exemplars that are not kept.
    pub(super) rejected: usize,
    /// Why, the first of them.
    pub(super) errors: Vec<String>,
}

/// Where a request's samples come from.
pub(super) struct Sender {
    /// Names it in dead letters.
    pub(super) source: &'static str,
    /// How its body is compressed.
    pub(super) encoding: Encoding,
    pub(super) arrived: Instant,
}

/// Reads a body, decodes and commits it.
pub(super) async fn take(
    app: &App,
    head: &Parts,
    incoming: Incoming,
    sender: Sender,
    decode: impl FnOnce(&[u8], &MetricContext<'_>) -> Result<DecodedMetrics, Rejection>,
) -> Result<Stored, ApiError> {
    let named = Params::of(&head.uri).get("db").filter(|d| !d.is_empty());
    let db = named.map_or_else(|| tsdb::DEFAULT_DATABASE.to_owned(), |d| d.into_owned());
    let body = body::read_as(sender.encoding, incoming, &app.body_limits).await?;
    reply::database(app, &db)?;
    super::ingest::admit(app).await?;
    let ctx = MetricContext {
        catalog: app.engine.catalog(),
        db: &db,
        now_ns: app.engine.clock().wall_ns(),
        source: sender.source,
    };
    let decoded = app.heavy.run(body.len(), || decode(&body, &ctx)).await?;
    app.metrics
        .bytes_received
        .fetch_add(body.len() as u64, Ordering::Relaxed);
    drop(body);
    commit(app, &ctx, decoded, sender.arrived).await
}

/// Commits what samples came to, and lets the decoder know that their metadata is stored.
async fn commit(
    app: &App,
    ctx: &MetricContext<'_>,
    decoded: DecodedMetrics,
    arrived: Instant,
) -> Result<Stored, ApiError> {
    let DecodedMetrics {
        mut rows,
        samples,
        histograms,
        exemplars,
        mut rejected,
        mut errors,
        learned,
    } = decoded;
    let shed = crate::shedding::shed(app, &mut rows)?;
    // No sender of metrics sends a part of its request again: what a filter or a derived stream can't take must not keep
    // the rest out.
    let work = left_out::work(app, &rows);
    let sifted = app.heavy.run(work, || sift(app, ctx, rows)).await?;
    rejected += sifted.refused;
    errors.extend(sifted.why.map(|why| cut(&why, MAX_REASON).to_owned()));
    let accepted = (samples + histograms + exemplars).saturating_sub(sifted.refused + shed.rows());
    if !sifted.rows.is_empty() {
        let request = tsdb::Request::of(sifted.rows);
        let committed = app.engine.commit_async(request).await;
        let lsn = committed.map_err(|e| match e {
            // A stream that was dropped between decoding and commit: the same bytes again will do.
            tsdb::Error::UnknownStream(_) => ApiError {
                retry_after: Some(1),
                ..ApiError::new(503, "busy", "a stream was dropped meanwhile; send it again")
            },
            e => ApiError::from(e),
        })?;
        app.metrics.events.acknowledged(lsn.0, arrived);
    }
    shed.count(app);
    app.samples.learn(learned);
    app.metrics
        .rows_accepted
        .fetch_add(accepted as u64, Ordering::Relaxed);
    app.metrics
        .rows_rejected
        .fetch_add(rejected as u64, Ordering::Relaxed);
    Ok(Stored {
        samples,
        histograms,
        exemplars,
        rejected,
        errors,
    })
}

/// Leaves out the rows that can't be taken, and adds their letters to the others.
fn sift(app: &App, ctx: &MetricContext<'_>, rows: Vec<Rows>) -> Result<Sifted, tsdb::Error> {
    let mut letters = SiftedLetters::new(ctx);
    let mut sifted = app.engine.sift(rows, &mut |row, number, why| {
        letters.add(row, number, why);
    })?;
    if sifted.refused > 0 {
        let (letters, _) = left_out::letters_that_can_be_taken(app, letters.finish());
        sifted.rows.extend(letters);
    }
    Ok(sifted)
}
