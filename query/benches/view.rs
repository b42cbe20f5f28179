//! What a tumbling view over TSBS cpu rows costs a row: 4,000 hosts, batches of 5,000 rows, ten seconds a step.
//!
//! `cargo bench -p query --bench view`; with `--test` it runs once over little, as a check that it still works.

use arrow::datatypes::{DataType as Arrow, Field, Schema as ArrowSchema};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use query::bind::windowed::{AggCall, AggFunc, GroupKey, SourceRef, WindowSpec, WindowedAggregate};
use query::stream::{Operator, Plan, RowBlock, Tags};
use query::types::{TIMESTAMP, arrow_schema};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::TagColumn;
use tsdb::types::{Batch, Column as Stored, ColumnDef, ColumnId, DataType, Role, Schema, StreamId};

const HOSTS: usize = 4_000;
const BATCH: usize = 5_000;
const SECOND: i64 = 1_000_000_000;

struct Hosts(Arc<TagColumn>);

impl Tags for Hosts {
    fn column(&self, _: ColumnId) -> Arc<TagColumn> {
        self.0.clone()
    }

    fn key(&self, series: u32) -> Box<[u8]> {
        series.to_be_bytes().into()
    }
}

fn col(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

fn query() -> WindowedAggregate {
    let def = |id, name: &str, data_type, role| ColumnDef {
        id: ColumnId(id),
        name: name.to_string(),
        data_type,
        role,
    };
    let schema = Arc::new(Schema {
        columns: vec![
            def(0, "time", DataType::Timestamp, Role::Time),
            def(1, "hostname", DataType::Utf8, Role::Tag),
            def(2, "usage_user", DataType::Int64, Role::Field),
            def(3, "usage_system", DataType::Int64, Role::Field),
        ],
    });
    let call = |func, arg: Option<&str>, name: &str, data_type| AggCall {
        func,
        arg: arg.map(col),
        filter: None,
        name: name.to_string(),
        data_type,
    };
    let output = Arc::new(ArrowSchema::new(vec![
        Field::new("hostname", Arrow::Utf8, true),
        Field::new("a", Arrow::Float64, true),
        Field::new("b", Arrow::Int64, true),
        Field::new("c", Arrow::Int64, true),
        Field::new("window_start", TIMESTAMP, false),
        Field::new("window_end", TIMESTAMP, false),
    ]));
    let fields = output.fields().iter();
    WindowedAggregate {
        source: SourceRef {
            db: "default".to_string(),
            name: "cpu".to_string(),
            id: StreamId(1),
            arrow: arrow_schema(&schema),
            schema,
        },
        filter: None,
        window: WindowSpec::Tumbling {
            size: 60 * SECOND,
            offset: 0,
        },
        grace: 0,
        keys: vec![GroupKey {
            expr: col("hostname"),
            name: "hostname".to_string(),
            data_type: Arrow::Utf8,
        }],
        aggregates: vec![
            call(AggFunc::Avg, Some("usage_user"), "a", Arrow::Float64),
            call(AggFunc::Max, Some("usage_system"), "b", Arrow::Int64),
            call(AggFunc::CountRows, None, "c", Arrow::Int64),
        ],
        group_schema: Arc::new(
            DFSchema::try_from(output.as_ref().clone()).expect("distinct names"),
        ),
        having: None,
        projection: fields.map(|f| (col(f.name()), f.name().clone())).collect(),
        output,
        emit: None,
    }
}

fn batch(n: usize) -> Batch {
    let row = |i: usize| (n * BATCH + i) as i64;
    let ints = |f: &dyn Fn(i64) -> i64| {
        let values: Vec<i64> = (0..BATCH).map(|i| f(row(i))).collect();
        (Stored::from_i64(&values, None), values)
    };
    let (time, times) = ints(&|r| r / HOSTS as i64 * 10 * SECOND);
    let (series, _) = ints(&|r| r % HOSTS as i64);
    let (user, _) = ints(&|r| r * 7 % 101);
    let (system, _) = ints(&|r| r * 13 % 101);
    Batch {
        stream: StreamId(1),
        rows: BATCH,
        time,
        series,
        columns: vec![(ColumnId(2), user), (ColumnId(3), system)],
        min_time: times[0],
        max_time: times[BATCH - 1],
    }
}

fn main() {
    let batches = if std::env::args().any(|a| a == "--test") {
        4
    } else {
        1_000
    };
    let tags = Hosts(Arc::new(TagColumn {
        codes: (1..=HOSTS as u32).collect(),
        values: (0..HOSTS).map(|i| format!("host_{i}").into()).collect(),
    }));
    let data: Vec<Batch> = (0..batches).map(batch).collect();
    let plan = Arc::new(Plan::new(query()).expect("a plan"));
    let rows = batches * BATCH;
    let mut operator = Operator::new(plan.clone());
    let start = Instant::now();
    for batch in &data {
        operator
            .apply(&RowBlock::from_batch(batch), &tags)
            .expect("rows");
    }
    println!(
        "tumbling, 3 aggregates: {:.1} ns a row",
        start.elapsed().as_nanos() as f64 / rows as f64
    );
    let mut operator = Operator::new(plan);
    operator.track(true, false, i64::MIN);
    let start = Instant::now();
    let mut sent = 0;
    for batch in &data {
        operator
            .apply(&RowBlock::from_batch(batch), &tags)
            .expect("rows");
        sent += operator.take_changes().expect("changes").insert.num_rows();
    }
    let spent = start.elapsed().as_nanos() as f64 / rows as f64;
    println!("the same, changes taken after each batch: {spent:.1} ns a row, {sent} rows sent");
    let start = Instant::now();
    let all = operator.rows().expect("rows");
    println!("reading {} rows: {:?}", all.num_rows(), start.elapsed());
    let (mut from, mut worst, mut bytes) = (Some(0), Duration::ZERO, 0);
    let start = Instant::now();
    while let Some(key) = from {
        let begun = Instant::now();
        let slice = operator.save_slice(key, 4_096, 0);
        worst = worst.max(begun.elapsed());
        bytes += slice.bytes.len();
        from = slice.next;
    }
    println!(
        "saving {} groups: {:?}, {bytes} bytes, the longest slice {worst:?}",
        operator.group_count(),
        start.elapsed()
    );
}
