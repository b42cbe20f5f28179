//! Drives a workload over blocking connections, a thread each. One generator serves them all, so that rows reach the
//! server in order of time as far as the connections allow; each thread renders its next request while the server
//! works on the last.

use super::args::Common;
use super::connection::Connection;
use super::report::{Counters, Summary, histogram, note};
use super::response::Target;
use super::verify::{Sampler, Verifier};
use anyhow::{anyhow, bail};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Rows that were rendered.
pub(super) struct Batch<P> {
    /// How many.
    pub rows: u64,
    /// What they add up to, given back once they are acknowledged.
    pub proof: P,
    /// One of them, for [`Load::query`].
    pub sample: (u64, i64),
}

/// A workload.
pub(super) trait Load: Send {
    type Proof: Send;
    /// Appends `rows` rows to `out`.
    fn render(&mut self, rows: u64, out: &mut Vec<u8>) -> anyhow::Result<Batch<Self::Proof>>;
    /// Counts rows that the server has acknowledged.
    fn acknowledged(&mut self, proof: &Self::Proof);
    /// What the acknowledged rows amount to.
    fn facts(&self) -> Map<String, Value>;
    /// SQL that counts exactly the sampled row, where the workload can tell rows apart.
    fn query(sample: (u64, i64)) -> Option<String>;
}

/// When the run ends and when each request is due.
pub(super) struct Plan {
    pub start: Instant,
    pub end: Option<Instant>,
    /// Rows still to be rendered.
    pub left: u64,
    /// Nanoseconds per row of a fixed schedule.
    pub pace: Option<f64>,
    sent: u64,
}

impl Plan {
    pub fn new(common: &Common) -> anyhow::Result<Plan> {
        let positive = |v: Option<f64>| v.is_none_or(|v| v.is_finite() && v > 0.0);
        if !positive(common.seconds) || !positive(common.rate) {
            bail!("--seconds and --rate must be above 0");
        }
        let seconds = common.seconds.or(common.rows.is_none().then_some(10.0));
        let start = Instant::now();
        Ok(Plan {
            start,
            end: seconds.and_then(|s| start.checked_add(Duration::try_from_secs_f64(s).ok()?)),
            left: common.rows.unwrap_or(u64::MAX),
            pace: common.rate.map(|r| 1e9 / r),
            sent: 0,
        })
    }

    /// Takes the next request: how many rows, and when they are due. `None` when the run is over.
    pub fn next(&mut self, batch: u64) -> Option<(u64, Option<Instant>)> {
        let rows = batch.min(self.left);
        let due = self
            .pace
            .map(|ns| self.start + Duration::from_nanos((self.sent as f64 * ns) as u64));
        let over = self
            .end
            .is_some_and(|end| Instant::now() >= end || due.is_some_and(|d| d >= end));
        if rows == 0 || over {
            return None;
        }
        self.left -= rows;
        self.sent += rows;
        Some((rows, due))
    }
}

struct Shared<L> {
    source: Mutex<(L, Plan)>,
    counters: Counters,
    stop: AtomicBool,
}

impl<L> Shared<L> {
    /// A panic elsewhere ends the run anyway; the generator itself is whole between calls.
    fn source(&self) -> MutexGuard<'_, (L, Plan)> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a workload and prints the summary.
pub(super) fn run<L: Load>(
    source: L,
    common: &Common,
    batch: u32,
    connections: u32,
    path: &str,
    content_type: &str,
) -> anyhow::Result<()> {
    let path = common.path.as_deref().unwrap_or(path);
    let target = Target::new(&common.url, path, content_type, common.token.as_deref())?;
    let verifier = match common.verify_sample {
        0 => None,
        n => {
            let target = Target::new(
                &common.url,
                &common.verify_path,
                "text/plain",
                common.token.as_deref(),
            )?;
            Some(Verifier::start(target, n)?)
        }
    };
    let opened: Vec<Connection> = (0..connections)
        .map(|_| Connection::open(&target))
        .collect::<Result<_, _>>()?;
    let plan = Plan::new(common)?;
    let (start, plan_end, bar) = (plan.start, plan.end, Progress::new(common, &plan));
    let shared = Shared {
        source: Mutex::new((source, plan)),
        counters: Counters::default(),
        stop: AtomicBool::new(false),
    };
    let pacer = verifier
        .as_ref()
        .map(|v| v.sampler(common.rows, start, plan_end));
    let (latency, outcome) = std::thread::scope(|scope| {
        let workers: Vec<_> = opened
            .into_iter()
            .map(|connection| {
                let (shared, sampler) = (&shared, pacer.clone());
                scope.spawn(move || {
                    let mut latency = histogram();
                    let done = worker(shared, connection, u64::from(batch), sampler, &mut latency);
                    if done.is_err() {
                        shared.stop.store(true, Ordering::Relaxed);
                    }
                    (latency, done)
                })
            })
            .collect();
        while workers.iter().any(|w| !w.is_finished()) {
            // Ends early only to redraw; the joins below wait for the event itself.
            std::thread::park_timeout(Duration::from_millis(if bar.is_hidden() {
                20
            } else {
                100
            }));
            bar.show(&shared.counters);
        }
        let (mut latency, mut outcome) = (histogram(), Ok(()));
        for worker in workers {
            let (own, done) = worker
                .join()
                .unwrap_or_else(|_| (histogram(), Err(anyhow!("a connection's thread panicked"))));
            latency += own;
            outcome = outcome.and(done);
        }
        (latency, outcome)
    });
    let seconds = start.elapsed().as_secs_f64();
    bar.clear();
    drop(pacer);
    // What was acknowledged before a failure is told all the same.
    let (verified, outcome) = match verifier.map(Verifier::finish).transpose() {
        Ok(verified) => (verified, outcome),
        Err(error) => (None, outcome.and(Err(error))),
    };
    let facts = shared.source().0.facts();
    finish(
        &Summary {
            seconds,
            counters: shared.counters,
            latency,
            facts,
            verified,
            error: outcome.err(),
        },
        common,
    )
}

/// Prints the summary, of a run that has failed too; missed rows are an error as well.
pub(super) fn finish(summary: &Summary, common: &Common) -> anyhow::Result<()> {
    if common.json {
        println!("{}", summary.json());
    } else {
        print!("{}", summary.text());
    }
    if let Some(error) = &summary.error {
        bail!("the load has ended early: {error:#}");
    }
    match &summary.verified {
        Some(v) if v.missed > 0 => bail!(
            "{} of {} acknowledged rows could not be read; the first: {}",
            v.missed,
            v.sampled,
            v.first_miss.as_deref().unwrap_or_default()
        ),
        _ => Ok(()),
    }
}

/// The progress line; hidden unless people look on.
pub(super) struct Progress {
    bar: ProgressBar,
    by_rows: bool,
    start: Instant,
}

impl Progress {
    pub fn new(common: &Common, plan: &Plan) -> Progress {
        let by_rows = common.rows.is_some();
        let hidden = common.json || !std::io::stderr().is_terminal();
        let time = plan
            .end
            .map(|e| e.saturating_duration_since(plan.start).as_millis() as u64);
        let bar = match common.rows.or(time) {
            _ if hidden => ProgressBar::hidden(),
            Some(length) => {
                ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr())
            }
            None => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
        };
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {msg}")
            .map(|s| s.progress_chars("=> "));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress {
            bar,
            by_rows,
            start: plan.start,
        }
    }

    pub fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    pub fn show(&self, counters: &Counters) {
        if self.is_hidden() {
            return;
        }
        let (rows, elapsed) = (counters.rows.load(Ordering::Relaxed), self.start.elapsed());
        self.bar.set_position(if self.by_rows {
            rows
        } else {
            elapsed.as_millis() as u64
        });
        self.bar.set_message(format!(
            "{rows} rows, {:.0} rows/s",
            rows as f64 / elapsed.as_secs_f64().max(1e-9)
        ));
    }

    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

type Request<P> = (Batch<P>, Option<Instant>);

fn worker<L: Load>(
    shared: &Shared<L>,
    mut connection: Connection,
    rows: u64,
    sampler: Option<Sampler>,
    latency: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    let (mut body, mut next_body) = (Vec::new(), Vec::new());
    let render = |out: &mut Vec<u8>| -> anyhow::Result<Option<Request<L::Proof>>> {
        out.clear();
        let mut guard = shared.source();
        let (source, plan) = &mut *guard;
        if shared.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Some((rows, due)) = plan.next(rows) else {
            return Ok(None);
        };
        Ok(Some((source.render(rows, out)?, due)))
    };
    let mut request = render(&mut body)?;
    while let Some((batch, due)) = request {
        if let Some(wait) = due.and_then(|d| d.checked_duration_since(Instant::now())) {
            std::thread::sleep(wait);
        }
        let begun = due.unwrap_or_else(Instant::now);
        connection.send(&body)?;
        request = render(&mut next_body)?;
        let sent = Instant::now();
        loop {
            let response = connection.receive()?;
            match response.status {
                200..=299 => break,
                429 | 503 if sent.elapsed() < BUSY_PATIENCE => {
                    shared.counters.busy.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(backoff(response.retry_after));
                    connection.send(&body)?;
                }
                status => bail!(
                    "{status}: {}",
                    String::from_utf8_lossy(&response.body[..response.body.len().min(2000)])
                ),
            }
        }
        note(latency, begun.elapsed());
        if let Some(sampler) = &sampler
            && let Some(query) = L::query(batch.sample)
        {
            sampler.offer(shared.counters.rows.load(Ordering::Relaxed), query);
        }
        shared.counters.acknowledged(batch.rows, body.len() as u64);
        shared.source().0.acknowledged(&batch.proof);
        std::mem::swap(&mut body, &mut next_body);
    }
    Ok(())
}

/// How long a server may be too busy for one request before the run ends.
pub(super) const BUSY_PATIENCE: Duration = Duration::from_secs(60);

/// How long to leave a busy server alone: what it asked for, within reason.
pub(super) fn backoff(retry_after: Option<u64>) -> Duration {
    retry_after.map_or(Duration::from_millis(50), |s| {
        Duration::from_secs(s.clamp(1, 30))
    })
}
