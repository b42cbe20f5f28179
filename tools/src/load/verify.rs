//! The reader that trusts nobody: asks by SQL for rows the moment they are acknowledged, once each, from the beginning
//! of a run to its end.

use super::connection::Connection;
use super::report::Verified;
use super::response::Target;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// Takes queries that must answer 1.
pub(super) struct Verifier {
    queries: SyncSender<String>,
    limit: u64,
    reader: JoinHandle<anyhow::Result<Verified>>,
}

impl Verifier {
    /// Reads `limit` rows back by way of `target`, the SQL route.
    pub fn start(target: Target, limit: u64) -> anyhow::Result<Verifier> {
        let mut connection = Connection::open(&target)?;
        // No queue: a row is asked for at once or not sampled.
        let (queries, inbox) = sync_channel(0);
        let reader = std::thread::Builder::new()
            .name("verify".into())
            .spawn(move || read(&mut connection, &inbox, limit))?;
        Ok(Verifier {
            queries,
            limit,
            reader,
        })
    }

    /// A handle for the connections' threads, of a run that ends after so many rows, at a time, or at either.
    pub fn sampler(&self, rows: Option<u64>, start: Instant, end: Option<Instant>) -> Sampler {
        Sampler {
            queries: self.queries.clone(),
            limit: self.limit,
            taken: Arc::default(),
            rows,
            start,
            end,
        }
    }

    /// What was found; call it when all samplers are gone.
    pub fn finish(self) -> anyhow::Result<Verified> {
        drop(self.queries);
        self.reader
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the reader of sampled rows panicked")))
    }
}

/// Offers acknowledged rows to the reader, spaced over the whole run.
#[derive(Clone)]
pub(super) struct Sampler {
    queries: SyncSender<String>,
    limit: u64,
    /// Samples that the reader has taken.
    taken: Arc<AtomicU64>,
    rows: Option<u64>,
    start: Instant,
    end: Option<Instant>,
}

impl Sampler {
    /// Has a row read if one is due by now, when `rows` are acknowledged, and the reader is not busy.
    pub fn offer(&self, rows: u64, query: String) {
        let taken = self.taken.load(Ordering::Relaxed);
        let elapsed = self.start.elapsed().as_secs_f64();
        let length = self.end.map(|end| (end - self.start).as_secs_f64());
        let by_rows = self.rows.map_or(0.0, |all| rows as f64 / all.max(1) as f64);
        let by_time = length.map_or(0.0, |length| elapsed / length.max(1e-9));
        // A busy reader leaves this one out, and one that has ended all of them.
        if is_due(taken, self.limit, by_rows.max(by_time)) && self.queries.try_send(query).is_ok() {
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether the next of `limit` samples is due, when a run has come this far from 0 to 1.
fn is_due(taken: u64, limit: u64, progress: f64) -> bool {
    taken < limit && taken as f64 <= progress * limit as f64
}

fn read(
    connection: &mut Connection,
    inbox: &Receiver<String>,
    limit: u64,
) -> anyhow::Result<Verified> {
    let mut found = Verified::default();
    while found.sampled < limit {
        let Ok(query) = inbox.recv() else { break };
        connection.send(query.as_bytes())?;
        let response = connection.receive()?;
        if response.status != 200 {
            anyhow::bail!(
                "{query}: {} {}",
                response.status,
                String::from_utf8_lossy(&response.body)
            );
        }
        found.sampled += 1;
        if !says_one(&response.body) {
            found.missed += 1;
            found.first_miss.get_or_insert(query);
        }
    }
    Ok(found)
}

/// Whether the reply's only value is 1.
fn says_one(body: &[u8]) -> bool {
    let reply: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    reply["rows"][0][0].as_u64() == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spaced_over_the_run() {
        for limit in [1u64, 7, 200] {
            let (mut taken, mut due) = (0, Vec::new());
            for step in 0..=1000 {
                let progress = f64::from(step) / 1000.0;
                if is_due(taken, limit, progress) {
                    taken += 1;
                    due.push(progress);
                }
            }
            assert_eq!(taken, limit);
            let last = (limit - 1) as f64 / limit as f64;
            assert!(due[0] == 0.0 && due[due.len() - 1] >= last, "{due:?}");
            let gaps = due.windows(2).map(|w| w[1] - w[0]);
            assert!(
                gaps.into_iter()
                    .all(|g| (g * limit as f64 - 1.0).abs() < 0.25)
            );
        }
        assert!(!is_due(5, 5, 2.0), "never more than were asked for");
        assert!(is_due(0, 5, 0.9), "a reader that was busy catches up");
    }

    #[test]
    fn only_a_count_of_one_is_a_hit() {
        assert!(says_one(
            br#"{"columns":[{"name":"count(*)","type":"BIGINT"}],"rows":[[1]],"lsn":4}"#
        ));
        for miss in [
            r#"{"rows":[[0]]}"#,
            r#"{"rows":[[2]]}"#,
            r#"{"rows":[]}"#,
            r#"{"rows":[[null]]}"#,
            "",
            "1",
        ] {
            assert!(!says_one(miss.as_bytes()), "{miss}");
        }
    }
}
