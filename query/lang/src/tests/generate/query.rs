//! Queries.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::expr::{expr, order, spec};
use super::names::*;
use super::table::{alias, table_ref, window};
use crate::ast::*;

pub(in crate::tests) fn plain_query(body: SetExpr) -> Query {
    Query {
        recursive: false,
        ctes: Vec::new(),
        body,
        order_by: Vec::new(),
        limit: None,
        offset: None,
        emit: None,
        emit_at: Place::default(),
        span: Span::default(),
    }
}

pub(in crate::tests) fn plain_select(items: Vec<SelectItem>, from: Vec<TableRef>) -> Select {
    Select {
        distinct: None,
        distinct_at: Place::default(),
        items,
        from,
        latest_on: None,
        selection: None,
        window: None,
        group_by: Vec::new(),
        having: None,
        named_windows: Vec::new(),
        qualify: None,
    }
}

/// A query small enough to stand inside an expression.
pub(in crate::tests) fn tiny_query(
    inner: impl Strategy<Value = Expr> + Clone + 'static,
) -> impl Strategy<Value = Box<Query>> {
    (inner.clone(), of(inner), any::<bool>()).prop_map(|(expr, limit, nested)| {
        let items = vec![SelectItem::Expr { expr, alias: None }];
        let mut body = SetExpr::Select(Box::new(plain_select(items, Vec::new())));
        if nested {
            body = SetExpr::Nested(Box::new(plain_query(body)));
        }
        Box::new(Query {
            limit,
            ..plain_query(body)
        })
    })
}

pub(in crate::tests) fn item() -> impl Strategy<Value = SelectItem> {
    prop_oneof![
        4 => (expr(), of(ident())).prop_map(|(expr, alias)| SelectItem::Expr { expr, alias }),
        1 => (of(name(2)), vec(ident(), 0..2)).prop_map(|(of, except)| SelectItem::Wildcard { of, except, at: Place::default() }),
    ]
}

pub(in crate::tests) fn select_body() -> impl Strategy<Value = SetExpr> {
    let distinct = of(prop_oneof![
        Just(Distinct::All),
        vec(expr(), 1..2).prop_map(Distinct::On)
    ]);
    let latest =
        (expr(), vec(expr(), 1..2)).prop_map(|(ts, partition_by)| LatestOn { ts, partition_by });
    let named = (ident(), spec(expr())).prop_map(|(name, spec)| NamedWindow { name, spec });
    let group = prop_oneof![
        4 => expr(),
        1 => vec(vec(simple_column(), 0..3), 1..3).prop_map(|sets| at(ExprKind::GroupingSets(sets))),
    ];
    let head = (
        distinct,
        vec(item(), 1..3),
        vec(table_ref(), 0..2),
        of(latest),
        of(expr()),
    );
    let tail = (
        of(window()),
        vec(group, 0..2),
        of(expr()),
        vec(named, 0..2),
        of(expr()),
    );
    (head, tail).prop_map(|((distinct, items, from, latest_on, selection), tail)| {
        let (window, group_by, having, named_windows, qualify) = tail;
        SetExpr::Select(Box::new(Select {
            distinct,
            latest_on,
            selection,
            window,
            group_by,
            having,
            named_windows,
            qualify,
            ..plain_select(items, from)
        }))
    })
}

pub(in crate::tests) fn simple_column() -> impl Strategy<Value = Expr> {
    ident().prop_map(|name| at(ExprKind::Column(ObjectName::single(name))))
}

pub(in crate::tests) fn values() -> impl Strategy<Value = Values> {
    (1usize..3)
        .prop_flat_map(|width| vec(vec(expr(), width), 1..3))
        .prop_map(|rows| Values { rows })
}

pub(in crate::tests) fn operand() -> impl Strategy<Value = SetExpr> {
    prop_oneof![
        3 => select_body(),
        1 => values().prop_map(SetExpr::Values),
        1 => tiny_query(expr()).prop_map(SetExpr::Nested),
    ]
}

/// `operand op operand ..`, with an `INTERSECT` in it only alone.
pub(in crate::tests) fn body() -> impl Strategy<Value = SetExpr> {
    let intersect = (operand(), vec((any::<bool>(), operand()), 0..2)).prop_map(|(first, arms)| {
        let arms = arms.into_iter().map(|(all, operand)| SetArm {
            op: SetOp::Intersect,
            all,
            operand,
            at: Place::default(),
        });
        operation(first, arms.collect())
    });
    let op = select(vec![SetOp::Union, SetOp::Except]);
    let intersect = intersect.boxed();
    (intersect.clone(), vec((op, any::<bool>(), intersect), 0..2)).prop_map(|(first, arms)| {
        let arms = arms.into_iter().map(|(op, all, operand)| SetArm {
            op,
            all,
            operand,
            at: Place::default(),
        });
        operation(first, arms.collect())
    })
}

pub(in crate::tests) fn operation(first: SetExpr, arms: Vec<SetArm>) -> SetExpr {
    if arms.is_empty() {
        first
    } else {
        SetExpr::Operation {
            first: Box::new(first),
            arms,
        }
    }
}

pub(in crate::tests) fn query() -> impl Strategy<Value = Query> {
    let cte = (alias(), tiny_query(expr())).prop_map(|(alias, query)| Cte { alias, query });
    let emit = of(select(vec![Emit::Changes, Emit::Final]));
    (
        any::<bool>(),
        vec(cte, 0..2),
        body(),
        vec(order(expr()), 0..2),
        of(expr()),
        of(expr()),
        emit,
    )
        .prop_map(
            |(recursive, ctes, body, order_by, limit, offset, emit)| Query {
                recursive: recursive && !ctes.is_empty(),
                ctes,
                order_by,
                limit,
                offset,
                emit,
                ..plain_query(body)
            },
        )
}
