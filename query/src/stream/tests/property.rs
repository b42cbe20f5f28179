//! Random events, splits, saves and freezes against the model.

use super::model::{group, results};
use super::setup::{Event, Hosts, Random, aggregates, batch, col, feed, plan, query, save};
use crate::bind::windowed::WindowSpec;
use crate::stream::{Operator, Plan, RowBlock};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampNanosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::logical_expr::lit;
use std::collections::BTreeMap;
use std::sync::Arc;

const FLOATS: [usize; 6] = [5, 6, 7, 14, 15, 16];
/// The sketch: within 0.4 %.
const APPROXIMATE: usize = 16;

pub type Rows =
    BTreeMap<(Vec<Option<String>>, Option<(i64, i64)>), (Vec<String>, Vec<Option<f64>>)>;

/// The rows of an operator in the model's terms.
pub fn read(batch: &RecordBatch, keys: usize, windowed: bool) -> Rows {
    let options = FormatOptions::default().with_null("null");
    let text = |c: usize, row: usize| {
        ArrayFormatter::try_new(batch.column(c), &options)
            .unwrap()
            .value(row)
            .to_string()
    };
    let mut out = Rows::new();
    for row in 0..batch.num_rows() {
        let key = (0..keys)
            .map(|c| (!batch.column(c).is_null(row)).then(|| text(c, row)))
            .collect();
        let at = |c: usize| {
            batch
                .column(c)
                .as_primitive::<TimestampNanosecondType>()
                .value(row)
        };
        let n = batch.num_columns();
        let window = windowed.then(|| (at(n - 2), at(n - 1)));
        let (mut exact, mut floats) = (Vec::new(), Vec::new());
        for a in 0..18 {
            let column = batch.column(keys + a);
            if FLOATS.contains(&a) {
                let values = column.as_primitive::<Float64Type>();
                floats.push((!values.is_null(row)).then(|| values.value(row)));
            } else {
                exact.push(text(keys + a, row));
            }
        }
        let before = out.insert((key, window), (exact, floats));
        assert!(before.is_none(), "a row stands twice");
    }
    out
}

fn check(operator: &Operator, events: &[Event], keys: &[&str], window: WindowSpec, context: &str) {
    let expected = group(events, keys, window);
    let got = read(&operator.rows().unwrap(), keys.len(), window.is_windowed());
    assert_eq!(
        got.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "{context}: groups"
    );
    for (group, events) in expected {
        let (exact, floats) = results(&events);
        let (got_exact, got_floats) = &got[&group];
        assert_eq!(got_exact, &exact, "{context}: {group:?}");
        let scale: f64 = events
            .iter()
            .filter_map(|e| e.load)
            .map(f64::abs)
            .sum::<f64>()
            + 1.0;
        for (i, (got, want)) in got_floats.iter().zip(&floats).enumerate() {
            match (got, want) {
                (None, None) => {}
                (Some(g), Some(w)) => {
                    let bound = match FLOATS[i] {
                        APPROXIMATE => w.abs() * 0.004 + 1e-12,
                        14 => scale * scale * 1e-9,
                        _ => scale * 1e-9,
                    };
                    assert!((g - w).abs() <= bound, "{context}: {group:?} {i}: {g} {w}");
                }
                other => panic!("{context}: {group:?} {i}: {other:?}"),
            }
        }
    }
}

const WINDOWS: [WindowSpec; 6] = [
    WindowSpec::None,
    WindowSpec::Tumbling {
        size: 60,
        offset: 7,
    },
    WindowSpec::Hopping {
        size: 90,
        advance: 60,
        offset: 0,
    },
    WindowSpec::Hopping {
        size: 120,
        advance: 30,
        offset: 10,
    },
    WindowSpec::Session { gap: 12 },
    WindowSpec::Cumulate {
        step: 20,
        size: 100,
        offset: 0,
    },
];

fn reload(operator: &Operator, plan: &Arc<Plan>) -> Operator {
    let most = 1 + operator.group_count() / 3;
    let mut operator = Operator::load(plan.clone(), &save(operator, most), &Hosts).unwrap();
    operator.end_replay();
    operator
}

/// Repairs from the events so far, as a snapshot would hold them.
pub fn repair(operator: &mut Operator, events: &[Event]) {
    if let Some(mut repair) = operator.repair() {
        let ranges = repair.ranges().to_vec();
        let inside: Vec<Event> = events
            .iter()
            .filter(|e| ranges.iter().any(|r| r.contains(e.time)))
            .cloned()
            .collect();
        let rows = batch(&inside);
        repair.apply(&RowBlock::from_batch(&rows), &Hosts).unwrap();
        operator.finish_repair(&repair);
    }
    assert!(operator.repair().is_none());
}

#[test]
fn rows_are_those_of_the_model_whatever_the_order_the_batches_and_the_restarts() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let window = WINDOWS[seed as usize % WINDOWS.len()];
        let keys: &[&str] =
            [&["host"][..], &["city"], &["city", "count"], &[]][random.below(4) as usize];
        let filter = (random.below(3) == 0).then(|| col("count").gt(lit(-2i64)));
        let filtered = filter.is_some();
        let plan = plan(query(window, keys, filter, aggregates()));
        let mut operator = Operator::new(plan.clone());
        let mut events = Vec::new();
        for step in 0..12 {
            let n = 1 + random.below(60) as usize;
            let more: Vec<Event> = (0..n).map(|_| random.event()).collect();
            feed(&mut operator, &more);
            events.extend(more.into_iter().filter(|e| !filtered || e.count > Some(-2)));
            if random.below(3) == 0 {
                operator = reload(&operator, &plan);
            }
            if random.below(3) == 0 {
                operator.freeze(random.below(2_000) as i64 - 700);
            }
            repair(&mut operator, &events);
            let context = format!("seed {seed} step {step} {window:?} {keys:?}");
            check(&operator, &events, keys, window, &context);
        }
    }
}

#[test]
fn a_damaged_state_is_refused_and_never_panics() {
    let plan = plan(query(WINDOWS[4], &["city"], None, aggregates()));
    let mut operator = Operator::new(plan.clone());
    let mut random = Random(3);
    let events: Vec<Event> = (0..40).map(|_| random.event()).collect();
    feed(&mut operator, &events);
    // Whether all slices are there is for the file to say.
    let whole = save(&operator, usize::MAX);
    for cut in 0..whole.len() {
        assert!(
            Operator::load(plan.clone(), &whole[..cut], &Hosts).is_err(),
            "cut at {cut}"
        );
    }
    let state = save(&operator, 5);
    for i in 0..state.len() {
        let mut bad = state.clone();
        bad[i] ^= 1 << random.below(8);
        // A changed number is another valid state (the file's checksum guards those); anything else is an error.
        if let Ok(operator) = Operator::load(plan.clone(), &bad, &Hosts) {
            let _ = operator.rows();
        }
    }
}

#[test]
fn a_repair_after_a_restart_keeps_the_order_of_series() {
    let list = aggregates().swap_remove(11);
    let plan = plan(query(WINDOWS[1], &[], None, vec![list]));
    let mut operator = Operator::new(plan.clone());
    let event = |host, city: &str| Event {
        time: 10,
        host,
        city: Some(city.to_string()),
        count: None,
        amount: None,
        load: None,
    };
    let mut events = vec![event(0, "ninth"), event(3, "sixth")];
    feed(&mut operator, &events);
    operator.freeze(1_000);
    let mut operator = reload(&operator, &plan);
    let late = event(1, "eighth");
    feed(&mut operator, std::slice::from_ref(&late));
    events.push(late);
    repair(&mut operator, &events);
    let rows = operator.rows().unwrap();
    let text = ArrayFormatter::try_new(rows.column(0), &FormatOptions::default()).unwrap();
    assert_eq!(text.value(0).to_string(), "[sixth, eighth, ninth]");
}

#[test]
fn what_is_frozen_takes_no_memory_but_for_its_results() {
    let count = aggregates().swap_remove(9);
    for (window, having) in [(WINDOWS[1], false), (WINDOWS[3], false), (WINDOWS[3], true)] {
        let mut sets = query(window, &["host"], None, vec![count.clone()]);
        sets.having = having.then(|| col("a9").gt(lit(3_000i64)));
        let mut operator = Operator::new(plan(sets));
        let event = |i: i64| Event {
            time: i * 10,
            host: (i % 4) as u32,
            city: Some(format!("city number {i}")),
            count: None,
            amount: None,
            load: None,
        };
        let mut most = 0;
        for step in 0..100 {
            let rows: Vec<Event> = (0..1_000).map(|i| event(step * 1_000 + i)).collect();
            feed(&mut operator, &rows);
            operator.freeze((step * 1_000 - 500) * 10);
            most = most.max(operator.stats().bytes);
        }
        let kept = operator.group_count();
        // The sets of the open windows, and a number for each closed one.
        let bound = 2_000_000 + kept * 400;
        assert!(most < bound, "{window:?}: {most} bytes for {kept} groups");
        if having {
            assert!(kept < 5_000, "rows that HAVING hides are not kept: {kept}");
        }
    }
}
