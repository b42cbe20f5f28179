//! Purchases that the demo makes up: many honest users, each of whom buys in the two cities of his life, and a few
//! fraudsters, who go through many cities within minutes and rest for a while.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::io::Write;

const CITIES: [&str; 12] = [
    "Oslo", "Lisbon", "Berlin", "Paris", "Madrid", "Rome", "Vienna", "Prague", "Warsaw", "Athens",
    "Dublin", "Helsinki",
];

/// Honest users have ids below this, fraudsters from here on.
pub(super) const FRAUDSTERS: u64 = 9_000;
/// Honest users.
const HONEST: u64 = 2_000;
/// Seconds of a fraudster's spree, and from the beginning of one to the next.
const SPREE: (i64, i64) = (40, 300);

/// Makes purchases.
pub(super) struct Shop {
    rng: SmallRng,
    fraudsters: u64,
    rate: f64,
    due: f64,
}

impl Shop {
    /// A shop with so many purchases a second and so many fraudsters; a seed makes the same ones again.
    pub(super) fn new(rate: f64, fraudsters: u64, seed: u64) -> Shop {
        Shop {
            rng: SmallRng::seed_from_u64(seed),
            fraudsters,
            rate,
            due: 0.0,
        }
    }

    /// The purchases of the `seconds` before `now_ms`, as NDJSON, and how many they are.
    pub(super) fn purchases(&mut self, now_ms: i64, seconds: f64) -> (Bytes, u64) {
        // What is no whole purchase yet becomes one later.
        self.due += self.rate * seconds;
        let honest = self.due.floor();
        self.due -= honest;
        let span_ms = ((seconds * 1e3) as i64).max(1);
        let (mut body, mut count) = (Vec::new(), 0);
        for _ in 0..honest as u64 {
            let user = self.rng.random_range(0..HONEST);
            let city = user as usize + usize::from(self.rng.random_ratio(1, 4));
            let time = now_ms - self.rng.random_range(0..span_ms);
            self.purchase(&mut body, user, city, time);
            count += 1;
        }
        for who in 0..self.fraudsters {
            let phase =
                (now_ms / 1000 + who as i64 * SPREE.1 / self.fraudsters.max(1) as i64) % SPREE.1;
            // About one purchase in three seconds of a spree.
            if phase < SPREE.0 && self.rng.random_bool((seconds / 3.0).clamp(0.0, 1.0)) {
                let city = self.rng.random_range(0..CITIES.len());
                self.purchase(&mut body, FRAUDSTERS + who, city, now_ms);
                count += 1;
            }
        }
        (body.into(), count)
    }

    fn purchase(&mut self, body: &mut Vec<u8>, user: u64, city: usize, time_ms: i64) {
        let cents = self.rng.random_range(199..40_000);
        let city = CITIES[city % CITIES.len()];
        let (whole, part) = (cents / 100, cents % 100);
        // Writing to memory does not fail.
        let _ = writeln!(
            body,
            r#"{{"user_id":{user},"amount":{whole}.{part:02},"city":"{city}","timestamp":{time_ms}}}"#
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn fraudsters_alone_stand_out_within_an_hour() {
        let mut shop = Shop::new(20.0, 4, 7);
        let mut cities: BTreeMap<u64, (u64, BTreeSet<String>)> = BTreeMap::new();
        let start = 1_700_000_000_000;
        for tick in 0..4 * 3600 {
            let (body, count) = shop.purchases(start + tick * 250, 0.25);
            let lines: Vec<&[u8]> = body
                .split(|b| *b == b'\n')
                .filter(|l| !l.is_empty())
                .collect();
            assert_eq!(lines.len() as u64, count);
            for line in lines {
                let row: Value = serde_json::from_slice(line).unwrap();
                let time = row["timestamp"].as_i64().unwrap();
                assert!(time > start + tick * 250 - 250 && time <= start + tick * 250);
                let seen = cities.entry(row["user_id"].as_u64().unwrap()).or_default();
                seen.0 += 1;
                seen.1.insert(row["city"].as_str().unwrap().to_owned());
            }
        }
        for (user, (purchases, cities)) in &cities {
            let suspicious = *purchases >= 5 && cities.len() >= 3;
            assert_eq!(
                suspicious,
                *user >= FRAUDSTERS,
                "user {user}: {purchases} purchases in {cities:?}"
            );
        }
        assert_eq!(cities.keys().filter(|u| **u >= FRAUDSTERS).count(), 4);
    }

    #[test]
    fn the_rate_is_kept_over_uneven_ticks() {
        let mut shop = Shop::new(7.0, 0, 1);
        let ticks = [0.1, 0.033, 0.9, 0.25, 0.0171];
        let sum: u64 = (0..1000)
            .map(|i| shop.purchases(1_700_000_000_000, ticks[i % 5]).1)
            .sum();
        let expected = 7.0 * ticks.iter().sum::<f64>() * 200.0;
        assert!((sum as f64 - expected).abs() < 2.0, "{sum} for {expected}");
    }
}
