//! A sink of single rows: every commit's rows, in log order. Its progress is an LSN, and the log is held behind it.

use super::definition::Origin;
use super::encode::Encoder;
use super::place::Place;
use super::plan::row_encoder;
use super::tail::Tail;
use super::worker::{Ended, Session};
use ingest::sink::kafka::Progress;
use query::view::RowFeed;
use std::convert::Infallible;
use std::time::Duration;
use tokio::runtime::Runtime;
use tsdb::types::Lsn;

/// Sends what a batch holds.
fn send(
    session: &mut Session<'_>,
    encoder: &Encoder,
    rows: &arrow::record_batch::RecordBatch,
) -> Result<(), Ended> {
    encoder.rows(rows, &mut |key, value| session.put(key, Some(value)))
}

/// Follows until something ends it.
pub(super) fn follow(
    mut session: Session<'_>,
    runtime: &Runtime,
    mut feed: RowFeed,
    mut encoder: Encoder,
) -> Result<Infallible, Ended> {
    let worker = session.worker;
    let (engine, definition) = (&worker.shared.engine, &worker.definition);
    let disk = engine.disk();
    let words = |e: query::QueryError| Ended::Failed(format!("a row can't be computed: {e}"));
    let copy = Place::read(disk, definition.epoch);
    let mut serial = session.at.serial;
    let (from, fresh) = match (session.known, copy) {
        (true, _) => (session.at.lsn, false),
        (false, None) => (definition.start.0, true),
        // Its first transaction came to nothing, or it has sent nothing since.
        (false, Some(copy)) if !copy.busy || copy.lsn == definition.start.0 => {
            (copy.lsn, copy.lsn == definition.start.0)
        }
        (false, Some(copy)) => {
            return Err(Ended::Failed(format!(
                "Kafka no longer knows how far the sink is (it was at commit {} or later): drop it and create it again",
                copy.lsn
            )));
        }
    };
    if from > engine.published().0 {
        return Err(Ended::Failed(format!(
            "the topic has rows up to commit {from}, and this database ends at {}: it is an older copy",
            engine.published()
        )));
    }
    worker.hold(Some(Lsn(from)));
    session.reached(from);
    let mut at = from;
    // Whether the copy on disk says that transactions may follow it.
    let mut busy = false;
    let snapshot_first = match &definition.origin {
        Origin::Stream { .. } => false,
        Origin::View { .. } | Origin::Query { .. } => true,
    };
    let note = |lsn, busy| Place { lsn, busy }.write(disk, definition.epoch);
    if fresh && definition.flag("snapshot", snapshot_first) {
        let snapshot = engine.snapshot();
        note(from, true)?;
        busy = true;
        session.begin_commit(snapshot.lsn().0);
        let mut ended = None;
        let read = feed.history(&snapshot, &mut |rows| {
            send(&mut session, &encoder, &rows).map_err(|e| {
                ended = Some(e);
                String::new()
            })
        });
        if let Some(ended) = ended {
            return Err(ended);
        }
        read.map_err(words)?;
        at = snapshot.lsn().0;
        serial += 1;
        session.commit(Progress { lsn: at, serial })?;
        worker.hold(Some(Lsn(at)));
    }
    let hub = worker.shared.hub.clone();
    let mut tail = Tail::new(engine.clone(), hub, feed.stream().id, Lsn(at));
    session.runs();
    loop {
        if worker.stopping() {
            if busy {
                note(session.at.lsn, false)?;
            }
            return Err(Ended::Stopped);
        }
        worker.check_log()?;
        let commits = tail.take().map_err(|e| {
            let after = tail.at();
            Ended::Failed(format!("the commits after {after} can't be had: {e}"))
        })?;
        let mut sent = false;
        for commit in &commits {
            if matches!(definition.origin, Origin::Stream { .. }) && feed.is_outgrown() {
                feed = RowFeed::of_stream(feed.stream()).map_err(words)?;
                encoder = row_encoder(&feed, definition).map_err(Ended::Failed)?;
            }
            session.begin_commit(commit.lsn.0);
            let mut refused = Vec::new();
            let all = feed.rows(commit, &mut |why| refused.push(why));
            for why in refused.drain(..) {
                session.refuse(format!("the row can't be computed: {why}"), &[]);
                sent = true;
            }
            for rows in all {
                if !busy {
                    note(session.at.lsn.max(from), true)?;
                    busy = true;
                }
                send(&mut session, &encoder, &rows)?;
                sent = true;
            }
        }
        let lsn = tail.at().0;
        if sent {
            serial += 1;
            session.commit(Progress { lsn, serial })?;
            worker.hold(Some(Lsn(lsn)));
        } else if session.is_due(lsn) {
            // Nobody else holds the log for what has no rows.
            session.commit(Progress { lsn, serial })?;
            note(lsn, false)?;
            busy = false;
            worker.hold(Some(Lsn(lsn)));
        } else {
            session.reached(lsn);
        }
        if commits.is_empty() && tail.at() >= engine.published() {
            worker.pause(runtime, Duration::from_secs(1), tail.ready());
        }
    }
}
