//! Conditions guard what stands behind them.

use super::setup::{Event, Hosts, batch, col, plan, query};
use crate::bind::windowed::{AggCall, AggFunc, GroupKey, WindowSpec};
use crate::stream::{Operator, RowBlock};
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::{Expr, lit};

fn sum(filter: Option<Expr>) -> AggCall {
    AggCall {
        func: AggFunc::Sum,
        arg: Some(lit(12i64) / col("count")),
        filter,
        name: "s".to_string(),
        data_type: DataType::Int64,
    }
}

fn events(counts: &[i64]) -> Vec<Event> {
    let event = |(i, count): (usize, &i64)| Event {
        time: i as i64,
        host: i as u32 % 2,
        city: Some(format!("c{count}")),
        count: Some(*count),
        amount: None,
        load: None,
    };
    counts.iter().enumerate().map(event).collect()
}

fn apply(operator: &mut Operator, counts: &[i64]) {
    let rows = batch(&events(counts));
    let block = RowBlock::from_batch(&rows);
    operator.apply(&block, &Hosts).unwrap();
}

fn sums(operator: &Operator) -> Vec<i64> {
    let rows = operator.rows().unwrap();
    let column = rows.column(rows.num_columns() - 1);
    column.as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn nothing_is_evaluated_on_rows_that_where_removes() {
    let not_zero = col("count").not_eq(lit(0i64));
    let mut operator = Operator::new(plan(query(
        WindowSpec::None,
        &[],
        Some(not_zero.clone()),
        vec![sum(None)],
    )));
    apply(&mut operator, &[3, 0, 4, 0]);
    apply(&mut operator, &[0, 0]);
    apply(&mut operator, &[6]);
    assert_eq!(sums(&operator), [4 + 3 + 2]);

    // A key that can't be computed for a row that is not there.
    let mut by_share = query(
        WindowSpec::None,
        &["count"],
        Some(not_zero),
        vec![sum(None)],
    );
    by_share.keys[0] = GroupKey {
        expr: lit(12i64) / col("count"),
        ..by_share.keys[0].clone()
    };
    let mut operator = Operator::new(plan(by_share));
    apply(&mut operator, &[3, 0, 3, 6]);
    assert_eq!(sums(&operator), [8, 2]);
}

#[test]
fn an_aggregates_filter_guards_its_argument() {
    let guarded = sum(Some(col("count").not_eq(lit(0i64))));
    let mut operator = Operator::new(plan(query(WindowSpec::None, &[], None, vec![guarded])));
    apply(&mut operator, &[3, 0, 4]);
    apply(&mut operator, &[0]);
    assert_eq!(sums(&operator), [7]);

    // The filter itself is guarded by WHERE.
    let twice = sum(Some((lit(12i64) / col("count")).gt(lit(3i64))));
    let filter = Some(col("count").not_eq(lit(0i64)));
    let mut operator = Operator::new(plan(query(WindowSpec::None, &[], filter, vec![twice])));
    apply(&mut operator, &[3, 0, 4]);
    assert_eq!(sums(&operator), [4]);
}

#[test]
fn keys_of_rows_that_where_removes_take_no_memory() {
    for keys in [&["city"][..], &["host"]] {
        let filter = Some(col("count").eq(lit(2i64)));
        let mut operator =
            Operator::new(plan(query(WindowSpec::None, keys, filter, vec![sum(None)])));
        apply(&mut operator, &[1, 2, 3, 2, 5]);
        assert_eq!(operator.keys.len(), 1, "{keys:?}");
    }
}
