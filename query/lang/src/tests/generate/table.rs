//! Tables, joins and windows.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::expr::expr;
use super::names::*;
use super::query::tiny_query;
use crate::ast::*;

pub(in crate::tests) fn alias() -> impl Strategy<Value = TableAlias> {
    (ident(), vec(ident(), 0..3)).prop_map(|(name, columns)| TableAlias { name, columns })
}

pub(in crate::tests) fn window_kind() -> impl Strategy<Value = WindowKind> {
    let hop = |(advance, more, offset): (Interval, Interval, Option<Interval>)| {
        (
            advance,
            Interval::from_nanos(advance.nanos + more.nanos),
            offset,
        )
    };
    let sizes = (positive(), positive(), of(positive()))
        .prop_map(hop)
        .boxed();
    prop_oneof![
        (of(positive()), of(positive()))
            .prop_map(|(size, offset)| WindowKind::Tumbling { size, offset }),
        sizes
            .clone()
            .prop_map(|(advance, size, offset)| WindowKind::Hopping {
                size,
                advance,
                offset
            }),
        of(positive()).prop_map(|gap| WindowKind::Session { gap }),
        sizes.prop_map(|(step, size, offset)| WindowKind::Cumulate { step, size, offset }),
    ]
}

pub(in crate::tests) fn window() -> impl Strategy<Value = WindowClause> {
    (window_kind(), of(positive()), of(text())).prop_map(|(kind, grace, time_zone)| WindowClause {
        kind,
        grace,
        time_zone,
        span: Span::default(),
    })
}

/// The windows that a table function can say: their sizes are always given.
pub(in crate::tests) fn table_window() -> impl Strategy<Value = WindowClause> {
    (window_kind(), positive()).prop_map(|(kind, given)| {
        let kind = match kind {
            WindowKind::Tumbling { size, offset } => WindowKind::Tumbling {
                size: size.or(Some(given)),
                offset,
            },
            WindowKind::Session { gap } => WindowKind::Session {
                gap: gap.or(Some(given)),
            },
            kind => kind,
        };
        WindowClause {
            kind,
            grace: None,
            time_zone: None,
            span: Span::default(),
        }
    })
}

pub(in crate::tests) fn factor() -> BoxedStrategy<TableFactor> {
    let table = (name(3), of(alias())).prop_map(|(name, alias)| TableFactor::Table { name, alias });
    let derived =
        (any::<bool>(), tiny_query(expr()), of(alias())).prop_map(|(lateral, query, alias)| {
            TableFactor::Derived {
                lateral,
                query,
                alias,
            }
        });
    let function = (name(2), vec(expr(), 0..3), of(alias())).prop_map(|(name, args, alias)| {
        let args = args.into_iter().map(FunctionArg::from).collect();
        TableFactor::Function { name, args, alias }
    });
    let input = prop_oneof![
        name(3).prop_map(|name| TableFactor::Table { name, alias: None }),
        tiny_query(expr()).prop_map(|query| TableFactor::Derived {
            lateral: false,
            query,
            alias: None
        }),
    ];
    let windowed = (
        table_window(),
        input,
        ident(),
        vec(ident(), 0..3),
        of(alias()),
    )
        .prop_map(|(window, input, time, partition_by, alias)| {
            let windowed = Box::new(WindowedTable {
                window,
                input,
                time,
                partition_by,
            });
            TableFactor::Windowed { windowed, alias }
        });
    prop_oneof![4 => table, 1 => derived, 1 => function, 1 => windowed].boxed()
}

pub(in crate::tests) fn join(
    factor: impl Strategy<Value = TableFactor>,
) -> impl Strategy<Value = Join> {
    use JoinKind::*;
    let kinds = select(vec![
        Inner, Left, Right, Full, Cross, LeftSemi, LeftAnti, RightSemi, RightAnti, AsOf, AsOfLeft,
    ]);
    let within = (positive(), positive(), of(positive()), any::<bool>()).prop_map(
        |(before, after, grace, same)| JoinWithin {
            before,
            after: if same { before } else { after },
            grace,
            at: Place::default(),
        },
    );
    let constraint = prop_oneof![
        expr().prop_map(JoinConstraint::On),
        vec(ident(), 1..3).prop_map(JoinConstraint::Using),
        Just(JoinConstraint::Natural),
        Just(JoinConstraint::None),
    ];
    (kinds, factor, of(within), constraint).prop_map(|(kind, factor, within, constraint)| {
        let constraint = match (kind, constraint) {
            (Cross, _) => JoinConstraint::None,
            (AsOf | AsOfLeft, none @ JoinConstraint::None) => none,
            (_, JoinConstraint::None) => JoinConstraint::Natural,
            (_, constraint) => constraint,
        };
        Join {
            kind,
            factor,
            within,
            constraint,
            at: Place::default(),
        }
    })
}

pub(in crate::tests) fn table_ref() -> impl Strategy<Value = TableRef> {
    let nested = (factor(), vec(join(factor()), 1..2))
        .prop_map(|(factor, joins)| TableFactor::Nested(Box::new(TableRef { factor, joins })));
    let any_factor = prop_oneof![5 => factor(), 1 => nested].boxed();
    (any_factor.clone(), vec(join(any_factor), 0..2))
        .prop_map(|(factor, joins)| TableRef { factor, joins })
}
