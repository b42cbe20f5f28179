//! Purchases as a shop would post them: honest users, each of whom buys in one city, and planted fraudsters, each of
//! whom goes from city to city and so stands out in a view over users and cities.

use super::args::PurchasesData;
use super::drive::{Batch, Load};
use anyhow::Context;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Map, Value, json};
use std::io::Write;

/// Tidemill's route.
pub(super) const PATH: &str = "/api/v1/ingest/purchases";

const CITIES: [&str; 12] = [
    "Oslo", "Lisbon", "Berlin", "Paris", "Madrid", "Rome", "Vienna", "Prague", "Warsaw", "Athens",
    "Dublin", "Helsinki",
];

/// The first id of the fraudsters; honest ids are below it.
const FRAUD_BASE: u64 = 9_000_000_000;

pub(super) struct Source {
    rng: SmallRng,
    users: u32,
    fraudsters: u32,
    every: u32,
    start_ms: i64,
    interval_ms: i64,
    number: u64,
    cents: i128,
    planted: u64,
    last_ms: i64,
}

/// What the rows of a batch add up to.
#[derive(Default)]
pub(super) struct Sums {
    cents: i128,
    planted: u64,
    last_ms: i64,
}

impl Source {
    pub fn new(data: &PurchasesData, seed: u64) -> anyhow::Result<Source> {
        let start_ms = match &data.start {
            Some(text) => chrono::DateTime::parse_from_rfc3339(text)
                .with_context(|| format!("--start {text}"))?
                .timestamp_millis(),
            None => chrono::Utc::now().timestamp_millis(),
        };
        Ok(Source {
            rng: SmallRng::seed_from_u64(seed),
            users: data.users,
            fraudsters: data.fraudsters,
            every: data.fraud_every,
            start_ms,
            interval_ms: i64::from(data.interval_ms),
            number: 0,
            cents: 0,
            planted: 0,
            last_ms: start_ms,
        })
    }

    /// Event time of the purchase at hand.
    fn time(&self) -> anyhow::Result<i64> {
        let offset = i64::try_from(self.number)
            .ok()
            .and_then(|n| n.checked_mul(self.interval_ms));
        offset
            .and_then(|o| o.checked_add(self.start_ms))
            .context("event time ran out of range")
    }
}

impl Load for Source {
    type Proof = Sums;

    fn render(&mut self, rows: u64, out: &mut Vec<u8>) -> anyhow::Result<Batch<Sums>> {
        let mut proof = Sums::default();
        for _ in 0..rows {
            let fraud = self.fraudsters > 0 && self.number.is_multiple_of(u64::from(self.every));
            let (user, city) = if fraud {
                let turn = self.number / u64::from(self.every);
                let (who, visit) = (
                    turn % u64::from(self.fraudsters),
                    turn / u64::from(self.fraudsters),
                );
                (FRAUD_BASE + who, (who + visit) as usize % CITIES.len())
            } else {
                let user = self.rng.random_range(0..self.users);
                (u64::from(user), user as usize % CITIES.len())
            };
            let cents = self.rng.random_range(100i64..50_000);
            let time = self.time()?;
            writeln!(
                out,
                "{{\"user_id\":{user},\"amount\":{}.{:02},\"city\":\"{}\",\"timestamp\":{time}}}",
                cents / 100,
                cents % 100,
                CITIES[city]
            )?;
            proof.cents += i128::from(cents);
            proof.planted += u64::from(fraud);
            proof.last_ms = time;
            self.number += 1;
        }
        Ok(Batch {
            rows,
            sample: (0, proof.last_ms),
            proof,
        })
    }

    fn acknowledged(&mut self, proof: &Sums) {
        self.cents += proof.cents;
        self.planted += proof.planted;
        self.last_ms = self.last_ms.max(proof.last_ms);
    }

    fn facts(&self) -> Map<String, Value> {
        let ids: Vec<u64> = (0..u64::from(self.fraudsters))
            .map(|f| FRAUD_BASE + f)
            .collect();
        let mut facts = Map::new();
        facts.insert(
            "sums".into(),
            json!({"amount": format!("{}.{:02}", self.cents / 100, self.cents % 100)}),
        );
        facts.insert("fraudsters".into(), json!(ids));
        facts.insert("planted_purchases".into(), json!(self.planted));
        facts.insert("first_time_ms".into(), json!(self.start_ms));
        facts.insert("last_time_ms".into(), json!(self.last_ms));
        facts
    }

    fn query(_: (u64, i64)) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn fraudsters_alone_buy_in_many_cities() {
        let data = PurchasesData {
            users: 500,
            fraudsters: 3,
            fraud_every: 20,
            start: Some("2026-01-01T00:00:00Z".into()),
            interval_ms: 10,
        };
        let mut source = Source::new(&data, 1).unwrap();
        let mut out = Vec::new();
        for _ in 0..4 {
            let batch = source.render(500, &mut out).unwrap();
            source.acknowledged(&batch.proof);
        }
        let mut cities: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        let (mut cents, mut last) = (0, 0);
        for line in std::str::from_utf8(&out).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            cities
                .entry(row["user_id"].as_u64().unwrap())
                .or_default()
                .insert(row["city"].as_str().unwrap().into());
            cents += (row["amount"].as_f64().unwrap() * 100.0).round() as i64;
            last = row["timestamp"].as_i64().unwrap();
        }
        let many: Vec<u64> = cities
            .iter()
            .filter(|(_, c)| c.len() >= 3)
            .map(|(u, _)| *u)
            .collect();
        let facts = source.facts();
        assert_eq!(json!(many), facts["fraudsters"]);
        assert_eq!(
            facts["sums"]["amount"],
            format!("{}.{:02}", cents / 100, cents % 100)
        );
        assert_eq!(facts["planted_purchases"], 100);
        assert_eq!(facts["last_time_ms"], last);
    }
}
