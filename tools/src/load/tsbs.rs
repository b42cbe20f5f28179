//! TSBS' DevOps use case, cpu-only: every host reports ten usages, each a random walk between 0 and 100, once per
//! tick. After the suite's published definition. Rendering is table look-ups and copies, since it shares the machine
//! with the server that it measures.

use super::args::TsbsData;
use super::drive::{Batch, Load};
use anyhow::Context;
use rand::seq::SliceRandom;
use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};
use serde_json::{Map, Value, json};
use std::io::Write;

/// Tidemill's route, in Influx form.
pub(super) const PATH: &str = "/write?db=benchmark&precision=ns";

const FIELDS: usize = 10;
const NAMES: [&str; FIELDS] = [
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

/// Regions and how many data centers each has.
const REGIONS: [(&str, u32); 9] = [
    ("us-east-1", 5),
    ("us-west-1", 2),
    ("us-west-2", 3),
    ("eu-west-1", 3),
    ("eu-central-1", 2),
    ("ap-southeast-1", 2),
    ("ap-southeast-2", 2),
    ("ap-northeast-1", 2),
    ("sa-east-1", 3),
];

/// Bytes of one rendered field at most; each is copied whole and cut by its length.
const CELL: usize = 32;
/// Drawn steps; a power of two that 16 random bits index.
const STEPS: usize = 1 << 16;
/// Orders of the fields to draw from.
const ORDERS: usize = 256;

/// `,usage_user=58i`, ready to copy.
#[derive(Clone, Copy)]
struct Cell {
    text: [u8; CELL],
    len: u8,
}

/// Renders rows in order of time, within a tick in order of hosts.
pub(super) struct Source {
    rng: SmallRng,
    /// `cpu,hostname=..,..` per host, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
    state: Vec<[f32; FIELDS]>,
    steps: Vec<f32>,
    cells: Vec<Cell>,
    orders: Vec<[u8; FIELDS]>,
    shuffle: bool,
    drop_percent: u64,
    host: usize,
    time: i64,
    interval: i64,
    time_text: Vec<u8>,
    start: i64,
    last: i64,
    sums: [i64; FIELDS],
    counts: [u64; FIELDS],
}

/// What the rows of a batch add up to.
#[derive(Default)]
pub(super) struct Sums {
    sums: [i64; FIELDS],
    counts: [u64; FIELDS],
    last: i64,
}

impl Source {
    pub fn new(data: &TsbsData, seed: u64) -> anyhow::Result<Source> {
        let start = chrono::DateTime::parse_from_rfc3339(&data.start)
            .with_context(|| format!("--start {}", data.start))?
            .timestamp_nanos_opt()
            .context("--start is out of range")?;
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut keys, mut ends) = (Vec::new(), Vec::new());
        for host in 0..data.hosts {
            key(&mut rng, host, &mut keys)?;
            ends.push(keys.len());
        }
        let state = (0..data.hosts)
            .map(|_| std::array::from_fn(|_| rng.random_range(0.0..=100.0)))
            .collect();
        let steps = (0..STEPS / 2).flat_map(|_| normal_pair(&mut rng)).collect();
        let mut order: [u8; FIELDS] = std::array::from_fn(|i| i as u8);
        let mut orders = vec![order];
        for _ in 1..ORDERS {
            order.shuffle(&mut rng);
            orders.push(order);
        }
        let mut source = Source {
            rng,
            keys,
            ends,
            state,
            steps,
            cells: cells(),
            orders,
            shuffle: data.shuffle_fields,
            drop_percent: u64::from(data.drop_fields),
            host: 0,
            time: start,
            interval: i64::from(data.interval) * 1_000_000_000,
            time_text: Vec::new(),
            start,
            last: start,
            sums: [0; FIELDS],
            counts: [0; FIELDS],
        };
        source.set_time(start)?;
        Ok(source)
    }

    fn set_time(&mut self, time: i64) -> anyhow::Result<()> {
        self.time = time;
        self.time_text.clear();
        writeln!(self.time_text, " {time}")?;
        Ok(())
    }

    /// The host of the next row and its time.
    fn place(&self) -> (usize, i64) {
        (self.host, self.time)
    }

    fn row(&mut self, out: &mut Vec<u8>, sums: &mut Sums) -> anyhow::Result<()> {
        let host = self.host;
        let from = host.checked_sub(1).map_or(0, |h| self.ends[h]);
        let key = &self.keys[from..self.ends[host]];
        let at = out.len();
        out.resize(at + key.len() + FIELDS * CELL + 32, 0);
        let row = &mut out[at..];
        row[..key.len()].copy_from_slice(key);
        let mut pos = key.len();
        let bits = [
            self.rng.next_u64(),
            self.rng.next_u64(),
            self.rng.next_u64(),
        ];
        // The third word has bits to spare behind the ten steps.
        let spare = bits[2] >> 32;
        let order = if self.shuffle {
            &self.orders[(spare & 0xff) as usize]
        } else {
            &self.orders[0]
        };
        let fields =
            if self.drop_percent > 0 && (spare >> 8 & 0xffff) * 100 < self.drop_percent << 16 {
                1 + (spare >> 24) as usize % (FIELDS - 1)
            } else {
                FIELDS
            };
        let state = &mut self.state[host];
        let mut first = b' ';
        for (i, field) in order.iter().enumerate() {
            let field = usize::from(*field);
            let step = self.steps[(bits[i / 4] >> (i % 4 * 16) & 0xffff) as usize % STEPS];
            let value = (state[field] + step).clamp(0.0, 100.0);
            state[field] = value;
            if i >= fields {
                continue;
            }
            let value = value.round_ties_even() as usize;
            let cell = &self.cells[field * 101 + value.min(100)];
            row[pos..pos + CELL].copy_from_slice(&cell.text);
            row[pos] = first;
            first = b',';
            pos += usize::from(cell.len);
            sums.sums[field] += value as i64;
            sums.counts[field] += 1;
        }
        row[pos..pos + self.time_text.len()].copy_from_slice(&self.time_text);
        let len = at + pos + self.time_text.len();
        out.truncate(len);
        sums.last = self.time;
        self.host += 1;
        if self.host == self.ends.len() {
            self.host = 0;
            self.set_time(
                self.time
                    .checked_add(self.interval)
                    .context("event time ran out of range")?,
            )?;
        }
        Ok(())
    }
}

impl Load for Source {
    type Proof = Sums;

    fn render(&mut self, rows: u64, out: &mut Vec<u8>) -> anyhow::Result<Batch<Sums>> {
        let mut proof = Sums::default();
        let mut place = self.place();
        for _ in 0..rows {
            place = self.place();
            self.row(out, &mut proof)?;
        }
        let (host, time) = place;
        Ok(Batch {
            rows,
            proof,
            sample: (host as u64, time),
        })
    }

    fn acknowledged(&mut self, proof: &Sums) {
        for i in 0..FIELDS {
            self.sums[i] += proof.sums[i];
            self.counts[i] += proof.counts[i];
        }
        self.last = self.last.max(proof.last);
    }

    fn facts(&self) -> Map<String, Value> {
        let per_field = |f: &dyn Fn(usize) -> Value| {
            NAMES
                .iter()
                .enumerate()
                .map(|(i, n)| ((*n).to_owned(), f(i)))
                .collect()
        };
        let mut facts = Map::new();
        facts.insert("hosts".into(), json!(self.ends.len()));
        facts.insert("first_time".into(), json!(self.start));
        facts.insert("last_time".into(), json!(self.last));
        facts.insert(
            "sums".into(),
            Value::Object(per_field(&|i| json!(self.sums[i]))),
        );
        facts.insert(
            "counts".into(),
            Value::Object(per_field(&|i| json!(self.counts[i]))),
        );
        facts
    }

    fn query((host, time): (u64, i64)) -> Option<String> {
        let time = chrono::DateTime::from_timestamp_nanos(time).format("%Y-%m-%d %H:%M:%S%.f");
        Some(format!(
            "SELECT count(*) FROM cpu WHERE hostname = 'host_{host}' AND time = TIMESTAMP '{time}'"
        ))
    }
}

/// Appends measurement and tags of a host.
fn key(rng: &mut SmallRng, host: u32, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let (region, centers) = REGIONS[rng.random_range(0..REGIONS.len())];
    let center = char::from(b'a' + rng.random_range(0..centers) as u8);
    let os = ["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"][rng.random_range(0..3)];
    let arch = ["x64", "x86"][rng.random_range(0..2)];
    let team = ["SF", "NYC", "LON", "CHI"][rng.random_range(0..4)];
    let environment = ["production", "staging", "test"][rng.random_range(0..3)];
    let (rack, service, version) = (
        rng.random_range(0..100),
        rng.random_range(0..20),
        rng.random_range(0..2),
    );
    write!(
        out,
        "cpu,hostname=host_{host},region={region},datacenter={region}{center},rack={rack},os={os},arch={arch},\
         team={team},service={service},service_version={version},service_environment={environment}"
    )?;
    Ok(())
}

fn cells() -> Vec<Cell> {
    let cell = |name: &str, value: usize| {
        let rendered = format!(",{name}={value}i");
        let mut text = [0; CELL];
        text[..rendered.len()].copy_from_slice(rendered.as_bytes());
        Cell {
            text,
            len: rendered.len() as u8,
        }
    };
    NAMES
        .iter()
        .flat_map(|n| (0..=100).map(move |v| cell(n, v)))
        .collect()
}

/// Two draws from N(0, 1) (Box and Muller).
fn normal_pair(rng: &mut SmallRng) -> [f32; 2] {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    let (radius, angle) = ((-2.0 * u.ln()).sqrt(), std::f64::consts::TAU * v);
    [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn data(shuffle_fields: bool, drop_fields: u8) -> TsbsData {
        TsbsData {
            hosts: 37,
            start: "2016-01-01T00:00:00Z".into(),
            interval: 10,
            shuffle_fields,
            drop_fields,
        }
    }

    /// Checks every line and gives the sums as the text has them.
    fn read(text: &str, hosts: usize) -> (HashMap<String, i64>, usize, usize) {
        let (mut sums, mut short, mut orders) = (HashMap::new(), 0, HashSet::new());
        for (i, line) in text.lines().enumerate() {
            let [key, fields, time] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let mut tags = key.split(',');
            assert_eq!(tags.next(), Some("cpu"));
            assert_eq!(tags.next().unwrap(), format!("hostname=host_{}", i % hosts));
            assert_eq!(tags.count(), 9);
            assert_eq!(
                time,
                (1_451_606_400_000_000_000 + (i / hosts) as i64 * 10_000_000_000).to_string()
            );
            let mut names = Vec::new();
            for field in fields.split(',') {
                let (name, value) = field.split_once('=').unwrap();
                let value: i64 = value.strip_suffix('i').unwrap().parse().unwrap();
                assert!((0..=100).contains(&value));
                *sums.entry(name.to_owned()).or_default() += value;
                names.push(name);
            }
            assert!(names.iter().all(|n| NAMES.contains(n)));
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
            short += usize::from(names.len() < FIELDS);
            orders.insert(names.join(","));
        }
        (sums, short, orders.len())
    }

    #[test]
    fn sums_are_those_of_the_text() {
        for (shuffle, drop) in [(false, 0), (true, 0), (false, 5), (true, 100)] {
            let mut source = Source::new(&data(shuffle, drop), 7).unwrap();
            let mut text = Vec::new();
            for rows in [1, 36, 500, 3000] {
                let batch = source.render(rows, &mut text).unwrap();
                assert_eq!(batch.rows, rows);
                source.acknowledged(&batch.proof);
            }
            let _unacknowledged = source.render(10, &mut Vec::new()).unwrap();
            let (sums, short, orders) = read(std::str::from_utf8(&text).unwrap(), 37);
            let facts = source.facts();
            for name in NAMES {
                assert_eq!(
                    facts["sums"][name],
                    sums.get(name).copied().unwrap_or(0),
                    "{name}"
                );
            }
            match drop {
                0 => assert_eq!(short, 0),
                5 => assert!((70..300).contains(&short), "{short}"),
                _ => assert_eq!(short, 3537),
            }
            assert_eq!(orders > 20, shuffle);
        }
    }

    #[test]
    fn walks_are_random_and_the_seed_decides() {
        let render = |seed| {
            let mut text = Vec::new();
            Source::new(&data(false, 0), seed)
                .unwrap()
                .render(370, &mut text)
                .unwrap();
            text
        };
        assert_eq!(render(1), render(1));
        assert_ne!(render(1), render(2));
        let steps = Source::new(&data(false, 0), 3).unwrap().steps;
        let mean = steps.iter().sum::<f32>() / steps.len() as f32;
        let variance = steps.iter().map(|s| s * s).sum::<f32>() / steps.len() as f32;
        assert!(
            mean.abs() < 0.02 && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
    }

    #[test]
    fn the_query_asks_for_one_row() {
        let mut source = Source::new(&data(false, 0), 1).unwrap();
        let batch = source.render(38, &mut Vec::new()).unwrap();
        assert_eq!(
            <Source as Load>::query(batch.sample).unwrap(),
            "SELECT count(*) FROM cpu WHERE hostname = 'host_0' AND time = TIMESTAMP '2016-01-01 00:00:10'"
        );
    }
}
