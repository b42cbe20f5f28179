//! The oracle: group rows by plain loops over all events.

use super::setup::{Event, host_name};
use crate::bind::windowed::WindowSpec;
use std::collections::{BTreeMap, BTreeSet};

/// (key columns, window) and the events in log order.
pub type Grouped = BTreeMap<(Vec<Option<String>>, Option<(i64, i64)>), Vec<Event>>;

pub fn key_text(e: &Event, column: &str) -> Option<String> {
    match column {
        "host" => Some(host_name(e.host)),
        "city" => e.city.clone(),
        "count" => e.count.map(|c| c.to_string()),
        other => panic!("no key {other}"),
    }
}

pub fn group(events: &[Event], keys: &[&str], window: WindowSpec) -> Grouped {
    let mut by_key: BTreeMap<Vec<Option<String>>, Vec<Event>> = BTreeMap::new();
    for e in events {
        let key = keys.iter().map(|k| key_text(e, k)).collect();
        by_key.entry(key).or_default().push(e.clone());
    }
    let mut out = Grouped::new();
    for (key, events) in by_key {
        match window {
            WindowSpec::Session { gap } => {
                let mut times: Vec<i64> = events.iter().map(|e| e.time).collect();
                times.sort_unstable();
                let mut runs: Vec<(i64, i64)> = Vec::new();
                for t in times {
                    match runs.last_mut() {
                        Some((_, last)) if t - *last <= gap => *last = t,
                        _ => runs.push((t, t)),
                    }
                }
                for (start, last) in runs {
                    let inside = events.iter().filter(|e| e.time >= start && e.time <= last);
                    out.insert(
                        (key.clone(), Some((start, last + gap))),
                        inside.cloned().collect(),
                    );
                }
            }
            _ => {
                for e in events {
                    for w in windows(window, e.time) {
                        out.entry((key.clone(), w)).or_default().push(e.clone());
                    }
                }
            }
        }
    }
    if keys.is_empty() && window == WindowSpec::None {
        out.entry((Vec::new(), None)).or_default();
    }
    out
}

/// By trial: every aligned window near `t` that holds it.
fn windows(window: WindowSpec, t: i64) -> Vec<Option<(i64, i64)>> {
    let near = |step: i64, offset: i64, reach: i64| {
        let first = (t - offset - reach).div_euclid(step) - 1;
        let last = (t - offset).div_euclid(step) + 1;
        (first..=last).map(move |k| k * step + offset)
    };
    let holds = |s: i64, e: i64| s <= t && t < e;
    match window {
        WindowSpec::None => vec![None],
        WindowSpec::Tumbling { size, offset } => near(size, offset, size)
            .filter(|s| holds(*s, s + size))
            .map(|s| Some((s, s + size)))
            .collect(),
        WindowSpec::Hopping {
            size,
            advance,
            offset,
        } => near(advance, offset, size)
            .filter(|s| holds(*s, s + size))
            .map(|s| Some((s, s + size)))
            .collect(),
        WindowSpec::Cumulate { step, size, offset } => near(size, offset, size)
            .flat_map(|s| (1..=size / step).map(move |k| (s, s + k * step)))
            .filter(|(s, e)| holds(*s, *e))
            .map(Some)
            .collect(),
        WindowSpec::Session { .. } | WindowSpec::Zoned { .. } => unreachable!(),
    }
}

/// Exact results as text, floats apart.
pub fn results(events: &[Event]) -> (Vec<String>, Vec<Option<f64>>) {
    let mut ordered: Vec<&Event> = events.iter().collect();
    // Stable: rows equal in time and series key stay in log order.
    ordered.sort_by_key(|e| (e.time, host_name(e.host)));
    let counts: Vec<i64> = events.iter().filter_map(|e| e.count).collect();
    let amounts: Vec<i128> = events.iter().filter_map(|e| e.amount).collect();
    let mut loads: Vec<f64> = events.iter().filter_map(|e| e.load).collect();
    loads.sort_by(f64::total_cmp);
    let cities: Vec<&String> = ordered.iter().filter_map(|e| e.city.as_ref()).collect();
    let show = |v: Option<i64>| v.map_or("null".to_string(), |v| v.to_string());
    let decimal = |v: i128, scale: usize| {
        let (sign, v) = if v < 0 { ("-", -v) } else { ("", v) };
        let unit = 10i128.pow(scale as u32);
        format!("{sign}{}.{:0scale$}", v / unit, v % unit)
    };
    let n = amounts.len() as i128;
    let sum: i128 = amounts.iter().sum();
    let exact = vec![
        events.len().to_string(),
        counts.len().to_string(),
        show((!counts.is_empty()).then(|| counts.iter().sum())),
        if n > 0 {
            decimal(sum, 2)
        } else {
            "null".into()
        },
        if n > 0 {
            decimal(sum * 10_000 / n, 6)
        } else {
            "null".into()
        },
        cities.iter().max().map_or("null".into(), |c| c.to_string()),
        cities.iter().collect::<BTreeSet<_>>().len().to_string(),
        events
            .iter()
            .map(|e| e.host)
            .collect::<BTreeSet<_>>()
            .len()
            .to_string(),
        if cities.is_empty() {
            "null".into()
        } else {
            let texts: Vec<&str> = cities.iter().map(|c| c.as_str()).collect();
            format!("[{}]", texts.join(", "))
        },
        show(ordered.iter().find_map(|e| e.count)),
        show(ordered.iter().rev().find_map(|e| e.count)),
        events
            .iter()
            .filter(|e| e.load.is_some() && e.count > Some(0))
            .count()
            .to_string(),
    ];
    let m = loads.len() as f64;
    let total: f64 = loads.iter().sum();
    let mean = total / m;
    let percentile = |p: f64| {
        let rank = p * (m - 1.0);
        let (low, high) = (rank.floor() as usize, rank.ceil() as usize);
        loads[low] + (loads[high] - loads[low]) * (rank - low as f64)
    };
    let some = !loads.is_empty();
    let floats = vec![
        some.then_some(total),
        (!counts.is_empty()).then(|| counts.iter().sum::<i64>() as f64 / counts.len() as f64),
        loads.first().copied(),
        (loads.len() > 1)
            .then(|| loads.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (m - 1.0)),
        some.then(|| percentile(0.9)),
        some.then(|| loads[((m - 1.0) * 0.5).round() as usize]),
    ];
    (exact, floats)
}
