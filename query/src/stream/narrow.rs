//! What conditions over a view's columns say of its keys and windows, so that only those rows are looked at.

use super::StreamError;
use super::codec::{Reader, Writer};
use super::input::{Input, Kind};
use super::keys::{Keys, encode_row};
use super::window::Window;
use crate::bind::windowed::{WINDOW_END, WINDOW_START, WindowSpec, WindowedAggregate};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator as Op};

/// Combinations of key values that are looked up one by one at most; more, and all keys are gone through.
const LOOKUPS: usize = 4_096;

/// Inclusive bounds.
type Range = (i64, i64);

/// The rows that may meet the conditions.
#[derive(Debug)]
pub(crate) struct Narrow {
    /// For each key column the values it may have, encoded; `None` when it may have any.
    keys: Vec<Option<Vec<Vec<u8>>>>,
    start: Range,
    end: Range,
}

/// Keys that are wanted.
#[derive(Debug)]
pub(crate) enum Wanted {
    All,
    /// These, ascending.
    These(Vec<u32>),
}

/// What an output column is, as far as rows can be found by it.
enum Found {
    Key(usize),
    Start,
    End,
}

fn find(query: &WindowedAggregate, e: &Expr) -> Option<Found> {
    let Expr::Column(shown) = e else { return None };
    let i = query.output.index_of(&shown.name).ok()?;
    let mut expr = &query.projection.get(i)?.0;
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    let Expr::Column(column) = expr else {
        return None;
    };
    if let Some(i) = query.keys.iter().position(|k| k.name == column.name) {
        return Some(Found::Key(i));
    }
    let windowed = query.window != WindowSpec::None;
    match column.name.as_str() {
        WINDOW_START if windowed => Some(Found::Start),
        WINDOW_END if windowed => Some(Found::End),
        _ => None,
    }
}

/// One condition on one column.
enum Said {
    /// It is one of these encoded values.
    Key(usize, Vec<Vec<u8>>),
    Start(Range),
    End(Range),
}

impl Said {
    fn or(self, other: Said) -> Option<Said> {
        match (self, other) {
            (Said::Key(i, mut a), Said::Key(j, b)) if i == j => {
                a.extend(b);
                Some(Said::Key(i, a))
            }
            _ => None,
        }
    }
}

fn said(query: &WindowedAggregate, e: &Expr) -> Option<Said> {
    match e {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == Op::Or => {
            said(query, left)?.or(said(query, right)?)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (column, Expr::Literal(value, _)) => compared(query, column, *op, value),
            (Expr::Literal(value, _), column) => compared(query, column, op.swap()?, value),
            _ => None,
        },
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) => {
            let Found::Key(i) = find(query, expr)? else {
                return None;
            };
            let values = list.iter().map(|e| match e {
                Expr::Literal(value, _) => encoded(query, i, value),
                _ => None,
            });
            Some(Said::Key(i, values.collect::<Option<_>>()?))
        }
        Expr::IsNull(e) => match find(query, e)? {
            Found::Key(i) => Some(Said::Key(i, vec![vec![0]])),
            _ => None,
        },
        _ => None,
    }
}

fn compared(query: &WindowedAggregate, e: &Expr, op: Op, value: &ScalarValue) -> Option<Said> {
    let range = || {
        let ScalarValue::TimestampNanosecond(Some(t), None) = value else {
            return None;
        };
        Some(match op {
            Op::Eq => (*t, *t),
            Op::Lt => (i64::MIN, t.checked_sub(1)?),
            Op::LtEq => (i64::MIN, *t),
            Op::Gt => (t.checked_add(1)?, i64::MAX),
            Op::GtEq => (*t, i64::MAX),
            _ => return None,
        })
    };
    Some(match find(query, e)? {
        Found::Key(i) if op == Op::Eq => Said::Key(i, vec![encoded(query, i, value)?]),
        Found::Key(_) => return None,
        Found::Start => Said::Start(range()?),
        Found::End => Said::End(range()?),
    })
}

/// A value as it stands in keys. Floats are left out: two zeros are equal and not the same key.
fn encoded(query: &WindowedAggregate, key: usize, value: &ScalarValue) -> Option<Vec<u8>> {
    let target = &query.keys[key].data_type;
    let kind = Kind::of(target).filter(|k| *k != Kind::Float)?;
    let alike = value.data_type() == *target || kind == Kind::Str;
    if value.is_null() || !alike || Kind::of(&value.data_type()) != Some(kind) {
        return None;
    }
    let input = Input::from_array(&value.to_array().ok()?, kind).ok()?;
    let mut out = Writer::default();
    encode_row(&[&input], 0, &mut out);
    Some(out.bytes)
}

/// Whether a condition over a view's output narrows down where its rows are looked for.
#[must_use]
pub fn narrows(query: &WindowedAggregate, condition: &Expr) -> bool {
    split_conjunction(condition)
        .into_iter()
        .any(|e| said(query, e).is_some())
}

impl Narrow {
    /// What conditions over the output say, all of which must hold.
    pub fn new(query: &WindowedAggregate, conditions: &[Expr]) -> Narrow {
        let all = (i64::MIN, i64::MAX);
        let mut narrow = Narrow {
            keys: vec![None; query.keys.len()],
            start: all,
            end: all,
        };
        let within = |a: Range, b: Range| (a.0.max(b.0), a.1.min(b.1));
        for e in conditions.iter().flat_map(split_conjunction) {
            match said(query, e) {
                Some(Said::Key(i, values)) => {
                    let old = narrow.keys[i].take();
                    narrow.keys[i] = Some(match old {
                        None => values,
                        Some(old) => old.into_iter().filter(|v| values.contains(v)).collect(),
                    });
                }
                Some(Said::Start(range)) => narrow.start = within(narrow.start, range),
                Some(Said::End(range)) => narrow.end = within(narrow.end, range),
                None => {}
            }
        }
        for values in narrow.keys.iter_mut().flatten() {
            values.sort_unstable();
            values.dedup();
        }
        narrow
    }

    /// Whether a window is wanted.
    pub fn admits(&self, window: Window) -> bool {
        let inside = |range: Range, t: i64| range.0 <= t && t <= range.1;
        inside(self.start, window.start) && inside(self.end, window.end)
    }

    /// Where windows may start that are no longer than `longest`.
    pub fn starts(&self, longest: i64) -> Range {
        let first = self.start.0.max(self.end.0.saturating_sub(longest));
        (first, self.start.1.min(self.end.1))
    }

    /// The ids of the wanted keys.
    pub fn wanted(&self, keys: &Keys) -> Result<Wanted, StreamError> {
        if self.keys.iter().all(Option::is_none) {
            return Ok(Wanted::All);
        }
        let lists: Option<Vec<_>> = self.keys.iter().map(Option::as_ref).collect();
        let few = |lists: &Vec<&Vec<Vec<u8>>>| {
            let count = lists.iter().try_fold(1usize, |n, l| n.checked_mul(l.len()));
            count.is_some_and(|n| n <= LOOKUPS)
        };
        let mut ids = match lists.filter(few) {
            Some(lists) => look_up(&lists, keys),
            None => self.go_through(keys)?,
        };
        ids.sort_unstable();
        Ok(Wanted::These(ids))
    }

    fn go_through(&self, keys: &Keys) -> Result<Vec<u32>, StreamError> {
        let mut ids = Vec::new();
        for id in 0..keys.len() as u32 {
            let mut parts = Reader::new(keys.get(id));
            let mut wanted = true;
            for values in &self.keys {
                let part = parts.skip_option()?;
                // Sorted by `new`.
                wanted &= values
                    .as_ref()
                    .is_none_or(|v| v.binary_search_by(|v| v.as_slice().cmp(part)).is_ok());
            }
            if wanted {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

/// The ids of all combinations that are keys.
fn look_up(lists: &[&Vec<Vec<u8>>], keys: &Keys) -> Vec<u32> {
    let mut prefixes = vec![Vec::new()];
    for list in lists {
        prefixes = prefixes
            .iter()
            .flat_map(|p: &Vec<u8>| list.iter().map(move |v| [p.as_slice(), v].concat()))
            .collect();
    }
    prefixes.iter().filter_map(|key| keys.find(key)).collect()
}
