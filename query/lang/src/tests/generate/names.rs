//! Names, constants and types.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::ast::*;

pub(in crate::tests) fn at(kind: ExprKind) -> Expr {
    Expr::new(kind, Span::default())
}

/// Names, some of which are words of the grammar elsewhere.
pub(in crate::tests) fn ident() -> impl Strategy<Value = Ident> {
    let words = select(vec![
        "a",
        "B",
        "t1",
        "timestamp",
        "value",
        "end",
        "left",
        "window",
        "interval",
        "offset",
        "date",
        "table",
        "array",
        "größe",
        "filter",
        "over",
        "emit",
        "session",
        "x$y",
        "_",
        "size",
        "at",
        "day",
        "key",
        "first",
        "rows",
    ]);
    prop_oneof![
        4 => words.prop_map(Ident::new),
        1 => select(vec!["order", "a b", "x\"y", "é", "SELECT", "1", "'", "--", "a.b"]).prop_map(Ident::quoted),
    ]
}

pub(in crate::tests) fn name(parts: usize) -> impl Strategy<Value = ObjectName> {
    vec(ident(), 1..=parts).prop_map(|parts| ObjectName { parts })
}

/// Names of functions that have no syntax of their own.
pub(in crate::tests) fn function_name() -> impl Strategy<Value = ObjectName> {
    prop_oneof![
        select(vec![
            "count",
            "SUM",
            "f",
            "left",
            "trim",
            "substring",
            "position",
            "TUMBLE",
            "HOP",
            "rollup"
        ])
        .prop_map(|name| ObjectName::single(Ident::new(name))),
        Just(ObjectName {
            parts: vec![Ident::new("lib"), Ident::new("order")]
        }),
        Just(ObjectName::single(Ident::quoted("cast"))),
    ]
}

pub(in crate::tests) fn interval() -> impl Strategy<Value = Interval> {
    (-1000i32..1000, any::<i64>()).prop_map(|(months, nanos)| Interval { months, nanos })
}

pub(in crate::tests) fn positive() -> impl Strategy<Value = Interval> {
    (1i64..1_000_000).prop_map(|ms| Interval::from_nanos(ms * 1_000_000))
}

pub(in crate::tests) fn text() -> impl Strategy<Value = String> {
    select(vec![
        "",
        "x",
        "it's",
        "--",
        "/*",
        "\"",
        "ü\n",
        "5 minutes",
        "%_",
    ])
    .prop_map(str::to_owned)
}

pub(in crate::tests) fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Boolean),
        (0i128..=i128::MAX).prop_map(Literal::Integer),
        select(vec![
            "1.50",
            ".5",
            "3.",
            "170141183460469231731687303715884105728"
        ])
        .prop_map(|text| Literal::Decimal(text.to_owned())),
        select(vec!["1e3", "1.5E-3", "2.e+1"]).prop_map(|text| Literal::Float(text.to_owned())),
        text().prop_map(Literal::String),
        vec(any::<u8>(), 0..4).prop_map(Literal::Bytes),
        text().prop_map(Literal::Timestamp),
        text().prop_map(Literal::Date),
        text().prop_map(Literal::Time),
        interval().prop_map(Literal::Interval),
    ]
}

pub(in crate::tests) fn data_type() -> impl Strategy<Value = DataType> {
    let simple = prop_oneof![
        select(vec![
            DataType::Boolean,
            DataType::TinyInt,
            DataType::SmallInt,
            DataType::Int,
            DataType::BigInt,
            DataType::UTinyInt,
            DataType::USmallInt,
            DataType::UInt,
            DataType::UBigInt,
            DataType::Real,
            DataType::Double,
            DataType::Decimal(None),
            DataType::Bytes,
            DataType::Date,
            DataType::Time,
            DataType::Interval,
        ]),
        (1u8..=38)
            .prop_flat_map(|p| (Just(p), 0..=p as i8))
            .prop_map(|both| DataType::Decimal(Some(both))),
        of(any::<u32>()).prop_map(|length| DataType::String { length }),
        (of(0u8..=9), any::<bool>()).prop_map(|(precision, with_zone)| DataType::Timestamp {
            precision,
            with_zone
        }),
    ];
    (simple, 0usize..3)
        .prop_map(|(simple, depth)| (0..depth).fold(simple, |t, _| DataType::Array(Box::new(t))))
}
