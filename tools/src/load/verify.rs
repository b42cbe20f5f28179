//! The reader that trusts nobody: asks by SQL for rows the moment they are acknowledged, once each.

use super::connection::Connection;
use super::report::Verified;
use super::response::Target;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Takes queries that must answer 1.
pub(super) struct Verifier {
    queries: SyncSender<String>,
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
        Ok(Verifier { queries, reader })
    }

    /// A handle for one connection's thread.
    pub fn sampler(&self) -> Sampler {
        Sampler {
            queries: self.queries.clone(),
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

/// Offers acknowledged rows to the reader.
#[derive(Clone)]
pub(super) struct Sampler {
    queries: SyncSender<String>,
}

impl Sampler {
    /// Has the row read unless the reader is busy or has enough.
    pub fn offer(&self, query: impl FnOnce() -> String) {
        match self.queries.try_send(query()) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
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
