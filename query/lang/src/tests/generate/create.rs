//! Streams, tables and sinks as they are created.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::expr::expr;
use super::names::*;
use super::query::{query, select_body};
use super::statement::{column, option};
use crate::ast::*;

fn sample() -> impl Strategy<Value = Sample> {
    let percent = prop_oneof![
        (1i128..=100).prop_map(Literal::Integer),
        select(vec!["0.5", "99.", ".001", "100.0"])
            .prop_map(|text| Literal::Decimal(text.to_owned())),
    ];
    (percent, vec(expr(), 0..3)).prop_map(|(percent, by)| Sample {
        percent,
        by,
        span: Span::default(),
    })
}

pub(in crate::tests) fn create_stream() -> impl Strategy<Value = CreateStream> {
    let head = (name(3), option(), any::<bool>(), of(sample()));
    let derived = select_body().prop_filter_map("a set operation", |body| match body {
        SetExpr::Select(select) => Some(select),
        _ => None,
    });
    let rest = prop_oneof![
        (vec(column(), 0..4), of(expr()), of(expr()))
            .prop_map(|(columns, filter, priority)| (columns, None, filter, priority)),
        derived.prop_map(|select| (Vec::new(), Some(select), None, None)),
    ];
    (head, rest).prop_map(
        |((name, options, if_not_exists, sample), (columns, derived, filter, priority))| {
            CreateStream {
                name,
                columns,
                options,
                if_not_exists,
                derived,
                filter,
                sample,
                priority,
            }
        },
    )
}

pub(in crate::tests) fn create_table() -> impl Strategy<Value = CreateTable> {
    let column = column().prop_map(|column| ColumnDef {
        tag: false,
        ..column
    });
    let key = prop_oneof![4 => ident(), 1 => Just(Ident::new("properties.page"))];
    let parts = (name(3), vec(column, 1..4), vec(key, 0..3), option());
    (parts, any::<bool>(), any::<bool>()).prop_map(
        |((name, columns, primary_key, options), if_not_exists, or_replace)| CreateTable {
            name,
            columns,
            primary_key,
            options,
            if_not_exists,
            or_replace,
        },
    )
}

pub(in crate::tests) fn create_sink() -> impl Strategy<Value = CreateSink> {
    let source = prop_oneof![
        name(3).prop_map(SinkSource::Named),
        query().prop_map(|query| SinkSource::Query(Box::new(query))),
    ];
    (name(3), source, option(), any::<bool>()).prop_map(|(name, source, options, if_not_exists)| {
        CreateSink {
            name,
            source,
            options,
            if_not_exists,
        }
    })
}
