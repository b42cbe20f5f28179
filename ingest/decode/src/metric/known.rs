//! Which metadata is stored already: senders repeat a metric's type, help and unit with every request.

use ahash::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// Metrics that are remembered; past them all are forgotten, and their metadata is stored once more.
const MAX_METRICS: usize = 200_000;

/// What requests have brought that was not known before.
#[derive(Debug, Default)]
pub struct Learned(Vec<(Box<str>, u64)>);

/// The metadata of metrics, by database and name, as a hash.
#[derive(Default)]
pub(crate) struct Known {
    by_metric: Mutex<HashMap<Box<str>, u64, RandomState>>,
    hasher: RandomState,
}

/// The database and the metric; neither can hold a NUL.
fn name(db: &str, metric: &str) -> String {
    format!("{db}\0{metric}")
}

impl Known {
    /// Whether this is news of a metric; if so it is noted in `learned`.
    pub fn is_news(
        &self,
        db: &str,
        metric: &str,
        metadata: [&str; 3],
        learned: &mut Learned,
    ) -> bool {
        let hash = self.hasher.hash_one(metadata);
        let name = name(db, metric);
        if self.by_metric.lock().get(name.as_str()) == Some(&hash) {
            return false;
        }
        learned.0.push((name.into(), hash));
        true
    }

    /// Keeps what a request has brought, now that it is stored.
    pub fn keep(&self, learned: Learned) {
        if learned.0.is_empty() {
            return;
        }
        let mut known = self.by_metric.lock();
        if known.len() + learned.0.len() > MAX_METRICS {
            known.clear();
        }
        known.extend(learned.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_news_until_it_is_kept_and_when_it_changes() {
        let known = Known::default();
        let mut learned = Learned::default();
        let news = |metric: &str, text: &str, learned: &mut Learned| {
            known.is_news("default", metric, ["counter", text, ""], learned)
        };
        assert!(news("a", "x", &mut learned) && news("a", "x", &mut learned));
        known.keep(std::mem::take(&mut learned));
        assert!(!news("a", "x", &mut learned));
        assert!(news("b", "x", &mut learned) && news("a", "y", &mut learned));
        assert!(known.is_news("other", "a", ["counter", "x", ""], &mut learned));
    }
}
