//! The whole engine on the simulated disk: commits, flushes and restarts, with power cut at any operation.
//!
//! The model knows every request: an acknowledged one must be there whole and once, any other whole or not at all.

use super::recover::{Parts, look_after_files_once};
use super::*;
use crate::ledger::{Advance, KeyedReply};
use crate::sim::{Mutant, Options, Rng, SimClock, Stop, SyncEvent, SyncKind, System, drive, seeds};
use crate::{BatchBuilder, ColumnId, DataType, Role, ScanSpec, Stream, StreamDef};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What each request has written, by its number.
#[derive(Clone, Copy)]
struct Written {
    rows: u64,
    acked: bool,
}

#[derive(Default)]
struct Model {
    requests: Arc<Mutex<BTreeMap<i64, Written>>>,
    next: i64,
    streams_acked: bool,
    /// A request whose place was taken before has been acknowledged.
    taken_twice: Arc<Mutex<bool>>,
}

struct EngineSystem {
    parts: Parts,
    /// Says how far the source was taken in a commit of its own, ahead of the rows: what must never be.
    apart: bool,
}

const NAMES: [&str; 2] = ["a", "b"];
/// The partition of the source that all requests come from: each is one place of it, by its number.
const PARTITION: &str = "source/0";
/// Columns: time, host (tag), request, row of the request, and what is added later.
const REQUEST: ColumnId = ColumnId(2);
const ROW: ColumnId = ColumnId(3);

fn def() -> StreamDef {
    let column = |n: &str, t, r| (n.to_owned(), t, r);
    StreamDef {
        columns: vec![
            column("time", DataType::Timestamp, Role::Time),
            column("host", DataType::Utf8, Role::Tag),
            column("request", DataType::Int64, Role::Field),
            column("row", DataType::Int64, Role::Field),
        ],
        ..StreamDef::default()
    }
}

fn stop(error: Error) -> Stop {
    match error {
        // Damage is never what a power cut leaves behind.
        Error::Corrupt { .. } | Error::InvalidDefinition(_) => Stop::Wrong(error.to_string()),
        other => Stop::Disk(other.to_string()),
    }
}

/// What a request says of its source, and its reply.
fn marks(stream: &Stream, request: i64) -> (Vec<Advance>, Option<KeyedReply>) {
    let advance = Advance {
        stream: stream.id,
        partition: PARTITION.into(),
        origin: "".into(),
        from: request as u64,
        next: request as u64 + 1,
        after: None,
    };
    let keyed = KeyedReply {
        key: request as u128,
        request: request as u128 * 7,
        reply: request.to_string().into(),
    };
    (vec![advance], Some(keyed))
}

fn host_of(request: i64, row: i64) -> String {
    format!("h{}", (request * 31 + row) % 9)
}

impl EngineSystem {
    fn snapshot(&self) -> Snapshot {
        Snapshot::new(
            self.parts.shared.published.lock().version.clone(),
            self.parts.shared.catalog.clone(),
        )
    }

    /// Rows per request over both streams; each row is checked against its tag, and found once.
    fn read(&self) -> Result<BTreeMap<i64, u64>, Stop> {
        let mut seen: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let snapshot = self.snapshot();
        for stream in NAMES
            .iter()
            .filter_map(|n| snapshot.catalog().stream("default", n))
        {
            let spec = ScanSpec {
                columns: vec![REQUEST, ROW],
                ..ScanSpec::default()
            };
            let hosts = stream.series().tag_codes(ColumnId(1));
            let mut wrong = None;
            let scan = snapshot.scan(&stream, spec).map_err(stop)?;
            scan.read_all(&mut |b| {
                for i in 0..b.rows {
                    let at = |c: usize| b.columns[c].as_ref().map_or(i64::MIN, |v| v.i64_at(i));
                    let (request, row) = (at(0), at(1));
                    let host = hosts.value(hosts.code(b.series[i])).map(|h| h.to_string());
                    if host != Some(host_of(request, row)) || b.time[i] != request * 1000 + row {
                        wrong = Some(format!(
                            "row {row} of request {request} has host {host:?}, time {}",
                            b.time[i]
                        ));
                    }
                    seen.entry(request).or_default().push(row);
                }
                ControlFlow::Continue(())
            })
            .map_err(stop)?;
            if let Some(wrong) = wrong {
                return Err(Stop::Wrong(wrong));
            }
        }
        let mut counts = BTreeMap::new();
        for (request, mut rows) in seen {
            rows.sort_unstable();
            if rows.iter().enumerate().any(|(i, row)| *row != i as i64) {
                return Err(Stop::Wrong(format!("request {request} has rows {rows:?}")));
            }
            counts.insert(request, rows.len() as u64);
        }
        Ok(counts)
    }

    /// The source was taken exactly as far as there are rows of it, and exactly the requests that are there left keys.
    fn compare_ledger(&self, found: &BTreeMap<i64, u64>) -> Result<(), Stop> {
        let shared = &self.parts.shared;
        let Some(stream) = shared.catalog.stream("default", NAMES[0]) else {
            return Ok(());
        };
        let position = shared.ledger.position(stream.id, PARTITION);
        let next = position.map_or(0, |p| p.next);
        let expected = found.last_key_value().map_or(0, |(r, _)| *r as u64 + 1);
        if next != expected {
            return Err(Stop::Wrong(format!(
                "the source was taken up to {next}, its rows up to {expected}"
            )));
        }
        for request in 0..next as i64 {
            let kept = shared.ledger.reply(request as u128);
            let reply = kept.map(|k| (k.request, k.reply));
            let expected = marks(&stream, request).1.map(|k| (k.request, k.reply));
            if reply != expected.filter(|_| found.contains_key(&request)) {
                return Err(Stop::Wrong(format!(
                    "request {request} has the reply {reply:?}"
                )));
            }
        }
        Ok(())
    }

    fn compare(&self, model: &mut Model) -> Result<(), Stop> {
        if *model.taken_twice.lock() {
            return Err(Stop::Wrong("a place of the source was taken twice".into()));
        }
        let found = self.read()?;
        self.compare_ledger(&found)?;
        let mut requests = model.requests.lock();
        for (request, written) in requests.iter() {
            let rows = found.get(request).copied().unwrap_or(0);
            if rows != written.rows && (written.acked || rows != 0) {
                let acked = if written.acked {
                    "acknowledged"
                } else {
                    "unacknowledged"
                };
                let expected = written.rows;
                return Err(Stop::Wrong(format!(
                    "{acked} request {request} has {rows} of {expected} rows"
                )));
            }
        }
        if let Some(unknown) = found.keys().find(|r| !requests.contains_key(r)) {
            return Err(Stop::Wrong(format!("request {unknown} was never made")));
        }
        // What a recovery has shown must stay, and what it has not shown must not come back.
        requests.retain(|request, _| found.contains_key(request));
        requests.values_mut().for_each(|w| w.acked = true);
        Ok(())
    }

    fn request(&self, rng: &mut Rng, model: &mut Model) -> Request {
        let number = model.next;
        model.next += 1;
        let total = 1 + rng.below(12) as i64;
        let mut builders: Vec<(Arc<Stream>, BatchBuilder)> = NAMES
            .iter()
            .filter_map(|n| self.parts.shared.catalog.stream("default", n))
            .map(|s| (s.clone(), BatchBuilder::new(s.id)))
            .collect();
        for row in 0..total {
            let at = rng.index(builders.len());
            let (stream, builder) = &mut builders[at];
            let series = stream
                .series()
                .resolve(&[(ColumnId(1), &host_of(number, row))]);
            builder.begin_row(number * 1000 + row, series);
            for (id, value) in [(REQUEST, number), (ROW, row)] {
                if let Some(column) = builder.column(id, DataType::Int64) {
                    column.push_i64(value);
                }
            }
            if rng.chance(5) {
                let name = format!("extra{}", rng.below(6));
                if let Ok(schema) =
                    stream.ensure_columns(&[(&name, DataType::Float64, Role::Field)])
                    && let Some(column) = schema
                        .column(&name)
                        .and_then(|c| builder.column(c.id, c.data_type))
                {
                    column.push_f64(row as f64);
                }
            }
        }
        model.requests.lock().insert(
            number,
            Written {
                rows: total as u64,
                acked: false,
            },
        );
        let seal = rng.chance(50);
        let rows = builders
            .into_iter()
            .filter(|b| b.1.rows() > 0)
            .filter_map(|(_, b)| {
                if seal {
                    b.finish().map(Rows::Sealed)
                } else {
                    Some(Rows::Small(b))
                }
            });
        let rows = rows.collect();
        let stream = self.parts.shared.catalog.stream("default", NAMES[0]);
        let (advances, keyed) = stream.map(|s| marks(&s, number)).unwrap_or_default();
        Request {
            rows,
            tick: rng.chance(10),
            advances,
            keyed,
        }
    }

    fn commit(&mut self, rng: &mut Rng, model: &mut Model) {
        let waiting = (0..1 + rng.below(3)).map(|_| {
            let number = model.next;
            let (request, requests) = (self.request(rng, model), model.requests.clone());
            let done: Done = Box::new(move |result| {
                if let (Ok(_), Some(written)) = (result, requests.lock().get_mut(&number)) {
                    written.acked = true;
                }
            });
            (request, done)
        });
        let mut waiting: Vec<(Request, Done)> = waiting.collect();
        if rng.chance(30) {
            // What a source delivers again changes nothing, whether its commit is durable yet or not.
            let mut again = self.request(rng, model);
            model.requests.lock().remove(&(model.next - 1));
            for a in &mut again.advances {
                a.from -= 1;
            }
            let told = model.taken_twice.clone();
            let done: Done = Box::new(move |result| *told.lock() |= result.is_ok());
            waiting.push((again, done));
        }
        if self.apart {
            let ahead = waiting.iter_mut().map(|(request, _)| {
                let taken = Request {
                    advances: std::mem::take(&mut request.advances),
                    keyed: request.keyed.take(),
                    ..Request::default()
                };
                let done: Done = Box::new(|_| {});
                (taken, done)
            });
            let ahead = ahead.collect();
            self.parts.committer.take(ahead);
        }
        self.parts.committer.take(waiting);
    }

    fn drain(&mut self) {
        while self.parts.committer.in_flight() > 0 && !self.parts.committer.is_poisoned() {
            self.parts.committer.step(None);
        }
    }
}

impl System for EngineSystem {
    type Model = Model;

    fn open(
        disk: &Arc<dyn Disk>,
        clock: &Arc<SimClock>,
        model: &mut Model,
    ) -> Result<EngineSystem, Stop> {
        let config = EngineConfig {
            wal_file_bytes: 32 << 10,
            ..EngineConfig::new("")
        };
        let parts = Parts::recover(disk.clone(), clock.clone(), &config).map_err(stop)?;
        // Damage is never what a power cut leaves behind.
        if let Some(damage) = parts.shared.damage.lock().first() {
            return Err(Stop::Wrong(damage.clone()));
        }
        let mut system = EngineSystem {
            parts,
            apart: false,
        };
        system.compare(model)?;
        let catalog = system.parts.shared.catalog.clone();
        let missing = NAMES.iter().any(|n| catalog.stream("default", n).is_none());
        if missing && model.streams_acked {
            return Err(Stop::Wrong("an acknowledged stream is gone".into()));
        }
        for name in NAMES {
            catalog.ensure_stream("default", name, def).map_err(stop)?;
        }
        let acked = Arc::new(Mutex::new(false));
        let told = acked.clone();
        let done: Done = Box::new(move |result| *told.lock() = result.is_ok());
        system
            .parts
            .committer
            .take(vec![(Request::default(), done)]);
        system.drain();
        model.streams_acked |= *acked.lock();
        if system.parts.committer.is_poisoned() {
            Err(Stop::Disk("poisoned".into()))
        } else {
            Ok(system)
        }
    }

    fn step(&mut self, rng: &mut Rng, model: &mut Model) -> Result<(), Stop> {
        match rng.below(20) {
            0..9 => self.commit(rng, model),
            9..14 => {
                if self.parts.committer.in_flight() > 0 {
                    self.parts.committer.step(None);
                }
            }
            14 => self.drain(),
            15 => self.parts.committer.housekeep(),
            16 => {
                look_after_files_once(&self.parts.shared, &self.parts.preparer).map_err(stop)?;
            }
            17 => {
                self.drain();
                self.compare_live(model)?;
            }
            _ => self.parts.flusher.flush().map_err(stop)?,
        }
        if self.parts.committer.is_poisoned() {
            Err(Stop::Disk("the log is poisoned".into()))
        } else {
            Ok(())
        }
    }
}

impl EngineSystem {
    /// While the engine runs, what is acknowledged is visible.
    fn compare_live(&self, model: &Model) -> Result<(), Stop> {
        let found = self.read()?;
        let requests = model.requests.lock();
        let missing = requests
            .iter()
            .find(|(r, w)| w.acked && found.get(r) != Some(&w.rows));
        match missing {
            Some((request, _)) => Err(Stop::Wrong(format!(
                "acknowledged request {request} is not visible"
            ))),
            None => Ok(()),
        }
    }
}

#[test]
fn no_acknowledged_row_is_lost_doubled_or_torn_by_power_cuts() {
    let (mut cuts, mut ops) = (0, 0);
    for seed in seeds(200) {
        match drive::<EngineSystem>(seed, &Options::default()) {
            Ok(stats) => (cuts, ops) = (cuts + stats.cuts, ops + stats.ops),
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{cuts} power cuts in {ops} disk operations");
    assert!(cuts > 0);
}

#[test]
fn no_acknowledged_row_is_lost_by_a_cut_at_any_operation() {
    for seed in [2, 4] {
        for cut in 1..150 {
            let options = Options {
                rounds: 2,
                first_cut: Some(cut),
                cut_within: 40,
                fail_percent: 0,
                ..Options::default()
            };
            if let Err(failure) = drive::<EngineSystem>(seed, &options) {
                panic!("cut at operation {cut}: {failure}");
            }
        }
    }
}

/// An engine whose sources commit positions and rows apart.
struct Apart(EngineSystem);

impl System for Apart {
    type Model = Model;

    fn open(disk: &Arc<dyn Disk>, clock: &Arc<SimClock>, model: &mut Model) -> Result<Apart, Stop> {
        let mut system = EngineSystem::open(disk, clock, model)?;
        system.apart = true;
        Ok(Apart(system))
    }

    fn step(&mut self, rng: &mut Rng, model: &mut Model) -> Result<(), Stop> {
        self.0.step(rng, model)
    }
}

#[test]
fn positions_apart_from_their_rows_are_found_out() {
    let torn =
        |failure: &crate::sim::Failure| failure.to_string().contains("the source was taken up to");
    let caught = (0..300)
        .filter_map(|seed| drive::<Apart>(seed, &Options::default()).err())
        .find(torn);
    match caught {
        Some(failure) => println!("with positions apart: {failure}"),
        None => panic!("nobody found positions without their rows"),
    }
}

/// The syncs that the engine itself asks for; those of the log and the manifest are tried by their own test.
const MUTANTS: [Mutant; 6] = [
    Mutant {
        name: "a segment file",
        skips: |s: &SyncEvent<'_>| file(s, "segments/"),
    },
    Mutant {
        name: "a catalog file",
        skips: |s: &SyncEvent<'_>| file(s, "catalog/"),
    },
    Mutant {
        name: "the segments' directory",
        skips: |s: &SyncEvent<'_>| dir(s, "segments"),
    },
    Mutant {
        name: "the catalog files' directory",
        skips: |s: &SyncEvent<'_>| dir(s, "catalog"),
    },
    Mutant {
        name: "a ledger file",
        skips: |s: &SyncEvent<'_>| file(s, "ledger/"),
    },
    Mutant {
        name: "the ledger files' directory",
        skips: |s: &SyncEvent<'_>| dir(s, "ledger"),
    },
];

fn file(sync: &SyncEvent<'_>, prefix: &str) -> bool {
    sync.kind == SyncKind::File && sync.name.starts_with(prefix)
}

fn dir(sync: &SyncEvent<'_>, name: &str) -> bool {
    sync.kind == SyncKind::Dir && sync.name == name
}

#[test]
fn every_sync_of_a_flush_is_needed() {
    for mutant in MUTANTS {
        let options = Options {
            mutant: Some(mutant),
            ..Options::default()
        };
        let caught = (0..300).find_map(|seed| drive::<EngineSystem>(seed, &options).err());
        match caught {
            Some(failure) => println!("without the sync of {}: {failure}", mutant.name),
            None => panic!("nobody missed the sync of {}", mutant.name),
        }
    }
}
