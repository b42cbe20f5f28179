//! What has been taken already: how far each partition of a source, and which requests that bore a key.
//!
//! Both lie in the log record of the rows that came of them, so that neither can be there without the other: what a source
//! delivers again, and what a client sends again, is known for what it is. A flush saves them in a ledger file, see
//! `docs/formats/ledger.md`.

mod file;
mod format;
#[cfg(test)]
mod tests;

pub(crate) use file::{
    DIRECTORY, DatedKey, FileMeta, decode as decode_file, encode as encode_file, outlived,
};
pub(crate) use format::{decode_keys, decode_positions, encode_keys, encode_positions};

use crate::Error;
use crate::engine::Request;
use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::sync::Arc;
use tsdb_types::{Lsn, StreamId};

/// How long a key is kept, in nanoseconds.
pub const KEY_LIFE_NS: i64 = 24 * 3600 * 1_000_000_000;
/// Keys that are kept at most; the oldest go first.
pub const MAX_KEYS: usize = 1_000_000;
/// Bytes of a reply that can be kept.
pub const MAX_REPLY: usize = 64 << 10;

/// A request holds what a partition of a source had from one place up to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The stream that the source feeds: each has places of its own.
    pub stream: StreamId,
    /// Which partition, in the source's words: `purchases/3`.
    pub partition: Arc<str>,
    /// What tells this partition from an earlier one of its name, such as a topic's id; empty when nothing does.
    pub origin: Arc<str>,
    /// The first place that the request may hold. If the partition was taken further, the request is refused.
    pub from: u64,
    /// The place after its last.
    pub next: u64,
    /// Where the request before it ended, when one may still be on its way: if that one was refused, this one is too.
    /// Not logged.
    pub after: Option<u64>,
}

/// How far a partition was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// See [`Advance::origin`].
    pub origin: Arc<str>,
    /// The first place that was not taken.
    pub next: u64,
}

/// The reply to a request that must not take effect twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedReply {
    /// A hash of the key and of what it is scoped by.
    pub key: u128,
    /// A hash of the request.
    pub request: u128,
    /// What was answered, in the caller's form; at most [`MAX_REPLY`] bytes. The LSN is kept besides.
    pub reply: Bytes,
}

/// A reply that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptReply {
    /// The hash of the request that it was the reply to.
    pub request: u128,
    /// What was answered.
    pub reply: Bytes,
    /// That request's commit.
    pub lsn: Lsn,
}

type Place = (StreamId, Arc<str>);

#[derive(Default)]
struct State {
    positions: HashMap<Place, Position, ahash::RandomState>,
    keys: HashMap<u128, KeptReply, ahash::RandomState>,
    /// Keys with the wall time of their commits, oldest first.
    ages: VecDeque<(i64, u128)>,
}

impl State {
    fn add_key(&mut self, keyed: &KeyedReply, lsn: Lsn, wall_ns: i64) {
        let kept = KeptReply {
            request: keyed.request,
            reply: keyed.reply.clone(),
            lsn,
        };
        if self.keys.insert(keyed.key, kept).is_none() {
            self.ages.push_back((wall_ns, keyed.key));
        }
        while self.ages.len() > MAX_KEYS
            || (self.ages.front()).is_some_and(|(at, _)| wall_ns.saturating_sub(*at) > KEY_LIFE_NS)
        {
            let Some((_, key)) = self.ages.pop_front() else {
                break;
            };
            self.keys.remove(&key);
        }
    }

    fn advance(&mut self, stream: StreamId, partition: &Arc<str>, position: Position) {
        match self.positions.get_mut(&(stream, partition.clone())) {
            // A place is never given back: what is older is told of a second time.
            Some(have) if have.next > position.next => {}
            Some(have) => *have = position,
            None => {
                self.positions.insert((stream, partition.clone()), position);
            }
        }
    }
}

/// The part of the ledger that readers see: what is durable.
#[derive(Default)]
pub struct Ledger {
    state: RwLock<State>,
}

impl Ledger {
    /// How far a partition was taken for a stream; `None` when nothing was.
    #[must_use]
    pub fn position(&self, stream: StreamId, partition: &str) -> Option<Position> {
        let state = self.state.read();
        state.positions.get(&(stream, partition.into())).cloned()
    }

    /// How far all partitions of a stream's source were taken.
    #[must_use]
    pub fn positions(&self, stream: StreamId) -> Vec<(Arc<str>, Position)> {
        let state = self.state.read();
        let of_stream = state.positions.iter().filter(|((s, _), _)| *s == stream);
        of_stream
            .map(|((_, partition), position)| (partition.clone(), position.clone()))
            .collect()
    }

    /// The reply that was kept under a key.
    #[must_use]
    pub fn reply(&self, key: u128) -> Option<KeptReply> {
        self.state.read().keys.get(&key).cloned()
    }

    /// Takes in what a commit holds.
    pub(crate) fn publish(&self, taken: &Entries, lsn: Lsn, wall_ns: i64) {
        if taken.is_empty() {
            return;
        }
        let mut state = self.state.write();
        for a in &taken.advances {
            let position = Position {
                origin: a.origin.clone(),
                next: a.next,
            };
            state.advance(a.stream, &a.partition, position);
        }
        for keyed in &taken.keys {
            state.add_key(keyed, lsn, wall_ns);
        }
    }

    /// All positions whose stream `lives`, for a file.
    pub(crate) fn all_positions(&self, lives: impl Fn(StreamId) -> bool) -> Vec<Advance> {
        let state = self.state.read();
        let mut all: Vec<Advance> = state
            .positions
            .iter()
            .filter(|((stream, _), _)| lives(*stream))
            .map(|((stream, partition), position)| Advance {
                stream: *stream,
                partition: partition.clone(),
                origin: position.origin.clone(),
                from: position.next,
                next: position.next,
                after: None,
            })
            .collect();
        all.sort_unstable_by(|a, b| (a.stream, &a.partition).cmp(&(b.stream, &b.partition)));
        all
    }
}

/// What the requests of one commit say of sources and keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    pub(crate) advances: Vec<Advance>,
    pub(crate) keys: Vec<KeyedReply>,
}

impl Entries {
    pub(crate) fn is_empty(&self) -> bool {
        self.advances.is_empty() && self.keys.is_empty()
    }
}

/// The writer's part: what is in the log, durable or not yet. It refuses what would be taken twice.
#[derive(Default)]
pub(crate) struct Gatekeeper {
    /// Places that commits in flight have reached.
    ahead: HashMap<Place, u64, ahash::RandomState>,
    /// Keys of commits in flight.
    keys: HashSet<u128, ahash::RandomState>,
}

impl Gatekeeper {
    /// Lets a request in, and adds what it says to `entries`; or says why it must not be taken.
    pub(crate) fn admit(
        &mut self,
        ledger: &Ledger,
        request: &mut Request,
        entries: &mut Entries,
    ) -> Result<(), Error> {
        for a in &request.advances {
            let place = (a.stream, a.partition.clone());
            let taken = self.ahead.get(&place).copied().or_else(|| {
                let state = ledger.state.read();
                state.positions.get(&place).map(|p| p.next)
            });
            if let Some(next) = taken.filter(|next| *next > a.from) {
                return Err(Error::TakenAlready {
                    partition: a.partition.to_string(),
                    next,
                });
            }
            if let Some(after) = a.after.filter(|after| taken.is_none_or(|t| t < *after)) {
                return Err(Error::OutOfOrder {
                    partition: a.partition.to_string(),
                    after,
                });
            }
        }
        if let Some(keyed) = &request.keyed {
            if keyed.reply.len() > MAX_REPLY {
                return Err(Error::TooLarge {
                    got: keyed.reply.len(),
                    limit: MAX_REPLY,
                });
            }
            if self.keys.contains(&keyed.key) || ledger.reply(keyed.key).is_some() {
                return Err(Error::KeyTaken);
            }
        }
        for a in request.advances.drain(..) {
            self.ahead.insert((a.stream, a.partition.clone()), a.next);
            entries.advances.push(a);
        }
        if let Some(keyed) = request.keyed.take() {
            self.keys.insert(keyed.key);
            entries.keys.push(keyed);
        }
        Ok(())
    }

    /// A commit is durable: the ledger knows of it.
    pub(crate) fn published(&mut self, entries: &Entries) {
        for a in &entries.advances {
            let place = (a.stream, a.partition.clone());
            if self.ahead.get(&place).is_some_and(|next| *next <= a.next) {
                self.ahead.remove(&place);
            }
        }
        for keyed in &entries.keys {
            self.keys.remove(&keyed.key);
        }
    }

    /// A commit was refused by the log: what stands are those in flight.
    pub(crate) fn reset<'a>(&mut self, in_flight: impl Iterator<Item = &'a Entries>) {
        self.ahead.clear();
        self.keys.clear();
        for entries in in_flight {
            for a in &entries.advances {
                self.ahead.insert((a.stream, a.partition.clone()), a.next);
            }
            self.keys.extend(entries.keys.iter().map(|k| k.key));
        }
    }
}
