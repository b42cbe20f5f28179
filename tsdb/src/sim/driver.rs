//! Runs a system through crash after crash.

use std::fmt;
use std::sync::Arc;

use super::{Mutant, Rng, SimClock, SimDisk};
use crate::io::Disk;

/// Why a run of a system has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The disk failed, as it may; the system goes down and is opened anew.
    Disk(String),
    /// The system gave a wrong answer: something acknowledged is gone, or something is there that never was.
    Wrong(String),
}

/// What is driven: an engine, or a part of one, with a model of what it must still know.
pub trait System: Sized {
    /// What was asked of the system and what it has acknowledged; outlives crashes.
    type Model: Default;

    /// Recovers from `disk` and compares what is there with the model.
    ///
    /// # Errors
    /// `Disk` when an operation failed, `Wrong` when recovery has lost or made up something.
    fn open(
        disk: &Arc<dyn Disk>,
        clock: &Arc<SimClock>,
        model: &mut Self::Model,
    ) -> Result<Self, Stop>;

    /// Does one random thing and notes in the model what was acknowledged.
    ///
    /// # Errors
    /// As [`System::open`].
    fn step(&mut self, rng: &mut Rng, model: &mut Self::Model) -> Result<(), Stop>;
}

/// How a system is driven.
#[derive(Clone, Copy)]
pub struct Options {
    /// Crashes per run.
    pub rounds: u32,
    /// Steps per round, at most.
    pub steps: u32,
    /// Power is cut within so many disk operations.
    pub cut_within: u64,
    /// The operation at which power is cut in the first round; random unless given.
    pub first_cut: Option<u64>,
    /// Percentage of disk operations that fail, in half of the runs.
    pub fail_percent: u64,
    /// A kind of sync that the disk skips.
    pub mutant: Option<Mutant>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            rounds: 6,
            steps: 60,
            cut_within: 120,
            first_cut: None,
            fail_percent: 2,
            mutant: None,
        }
    }
}

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Disk operations.
    pub ops: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Kills with the power on.
    pub kills: u64,
    /// Crashes while recovering.
    pub in_recovery: u64,
    /// Syncs that the mutant skipped.
    pub skipped: u64,
}

/// A system that failed, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run's seed.
    pub seed: u64,
    /// The crash after which it showed.
    pub round: u32,
    /// Disk operations before it showed.
    pub ops: u64,
    /// What was wrong.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}, round {}, after {} disk operations: {} (replay with TIDEMILL_SIM_SEED={})",
            self.seed, self.round, self.ops, self.what, self.seed
        )
    }
}

/// Drives a system through `options.rounds` crashes and a last clean start. Everything follows from `seed`.
///
/// # Errors
/// The first wrong answer.
pub fn drive<S: System>(seed: u64, options: &Options) -> Result<Stats, Failure> {
    let mut rng = Rng::new(seed ^ 0x7469_6465_6d69_6c6c);
    let sim = SimDisk::new(seed);
    sim.mutate(options.mutant);
    let clock = Arc::new(SimClock::new(1_700_000_000_000_000_000));
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut model = S::Model::default();
    let mut stats = Stats::default();
    let failing = seed % 2 == 1;
    for round in 0..=options.rounds {
        let last = round == options.rounds;
        if !last {
            let random = 1 + rng.below(options.cut_within);
            let first = options.first_cut.filter(|_| round == 0);
            sim.cut_after(first.unwrap_or(random));
        }
        sim.fail(if failing && !last {
            options.fail_percent
        } else {
            0
        });
        let outcome = run_round::<S>(
            &disk, &clock, &mut model, &mut rng, options, last, &mut stats,
        );
        let wrong = match outcome {
            Err(Stop::Wrong(what)) => Some(what),
            Err(Stop::Disk(what)) if last => Some(format!("a disk without faults failed: {what}")),
            Ok(()) | Err(Stop::Disk(_)) => sim.violation(),
        };
        stats.ops = sim.ops();
        stats.skipped = sim.skipped();
        if let Some(what) = wrong {
            return Err(Failure {
                seed,
                round,
                ops: stats.ops,
                what,
            });
        }
        clock.jump(rng.below(7_200_000_000_000).cast_signed() - 3_600_000_000_000);
        if sim.is_powered() && rng.chance(40) {
            stats.kills += 1;
            sim.kill();
        } else {
            stats.cuts += 1;
            sim.lose_power();
        }
    }
    Ok(stats)
}

fn run_round<S: System>(
    disk: &Arc<dyn Disk>,
    clock: &Arc<SimClock>,
    model: &mut S::Model,
    rng: &mut Rng,
    options: &Options,
    last: bool,
    stats: &mut Stats,
) -> Result<(), Stop> {
    let mut system = S::open(disk, clock, model).inspect_err(|_| stats.in_recovery += 1)?;
    if last {
        return Ok(());
    }
    for _ in 0..rng.below(u64::from(options.steps)) {
        clock.advance(rng.below(20_000_000));
        system.step(rng, model)?;
    }
    Ok(())
}

/// The seeds to run: the one in `TIDEMILL_SIM_SEED`, else as many as `TIDEMILL_SIM_SEEDS` says, else `default`.
#[must_use]
pub fn seeds(default: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("TIDEMILL_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("TIDEMILL_SIM_SEEDS").unwrap_or(default)).collect(),
    }
}
