//! What is known of a sink while it runs.

use parking_lot::Mutex;
use std::sync::atomic::AtomicU64;

/// What a sink is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It looks for its brokers.
    #[default]
    Starting,
    /// It sends.
    Running,
    /// Something is missing; it tries again.
    Waiting,
    /// It has ended with an error.
    Failed,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Waiting => "waiting",
            State::Failed => "failed",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Status {
    /// The state, and the last trouble.
    now: Mutex<(State, Option<String>)>,
    /// All commits up to this one are in the topic.
    pub lsn: AtomicU64,
    /// Records sent since the server was started.
    pub rows: AtomicU64,
    /// Transactions, likewise.
    pub transactions: AtomicU64,
}

impl Status {
    pub fn get(&self) -> (State, Option<String>) {
        self.now.lock().clone()
    }

    /// Sets the state; a trouble is kept until the next one.
    pub fn set(&self, sink: &str, state: State, why: Option<String>) {
        let mut now = self.now.lock();
        if now.0 != state || why.is_some() && now.1 != why {
            match &why {
                Some(why) if state == State::Failed => {
                    tracing::error!(sink, why, "the sink has stopped");
                }
                Some(why) => tracing::warn!(sink, why, state = state.name(), "the sink"),
                None => tracing::debug!(sink, state = state.name(), "the sink"),
            }
        }
        now.0 = state;
        if why.is_some() {
            now.1 = why;
        }
    }
}
