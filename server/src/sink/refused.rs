//! Rows that a sink can't send: dead letters, each once, in a commit before the transaction that goes on without them.

use super::worker::{Ended, Worker};
use crate::hash::Hasher;
use ingest::dead_letter::{Letters, Origin};
use tsdb::Request;
use tsdb::ledger::KeyedReply;

/// What such letters have as their source.
const SOURCE: &str = "sink";

/// A row that can't be sent.
struct Refusal {
    position: String,
    why: String,
    row: Vec<u8>,
}

/// Those since the last transaction.
#[derive(Default)]
pub(super) struct Refused(Vec<Refusal>);

impl Refused {
    /// Notes a row: its place, why it can't be sent, and its text, if it has come that far.
    pub fn add(&mut self, position: String, why: String, row: &[u8]) {
        let row = row[..row.len().min(ingest::dead_letter::MAX_PAYLOAD)].to_vec();
        self.0.push(Refusal { position, why, row });
    }

    /// Stores them. One that an earlier attempt at the same transaction has stored is left out.
    pub fn store(&mut self, worker: &Worker) -> Result<(), Ended> {
        let engine = &worker.shared.engine;
        for Refusal { position, why, row } in self.0.drain(..) {
            tracing::warn!(sink = worker.name, position, why, "a row can't be sent");
            let origin = Origin {
                catalog: engine.catalog(),
                db: &worker.db,
                stream: &worker.name,
                source: SOURCE,
                now_ns: engine.clock().wall_ns(),
            };
            let mut letters = Letters::new(origin);
            letters.add(&position, &why, &row);
            let rows = letters.finish().map_err(|e| Ended::Retry(e.to_string()))?;
            let epoch = worker.definition.epoch.to_le_bytes();
            let key = Hasher::of(&[SOURCE.as_bytes(), &epoch, position.as_bytes(), &row]);
            let request = Request {
                rows: rows.into_iter().collect(),
                keyed: Some(KeyedReply {
                    key,
                    request: key,
                    reply: Default::default(),
                }),
                ..Request::default()
            };
            match engine.commit(request) {
                Ok(_) | Err(tsdb::Error::KeyTaken) => {}
                Err(error) => return Err(Ended::Retry(error.to_string())),
            }
        }
        Ok(())
    }
}
