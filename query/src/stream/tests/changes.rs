//! Changes folded between emissions, and windows that close.

use super::property::read;
use super::setup::{Event, Random, aggregates, col, feed, plan, query};
use crate::bind::windowed::{AggCall, AggFunc, WindowSpec};
use crate::stream::{Changes, Operator};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampNanosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::logical_expr::lit;
use std::collections::BTreeMap;

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    (0..batch.num_rows())
        .map(|row| {
            let cells: Vec<String> = batch
                .columns()
                .iter()
                .map(|c| {
                    ArrayFormatter::try_new(c, &options)
                        .unwrap()
                        .value(row)
                        .to_string()
                })
                .collect();
            cells.join("|")
        })
        .collect()
}

/// Applies changes to a multiset of rows, as a subscriber would.
fn apply(rows: &mut BTreeMap<String, usize>, changes: &Changes) {
    for line in lines(&changes.retract) {
        let n = rows
            .get_mut(&line)
            .unwrap_or_else(|| panic!("an absent row is retracted: {line}"));
        *n -= 1;
        if *n == 0 {
            rows.remove(&line);
        }
    }
    for line in lines(&changes.insert) {
        *rows.entry(line).or_default() += 1;
    }
}

#[test]
fn changes_carry_a_subscriber_from_one_state_to_the_next() {
    let windows = [
        WindowSpec::None,
        WindowSpec::Tumbling {
            size: 60,
            offset: 0,
        },
        WindowSpec::Hopping {
            size: 90,
            advance: 30,
            offset: 0,
        },
        WindowSpec::Session { gap: 15 },
    ];
    for seed in 0..40 {
        let mut random = Random(seed);
        let mut query = query(windows[seed as usize % 4], &["city"], None, aggregates());
        query.having = (seed % 3 == 0).then(|| col("a0").gt(lit(2i64)));
        let mut operator = Operator::new(plan(query));
        let mut events: Vec<Event> = (0..random.below(100)).map(|_| random.event()).collect();
        feed(&mut operator, &events);
        operator.track(true, false, i64::MIN);
        let mut rows = BTreeMap::new();
        for line in lines(&operator.rows().unwrap()) {
            *rows.entry(line).or_default() += 1;
        }
        for _ in 0..15 {
            for _ in 0..random.below(3) {
                let n = random.below(20);
                let more: Vec<Event> = (0..n).map(|_| random.event()).collect();
                feed(&mut operator, &more);
                events.extend(more);
                if random.below(3) == 0 {
                    // In the midst of changes nothing is dropped, else what no row should reach.
                    operator.freeze(random.below(1_500) as i64 - 700);
                }
                if random.below(3) == 0 {
                    let changes = operator.take_changes().unwrap();
                    apply(&mut rows, &changes);
                }
            }
            super::property::repair(&mut operator, &events);
            let changes = operator.take_changes().unwrap();
            apply(&mut rows, &changes);
            let mut now = BTreeMap::new();
            for line in lines(&operator.rows().unwrap()) {
                *now.entry(line).or_default() += 1;
            }
            assert_eq!(rows, now, "seed {seed}");
            assert!(operator.take_changes().unwrap().is_empty());
        }
    }
}

fn counting(window: WindowSpec) -> Operator {
    let count = AggCall {
        func: AggFunc::CountRows,
        arg: None,
        filter: None,
        name: "n".to_string(),
        data_type: DataType::Int64,
    };
    Operator::new(plan(query(window, &[], None, vec![count])))
}

fn at(time: i64) -> Event {
    Event {
        time,
        host: 0,
        city: None,
        count: None,
        amount: None,
        load: None,
    }
}

#[test]
fn a_window_is_handed_out_once_when_the_watermark_reaches_its_end() {
    for window in [
        WindowSpec::Tumbling {
            size: 10,
            offset: 0,
        },
        WindowSpec::Session { gap: 4 },
        WindowSpec::Hopping {
            size: 10,
            advance: 5,
            offset: 0,
        },
    ] {
        let mut operator = counting(window);
        operator.track(true, true, i64::MIN);
        let mut seen = BTreeMap::new();
        for t in [1, 3, 12, 14, 22, 40, 41, 90] {
            feed(&mut operator, &[at(t)]);
            let closed = operator.take_closed(t - 2).unwrap();
            let starts = closed.column(1).as_primitive::<TimestampNanosecondType>();
            let ends = closed.column(2).as_primitive::<TimestampNanosecondType>();
            let counts = closed.column(0).as_primitive::<Int64Type>();
            for i in 0..closed.num_rows() {
                assert!(ends.value(i) <= t - 2, "{window:?}: closed too early");
                let before = seen.insert((starts.value(i), ends.value(i)), counts.value(i));
                assert!(before.is_none(), "{window:?}: twice");
            }
        }
        let all = operator.rows().unwrap();
        let expected = (0..all.num_rows())
            .filter(|i| {
                all.column(2)
                    .as_primitive::<TimestampNanosecondType>()
                    .value(*i)
                    <= 88
            })
            .count();
        assert_eq!(seen.len(), expected, "{window:?}: {seen:?}");
        assert_eq!(operator.closed_rows(88).unwrap().num_rows(), expected);
    }
}

#[test]
fn a_global_aggregate_of_nothing_is_one_row() {
    let operator = Operator::new(plan(query(WindowSpec::None, &[], None, aggregates())));
    let rows = read(&operator.rows().unwrap(), 0, false);
    let (exact, floats) = &rows[&(vec![], None)];
    assert_eq!(exact[0], "0");
    assert_eq!(exact[2], "null");
    assert!(floats.iter().all(Option::is_none));
}

#[test]
fn a_sum_beyond_its_type_is_an_error_and_no_wrong_number() {
    let sum = AggCall {
        func: AggFunc::Sum,
        arg: Some(col("count")),
        filter: None,
        name: "s".to_string(),
        data_type: DataType::Int64,
    };
    let mut operator = Operator::new(plan(query(WindowSpec::None, &[], None, vec![sum])));
    let event = |count| Event {
        count: Some(count),
        ..at(0)
    };
    feed(&mut operator, &[event(i64::MAX), event(1)]);
    assert!(operator.rows().unwrap_err().to_string().contains("'s'"));
    feed(&mut operator, &[event(-5)]);
    let rows = operator.rows().unwrap();
    assert_eq!(
        rows.column(0).as_primitive::<Int64Type>().value(0),
        i64::MAX - 4
    );
    assert!(!rows.column(0).is_null(0));
}

#[test]
fn a_row_that_cannot_be_captured_costs_its_followers_and_no_row() {
    let mut counting = query(WindowSpec::None, &["city"], None, aggregates());
    counting.having = Some((lit(10i64) / col("a2")).gt_eq(lit(0i64)));
    let mut operator = Operator::new(plan(counting));
    let event = |count| Event {
        count: Some(count),
        city: Some("c".to_string()),
        ..at(0)
    };
    feed(&mut operator, &[event(0)]);
    operator.track(true, false, i64::MIN);
    feed(&mut operator, &[event(3)]);
    let lost = operator
        .take_lost()
        .expect("the row as it was divides by zero");
    assert!(lost.to_string().contains("zero"), "{lost}");
    assert!(operator.take_lost().is_none());
    assert_eq!(operator.rows().unwrap().num_rows(), 1);
    operator.track(true, false, i64::MIN);
    feed(&mut operator, &[event(3)]);
    assert_eq!(operator.take_changes().unwrap().insert.num_rows(), 1);
}

/// Ends and counts of what has closed.
fn ends(rows: &RecordBatch) -> Vec<(i64, i64)> {
    let ends = rows.column(2).as_primitive::<TimestampNanosecondType>();
    let counts = rows.column(0).as_primitive::<Int64Type>();
    let all = ends.values().iter().zip(counts.values());
    all.map(|(e, n)| (*e, *n)).collect()
}

#[test]
fn a_session_is_open_while_a_row_at_its_end_is_on_time() {
    let mut operator = counting(WindowSpec::Session { gap: 10 });
    operator.track(true, true, i64::MIN);
    feed(&mut operator, &[at(0)]);
    // The watermark at 10 admits a row at 10, which belongs to the session.
    assert_eq!(operator.take_closed(10).unwrap().num_rows(), 0);
    assert_eq!(operator.closed_rows(10).unwrap().num_rows(), 0);
    feed(&mut operator, &[at(10)]);
    assert_eq!(operator.take_closed(20).unwrap().num_rows(), 0);
    assert_eq!(ends(&operator.take_closed(21).unwrap()), [(20, 2)]);
    assert_eq!(ends(&operator.closed_rows(21).unwrap()), [(20, 2)]);
    assert_eq!(operator.take_closed(99).unwrap().num_rows(), 0);
}

#[test]
fn a_session_that_grows_after_it_was_handed_out_is_handed_out_when_it_closes_again() {
    let mut operator = counting(WindowSpec::Session { gap: 10 });
    operator.track(true, true, i64::MIN);
    feed(&mut operator, &[at(0), at(30)]);
    operator.take_changes().unwrap();
    assert_eq!(ends(&operator.take_closed(35).unwrap()), [(10, 1)]);
    // Late rows bridge the closed session and the open one.
    feed(&mut operator, &[at(10), at(20)]);
    operator.take_changes().unwrap();
    assert_eq!(operator.take_closed(36).unwrap().num_rows(), 0);
    assert_eq!(ends(&operator.take_closed(41).unwrap()), [(40, 4)]);
    // A late row within what has closed changes no end: that is a correction, and not another window.
    feed(&mut operator, &[at(5)]);
    operator.take_changes().unwrap();
    assert_eq!(operator.take_closed(60).unwrap().num_rows(), 0);
}

#[test]
fn without_late_rows_what_closes_is_what_the_query_says() {
    let windows = [
        WindowSpec::Tumbling {
            size: 60,
            offset: 7,
        },
        WindowSpec::Hopping {
            size: 90,
            advance: 30,
            offset: 0,
        },
        WindowSpec::Session { gap: 15 },
        WindowSpec::Cumulate {
            step: 20,
            size: 100,
            offset: 0,
        },
    ];
    for seed in 0..40 {
        let mut random = Random(seed);
        let mut operator = Operator::new(plan(query(
            windows[seed as usize % 4],
            &["host"],
            None,
            aggregates(),
        )));
        operator.track(true, true, i64::MIN);
        const DISORDER: i64 = 40;
        let (mut newest, mut handed_out) = (-1_000, Vec::new());
        for _ in 0..60 {
            // Each row at or after the watermark of those before it.
            let rows: Vec<Event> = (0..random.below(6))
                .map(|_| {
                    let step = random.below(60) as i64 - DISORDER;
                    let time = (newest + step).max(newest - DISORDER);
                    newest = newest.max(time);
                    Event {
                        time,
                        ..random.event()
                    }
                })
                .collect();
            feed(&mut operator, &rows);
            if random.below(2) == 0 {
                operator.take_changes().unwrap();
                handed_out.extend(lines(&operator.take_closed(newest - DISORDER).unwrap()));
                operator.freeze(newest - DISORDER);
            }
        }
        operator.take_changes().unwrap();
        handed_out.extend(lines(&operator.take_closed(newest + 10_000).unwrap()));
        assert!(operator.repair().is_none(), "seed {seed}: no row was late");
        let mut expected = lines(&operator.rows().unwrap());
        expected.sort();
        handed_out.sort();
        assert_eq!(handed_out, expected, "seed {seed}");
    }
}

#[test]
fn a_row_that_awaits_a_repair_is_told_when_it_is_right() {
    let list = aggregates().swap_remove(9);
    let window = WindowSpec::Tumbling {
        size: 10,
        offset: 0,
    };
    let mut operator = Operator::new(plan(query(window, &[], None, vec![list])));
    let event = |time, city: &str| Event {
        city: Some(city.to_string()),
        ..at(time)
    };
    let mut events = vec![event(1, "a"), event(2, "b")];
    feed(&mut operator, &events);
    operator.freeze(100);
    operator.track(true, true, 0);
    let late = event(3, "c");
    feed(&mut operator, std::slice::from_ref(&late));
    events.push(late);
    feed(&mut operator, &[event(21, "x")]);
    let changes = operator.take_changes().unwrap();
    assert_eq!(
        (changes.insert.num_rows(), changes.retract.num_rows()),
        (1, 0)
    );
    assert_eq!(ends_of(&operator.take_closed(10).unwrap()), [] as [i64; 0]);
    super::property::repair(&mut operator, &events);
    let changes = operator.take_changes().unwrap();
    assert!(lines(&changes.retract)[0].starts_with("2|"), "{changes:?}");
    assert!(lines(&changes.insert)[0].starts_with("3|"), "{changes:?}");
    assert_eq!(ends_of(&operator.take_closed(10).unwrap()), [10]);
}

fn ends_of(rows: &RecordBatch) -> Vec<i64> {
    ends(rows).into_iter().map(|e| e.0).collect()
}
