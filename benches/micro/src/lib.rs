//! What the micro benchmarks share: the load that they run on.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write;

/// Fields of a TSBS cpu-only row.
pub const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// Renders TSBS cpu-only rows as line protocol: hosts in turn, ten seconds from one round to the next, each field a
/// clamped random walk.
pub struct Tsbs {
    rng: SmallRng,
    tags: Vec<String>,
    values: Vec<[f64; 10]>,
    host: usize,
    time: i64,
}

impl Tsbs {
    /// A load over so many hosts; `first` sets one load's hosts apart from another's.
    #[must_use]
    pub fn new(first: usize, hosts: usize) -> Tsbs {
        let mut rng = SmallRng::seed_from_u64(first as u64);
        let regions = [
            "us-east-1",
            "us-west-1",
            "eu-west-1",
            "eu-central-1",
            "ap-southeast-1",
            "sa-east-1",
        ];
        let tags = (first..first + hosts)
            .map(|h| {
                let region = regions[rng.random_range(0..regions.len())];
                format!(
                    "cpu,hostname=host_{h},region={region},datacenter={region}{},rack={},os=Ubuntu16.10,arch=x64,team=SF,\
                     service={},service_version={},service_environment=production ",
                    rng.random_range(0..3),
                    rng.random_range(0..100),
                    rng.random_range(0..20),
                    rng.random_range(0..2)
                )
            })
            .collect();
        let values = (0..hosts)
            .map(|_| std::array::from_fn(|_| rng.random_range(0.0..100.0)))
            .collect();
        Tsbs {
            rng,
            tags,
            values,
            host: 0,
            time: 1_451_606_400_000_000_000,
        }
    }

    /// The next rows.
    pub fn render(&mut self, rows: usize) -> Vec<u8> {
        let mut out = String::with_capacity(rows * 360);
        for _ in 0..rows {
            out.push_str(&self.tags[self.host]);
            for (i, value) in self.values[self.host].iter_mut().enumerate() {
                // The sum of a few uniform numbers stands in for a normal one.
                let step: f64 = (0..4).map(|_| self.rng.random_range(-0.866..0.866)).sum();
                *value = (*value + step).clamp(0.0, 100.0);
                let comma = if i == 0 { "" } else { "," };
                // Writing to a string can't fail.
                let _ = write!(out, "{comma}{}={}i", FIELDS[i], *value as i64);
            }
            let _ = writeln!(out, " {}", self.time);
            self.host += 1;
            if self.host == self.tags.len() {
                self.host = 0;
                self.time += 10_000_000_000;
            }
        }
        out.into_bytes()
    }
}
