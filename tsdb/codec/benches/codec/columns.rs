//! The columns that the bench encodes, all from fixed seeds.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Rows of a series in a chunk.
const PER_SERIES: usize = 1000;

/// A column of integers, sorted by series and time.
pub struct Integers {
    /// What it is like.
    pub name: &'static str,
    /// Its rows.
    pub values: Vec<i64>,
    /// The rows at which series start.
    pub run_starts: Vec<u32>,
}

/// A normal random number (Box and Muller).
fn normal(rng: &mut SmallRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Gauges as in the TSBS cpu-only load: 0..=100, steps of N(0, 1), cut to whole numbers.
fn gauges(rows: usize, per_series: usize) -> Vec<i64> {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut level = 0.0;
    let mut next = |row: usize| {
        if row.is_multiple_of(per_series) {
            level = rng.random_range(0.0..100.0);
        }
        level = (level + normal(&mut rng)).clamp(0.0, 100.0);
        level as i64
    };
    (0..rows).map(&mut next).collect()
}

/// Times of series, 10 s apart, each up to `jitter` late.
fn times(rows: usize, jitter: i64) -> Vec<i64> {
    let mut rng = SmallRng::seed_from_u64(2);
    let regular = |row: usize| (row % PER_SERIES) as i64 * 10_000_000_000;
    (0..rows)
        .map(|row| 1_451_606_400_000_000_000 + regular(row) + rng.random_range(0..=jitter))
        .collect()
}

/// All integer columns.
pub fn integers(rows: usize) -> Vec<Integers> {
    let mut rng = SmallRng::seed_from_u64(3);
    let counter = (0..rows).scan(0i64, |sum, row| {
        *sum = if row.is_multiple_of(PER_SERIES) {
            0
        } else {
            *sum + rng.random_range(0..400)
        };
        Some(*sum)
    });
    let counter = counter.collect();
    let uniform = (0..rows).map(|_| rng.random_range(0..1000)).collect();
    let column = |name, values, per_series| Integers {
        name,
        values,
        run_starts: (0..rows as u32).step_by(per_series).collect(),
    };
    vec![
        column("gauge, 1000 a series", gauges(rows, PER_SERIES), PER_SERIES),
        column("gauge, 100 a series", gauges(rows, 100), 100),
        column("times, regular", times(rows, 0), PER_SERIES),
        column("times, 1 ms jitter", times(rows, 1_000_000), PER_SERIES),
        column("counter", counter, PER_SERIES),
        column("uniform 0..1000", uniform, PER_SERIES),
    ]
}

/// All float columns.
pub fn floats(rows: usize) -> Vec<(&'static str, Vec<f64>)> {
    let mut rng = SmallRng::seed_from_u64(4);
    let prices = (0..rows)
        .map(|_| f64::from(rng.random_range(100..50_000)) / 100.0)
        .collect();
    let mut rng = SmallRng::seed_from_u64(5);
    let mut level = 20.0;
    let mut walk = |_| {
        level += normal(&mut rng) / 10.0;
        level
    };
    let tenths = (0..rows)
        .map(&mut walk)
        .map(|v| (v * 10.0).round() / 10.0)
        .collect();
    let full = (0..rows).map(&mut walk).collect();
    let whole = gauges(rows, PER_SERIES).iter().map(|&v| v as f64).collect();
    vec![
        ("prices in cents", prices),
        ("temperature, 0.1", tenths),
        ("walk, all digits", full),
        ("whole gauge", whole),
    ]
}

/// All string columns, as offsets and bytes.
pub fn strings(rows: usize) -> Vec<(&'static str, Vec<u32>, Vec<u8>)> {
    let column = |name, string: &dyn Fn(usize) -> String| {
        let (mut offsets, mut data) = (vec![0], Vec::new());
        for row in 0..rows {
            data.extend_from_slice(string(row).as_bytes());
            offsets.push(data.len() as u32);
        }
        (name, offsets, data)
    };
    vec![
        column("hosts, sorted", &|row| format!("host_{}", row / 100)),
        column("cities, mixed", &|row| format!("city {}", row * 7919 % 61)),
        column("paths, distinct", &|row| format!("/shop/item/{}", row * 31)),
    ]
}
