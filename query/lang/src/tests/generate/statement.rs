//! Statements.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::create::{create_sink, create_stream, create_table};
use super::expr::expr;
use super::names::*;
use super::query::{plain_query, query, select_body, values};
use crate::ast::*;

pub(in crate::tests) fn option() -> impl Strategy<Value = Vec<SqlOption>> {
    let value = prop_oneof![
        text().prop_map(Literal::String),
        any::<i64>().prop_map(|n| Literal::Integer(n.into())),
        Just(Literal::Decimal("-1.5".to_owned())),
        any::<bool>().prop_map(Literal::Boolean),
        interval().prop_map(Literal::Interval),
    ];
    let names = select(vec![
        "retention",
        "kafka.group.id",
        "odd name",
        "order",
        "it's",
    ]);
    prop::collection::btree_map(names, value, 0..3).prop_map(|map| {
        let make = |(name, value): (&str, Literal)| SqlOption {
            name: name.to_owned(),
            name_span: Span::default(),
            value,
            value_span: Span::default(),
        };
        map.into_iter().map(make).collect()
    })
}

pub(in crate::tests) fn column() -> impl Strategy<Value = ColumnDef> {
    let dotted = Just(Ident::new("properties.page"));
    (
        prop_oneof![4 => ident(), 1 => dotted],
        data_type(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(name, data_type, tag, not_null)| ColumnDef {
            name,
            data_type,
            tag,
            not_null,
            span: Span::default(),
        })
}

pub(in crate::tests) fn explained() -> impl Strategy<Value = StatementKind> {
    let n = any::<bool>;
    let view = (
        name(2),
        vec(ident(), 0..3),
        option(),
        n(),
        n(),
        n(),
        query(),
    )
        .prop_map(
            |(name, columns, options, if_not_exists, or_replace, materialized, query)| {
                let query = Box::new(query);
                CreateView {
                    name,
                    columns,
                    options,
                    if_not_exists,
                    or_replace,
                    materialized,
                    query,
                }
            },
        );
    let source = prop_oneof![
        values().prop_map(InsertSource::Values),
        (select_body(), expr()).prop_map(|(body, limit)| {
            InsertSource::Query(Box::new(Query {
                limit: Some(limit),
                ..plain_query(body)
            }))
        }),
    ];
    let show = prop_oneof![
        select(vec![
            ShowKind::Streams,
            ShowKind::Views,
            ShowKind::Databases,
            ShowKind::Tables,
            ShowKind::Functions,
            ShowKind::Queries,
            ShowKind::Sources,
            ShowKind::Sinks,
        ]),
        name(3).prop_map(|of| ShowKind::Columns { of }),
    ];
    let drop = prop_oneof![
        (
            select(vec![
                DropKind::Stream,
                DropKind::Table,
                DropKind::Sink,
                DropKind::View
            ]),
            name(3)
        ),
        ident().prop_map(|name| (DropKind::Database, ObjectName::single(name))),
    ];
    prop_oneof![
        (ident(), n()).prop_map(|(name, if_not_exists)| StatementKind::CreateDatabase {
            name,
            if_not_exists
        }),
        create_stream().prop_map(|create| StatementKind::CreateStream(Box::new(create))),
        create_table().prop_map(StatementKind::CreateTable),
        create_sink().prop_map(StatementKind::CreateSink),
        view.prop_map(StatementKind::CreateView),
        (name(3), vec(ident(), 0..3), source, n()).prop_map(|(table, columns, source, upsert)| {
            StatementKind::Insert(Insert {
                table,
                columns,
                source,
                upsert,
            })
        }),
        (of(name(3)), of(expr()))
            .prop_map(|(stream, predicate)| StatementKind::ReplayDeadLetters { stream, predicate }),
        name(3).prop_map(|stream| StatementKind::PauseSource { stream }),
        name(3).prop_map(|stream| StatementKind::ResumeSource { stream }),
        (name(3), of(expr()))
            .prop_map(|(table, predicate)| StatementKind::Delete { table, predicate }),
        query().prop_map(|query| StatementKind::Query(Box::new(query))),
        (show, of(text())).prop_map(|(kind, like)| StatementKind::Show { kind, like }),
        name(3).prop_map(|name| StatementKind::Describe { name }),
        (drop, n()).prop_map(|((kind, name), if_exists)| StatementKind::Drop {
            kind,
            name,
            if_exists
        }),
        ident().prop_map(|database| StatementKind::Use { database }),
        (name(3), text()).prop_map(|(name, value)| StatementKind::Set {
            name,
            value: Literal::String(value)
        }),
    ]
}

pub(in crate::tests) fn statement() -> impl Strategy<Value = Statement> {
    (explained(), of((any::<bool>(), any::<bool>()))).prop_map(|(kind, explain)| {
        let plain = |kind| Statement {
            kind,
            span: Span::default(),
        };
        match explain {
            None => plain(kind),
            Some((analyze, verbose)) => plain(StatementKind::Explain {
                analyze,
                verbose,
                statement: Box::new(plain(kind)),
            }),
        }
    })
}
