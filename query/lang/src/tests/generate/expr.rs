//! Expressions.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::names::*;
use super::query::tiny_query;
use crate::ast::*;
use crate::precedence::{Level, binary_level};

const OPERATORS: [BinaryOp; 25] = [
    BinaryOp::Or,
    BinaryOp::And,
    BinaryOp::Eq,
    BinaryOp::NotEq,
    BinaryOp::Lt,
    BinaryOp::LtEq,
    BinaryOp::Gt,
    BinaryOp::GtEq,
    BinaryOp::IsDistinctFrom,
    BinaryOp::IsNotDistinctFrom,
    BinaryOp::Concat,
    BinaryOp::RegexMatch,
    BinaryOp::RegexMatchInsensitive,
    BinaryOp::RegexNotMatch,
    BinaryOp::RegexNotMatchInsensitive,
    BinaryOp::BitAnd,
    BinaryOp::BitOr,
    BinaryOp::BitXor,
    BinaryOp::ShiftLeft,
    BinaryOp::ShiftRight,
    BinaryOp::Plus,
    BinaryOp::Minus,
    BinaryOp::Multiply,
    BinaryOp::Divide,
    BinaryOp::Modulo,
];

/// A chain of one level: the first operator decides which, the others are made to fit.
pub(in crate::tests) fn chain(first: Expr, rest: Vec<(BinaryOp, Expr)>) -> Expr {
    let level = rest
        .first()
        .map_or(Level::Primary, |(op, _)| binary_level(*op));
    let fitting: Vec<BinaryOp> = OPERATORS
        .into_iter()
        .filter(|op| binary_level(*op) == level)
        .collect();
    let mut rest: Vec<(BinaryOp, Expr)> = rest
        .into_iter()
        .enumerate()
        .map(|(n, (op, e))| {
            (
                if binary_level(op) == level {
                    op
                } else {
                    fitting[n % fitting.len()]
                },
                e,
            )
        })
        .collect();
    if !level.chains() {
        rest.truncate(1);
    }
    at(ExprKind::Chain {
        first: Box::new(first),
        rest,
    })
}

pub(in crate::tests) fn expr() -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![
        literal().prop_map(|l| at(ExprKind::Literal(l))),
        name(3).prop_map(|n| at(ExprKind::Column(n))),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            6 => (inner.clone(), vec((select(OPERATORS.to_vec()), inner.clone()), 1..4)).prop_map(|(f, r)| chain(f, r)),
            3 => (select(vec![UnaryOp::Not, UnaryOp::Minus, UnaryOp::Plus]), boxed())
                .prop_map(|(op, operand)| at(ExprKind::Unary { op, operand })),
            3 => tests_of(inner.clone()),
            2 => bracketed(inner.clone()),
            2 => special(inner.clone()),
            2 => call(inner.clone()).prop_map(|c| at(ExprKind::Function(Box::new(c)))),
        ]
    })
    .boxed()
}

pub(in crate::tests) fn tests_of(
    inner: impl Strategy<Value = Expr> + Clone + 'static,
) -> impl Strategy<Value = Expr> {
    let e = || inner.clone().prop_map(Box::new);
    let n = any::<bool>;
    prop_oneof![
        (
            e(),
            select(vec![
                IsTest::Null,
                IsTest::True,
                IsTest::False,
                IsTest::Unknown
            ]),
            n()
        )
            .prop_map(|(expr, test, negated)| ExprKind::Is {
                expr,
                test,
                negated
            }),
        (e(), e(), e(), n()).prop_map(|(expr, low, high, negated)| ExprKind::Between {
            expr,
            low,
            high,
            negated
        }),
        (e(), vec(inner.clone(), 1..3), n()).prop_map(|(expr, list, negated)| ExprKind::InList {
            expr,
            list,
            negated
        }),
        (e(), tiny_query(inner.clone()), n()).prop_map(|(expr, query, negated)| {
            ExprKind::InSubquery {
                expr,
                query,
                negated,
            }
        }),
        (e(), e(), of(any::<char>()), n(), n()).prop_map(
            |(expr, pattern, escape, negated, case_insensitive)| {
                ExprKind::Like {
                    expr,
                    pattern,
                    escape,
                    negated,
                    case_insensitive,
                }
            }
        ),
        (e(), e(), n()).prop_map(|(expr, pattern, negated)| ExprKind::SimilarTo {
            expr,
            pattern,
            negated
        }),
        (e(), e()).prop_map(|(expr, zone)| ExprKind::AtTimeZone { expr, zone }),
    ]
    .prop_map(|kind| match kind {
        // A list of one subquery is written like the subquery in parentheses, and means that.
        ExprKind::InList {
            expr,
            list,
            negated,
        } if matches!(
            list.as_slice(),
            [Expr {
                kind: ExprKind::Subquery(_),
                ..
            }]
        ) =>
        {
            at(ExprKind::InList {
                expr,
                list: vec![at(ExprKind::Literal(Literal::Null))],
                negated,
            })
        }
        kind => at(kind),
    })
}

pub(in crate::tests) fn bracketed(
    inner: impl Strategy<Value = Expr> + Clone + 'static,
) -> impl Strategy<Value = Expr> {
    let e = || inner.clone().prop_map(Box::new);
    let branch = (inner.clone(), inner.clone())
        .prop_map(|(condition, result)| CaseBranch { condition, result });
    prop_oneof![
        (of(e()), vec(branch, 1..3), of(e())).prop_map(|(operand, branches, otherwise)| {
            ExprKind::Case {
                operand,
                branches,
                otherwise,
            }
        }),
        (e(), data_type(), any::<bool>()).prop_map(|(expr, data_type, fallible)| ExprKind::Cast {
            expr,
            data_type,
            fallible
        }),
        vec(inner.clone(), 0..3).prop_map(ExprKind::Array),
        (e(), e(), of(e())).prop_map(|(expr, index, upper)| ExprKind::Subscript {
            expr,
            index,
            upper
        }),
        vec(inner.clone(), 2..4).prop_map(ExprKind::Tuple),
        tiny_query(inner.clone()).prop_map(ExprKind::Subquery),
        tiny_query(inner.clone()).prop_map(ExprKind::Exists),
    ]
    .prop_map(at)
}

pub(in crate::tests) fn special(
    inner: impl Strategy<Value = Expr> + Clone + 'static,
) -> impl Strategy<Value = Expr> {
    let e = || inner.clone().prop_map(Box::new);
    prop_oneof![
        (ident(), e()).prop_map(|(field, expr)| ExprKind::Extract { field, expr }),
        (e(), e()).prop_map(|(needle, haystack)| ExprKind::Position { needle, haystack }),
        (e(), e(), of(e())).prop_map(|(expr, from, length)| ExprKind::Substring {
            expr,
            from: Some(from),
            length
        }),
        (e(), e()).prop_map(|(expr, length)| ExprKind::Substring {
            expr,
            from: None,
            length: Some(length)
        }),
        (
            select(vec![TrimSide::Both, TrimSide::Leading, TrimSide::Trailing]),
            of(e()),
            e()
        )
            .prop_map(|(side, chars, expr)| ExprKind::Trim { side, chars, expr }),
    ]
    .prop_map(at)
}

pub(in crate::tests) fn order(
    inner: impl Strategy<Value = Expr> + Clone + 'static,
) -> impl Strategy<Value = OrderItem> {
    (inner, of(any::<bool>()), of(any::<bool>())).prop_map(|(expr, asc, nulls_first)| OrderItem {
        expr,
        asc,
        nulls_first,
    })
}

pub(in crate::tests) fn call(
    inner: impl Strategy<Value = Expr> + Clone + 'static,
) -> impl Strategy<Value = FunctionCall> {
    let value =
        prop_oneof![4 => inner.clone().prop_map(ArgValue::Expr), 1 => Just(ArgValue::Wildcard)];
    let arg = (of(ident()), value).prop_map(|(name, value)| match value {
        ArgValue::Wildcard => FunctionArg { name: None, value },
        value => FunctionArg { name, value },
    });
    let plain = (function_name(), vec(inner.clone(), 1..3)).prop_map(|(name, args)| {
        FunctionCall::new(name, args.into_iter().map(FunctionArg::from).collect())
    });
    let full = (
        vec(arg, 1..3),
        any::<bool>(),
        vec(order(inner.clone()), 0..2),
        vec(order(inner.clone()), 0..2),
        of(inner.clone()),
        of(select(vec![NullTreatment::Ignore, NullTreatment::Respect])),
        of(prop_oneof![
            ident().prop_map(Over::Named),
            spec(inner).prop_map(Over::Spec)
        ]),
    );
    prop_oneof![
        plain,
        full.prop_map(
            |(args, distinct, order_by, within_group, filter, nulls, over)| FunctionCall {
                name: ObjectName::single(Ident::new("agg")),
                distinct,
                args,
                order_by,
                within_group,
                filter,
                nulls,
                over,
            }
        ),
    ]
}

pub(in crate::tests) fn spec(
    inner: impl Strategy<Value = Expr> + Clone + 'static,
) -> impl Strategy<Value = WindowSpec> {
    let by = inner.clone().prop_map(Box::new);
    let bound = prop_oneof![
        Just(FrameBound::UnboundedPreceding),
        by.clone().prop_map(FrameBound::Preceding),
        Just(FrameBound::CurrentRow),
        by.prop_map(FrameBound::Following),
        Just(FrameBound::UnboundedFollowing),
    ];
    let units = select(vec![
        FrameUnits::Rows,
        FrameUnits::Range,
        FrameUnits::Groups,
    ]);
    let frame = (units, bound.clone(), of(bound)).prop_map(|(units, start, end)| WindowFrame {
        units,
        start,
        end,
    });
    let base = of(select(vec!["w", "partition"]).prop_map(Ident::new));
    (
        base,
        vec(inner.clone(), 0..2),
        vec(order(inner), 0..2),
        of(frame),
    )
        .prop_map(|(base, partition_by, order_by, frame)| WindowSpec {
            base,
            partition_by,
            order_by,
            frame,
        })
}
