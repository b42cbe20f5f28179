//! Samples that are refused: for the reply, and as dead letters.

use super::MetricContext;
use super::letter::short;
use crate::dead_letter::{Letters, MAX_LETTERS, MAX_PAYLOAD, MAX_REASON, Origin};
use std::collections::BTreeMap;
use std::fmt::Display;
use tsdb::Rows;

/// Refused points that a reply tells of.
pub const MAX_TOLD: usize = 20;
/// Bytes of all refused points of a request that are kept.
const MAX_PAYLOADS: usize = 16 << 20;

struct Letter {
    metric: String,
    position: String,
    reason: String,
    payload: String,
}

/// What one request was refused of.
#[derive(Default)]
pub(crate) struct Refused {
    /// How many points.
    pub points: usize,
    letters: Vec<Letter>,
    payloads: usize,
}

impl Refused {
    /// Whether further refusals are only counted.
    pub fn is_full(&self) -> bool {
        self.letters.len() == MAX_LETTERS || self.payloads > MAX_PAYLOADS
    }

    /// Notes a refusal that counts as `points` points: the metric, as far as it is known, the place in the request, why, and
    /// what it was.
    pub fn add(
        &mut self,
        points: usize,
        metric: &str,
        position: &dyn Display,
        reason: &dyn Display,
        payload: impl FnOnce() -> String,
    ) {
        self.points += points;
        if self.is_full() {
            return;
        }
        let mut payload = payload();
        payload.truncate(payload.floor_char_boundary(MAX_PAYLOAD));
        let metric = short(metric).to_owned();
        // All points of a series have its reason, which may hold a name as long as one may be.
        let mut reason = reason.to_string();
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        self.payloads += payload.len() + metric.len() + reason.len();
        self.letters.push(Letter {
            metric,
            position: position.to_string(),
            reason,
            payload,
        });
    }

    /// The first refusals in words.
    pub fn told(&self) -> Vec<String> {
        let told = self.letters.iter().take(MAX_TOLD);
        told.map(|l| format!("{} ({}): {}", l.position, l.metric, l.reason))
            .collect()
    }

    /// The letters, a batch per metric. Where the database's `dead_letters` takes none, they are lost, as the reply
    /// tells of the points anyway.
    pub fn letters(self, ctx: &MetricContext<'_>) -> Vec<Rows> {
        let mut by_metric: BTreeMap<&str, Vec<&Letter>> = BTreeMap::new();
        for letter in &self.letters {
            by_metric.entry(&letter.metric).or_default().push(letter);
        }
        let rows = by_metric.iter().map(|(metric, list)| {
            let mut letters = Letters::new(Origin {
                catalog: ctx.catalog,
                db: ctx.db,
                stream: metric,
                source: ctx.source,
                now_ns: ctx.now_ns,
            });
            for l in list {
                letters.add(&l.position, &l.reason, l.payload.as_bytes());
            }
            letters.finish()
        });
        rows.filter_map(|rows| rows.ok().flatten()).collect()
    }
}
