//! A stream of test events, as batches and as a bound query.

use crate::bind::windowed::{AggCall, AggFunc, GroupKey, SourceRef, WindowSpec, WindowedAggregate};
use crate::stream::{Plan, RowBlock, Tags};
use crate::types::arrow_schema;
use arrow::datatypes::{DataType as Arrow, Field, Schema as ArrowSchema};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, lit};
use std::sync::Arc;
use tsdb::TagColumn;
use tsdb::types::{
    Batch, Column as Stored, ColumnBuilder, ColumnDef, ColumnId, DataType, Role, Schema, StreamId,
};

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub time: i64,
    pub host: u32,
    pub city: Option<String>,
    pub count: Option<i64>,
    pub amount: Option<i128>,
    pub load: Option<f64>,
}

/// Series `i` has the tag value `h{9 - i}`: ids sort against keys.
pub struct Hosts;

pub fn host_name(series: u32) -> String {
    format!("h{}", 9 - series % 10)
}

impl Tags for Hosts {
    fn column(&self, _: ColumnId) -> Arc<TagColumn> {
        Arc::new(TagColumn {
            codes: (1..=10).collect(),
            values: (0..10).map(|i| host_name(i).into()).collect(),
        })
    }

    fn key(&self, series: u32) -> Box<[u8]> {
        host_name(series).into_bytes().into()
    }
}

pub fn schema() -> Arc<Schema> {
    let def = |id, name: &str, data_type, role| ColumnDef {
        id: ColumnId(id),
        name: name.to_string(),
        data_type,
        role,
    };
    let decimal = DataType::Decimal {
        precision: 10,
        scale: 2,
    };
    Arc::new(Schema {
        columns: vec![
            def(0, "ts", DataType::Timestamp, Role::Time),
            def(1, "host", DataType::Utf8, Role::Tag),
            def(2, "city", DataType::Utf8, Role::Field),
            def(3, "count", DataType::Int64, Role::Field),
            def(4, "amount", decimal, Role::Field),
            def(5, "load", DataType::Float64, Role::Field),
        ],
    })
}

pub fn batch(events: &[Event]) -> Batch {
    let times: Vec<i64> = events.iter().map(|e| e.time).collect();
    let series: Vec<i64> = events.iter().map(|e| i64::from(e.host)).collect();
    let mut city = ColumnBuilder::new(DataType::Utf8);
    let ints = |f: &dyn Fn(&Event) -> Option<i64>| {
        let mut b = ColumnBuilder::new(DataType::Int64);
        for e in events {
            match f(e) {
                Some(v) => b.push_i64(v),
                None => b.push_null(),
            }
        }
        b.finish(events.len())
    };
    let mut load = ColumnBuilder::new(DataType::Float64);
    for e in events {
        match &e.city {
            Some(v) => {
                city.push_str(v);
            }
            None => city.push_null(),
        }
        match e.load {
            Some(v) => load.push_f64(v),
            None => load.push_null(),
        }
    }
    let columns = [
        (2, city.finish(events.len())),
        (3, ints(&|e| e.count)),
        (4, ints(&|e| e.amount.map(|a| a as i64))),
        (5, load.finish(events.len())),
    ];
    Batch {
        stream: StreamId(1),
        rows: events.len(),
        time: Stored::from_i64(&times, None),
        series: Stored::from_i64(&series, None),
        columns: columns
            .into_iter()
            .map(|(id, c)| (ColumnId(id), c))
            .collect(),
        min_time: times.iter().copied().min().unwrap_or(0),
        max_time: times.iter().copied().max().unwrap_or(0),
    }
}

pub fn feed(operator: &mut crate::stream::Operator, events: &[Event]) {
    let batch = batch(events);
    operator
        .apply(&RowBlock::from_batch(&batch), &Hosts)
        .unwrap();
}

/// The whole state at one commit, in slices of so many groups.
pub fn save(operator: &crate::stream::Operator, most: usize) -> Vec<u8> {
    let (mut state, mut from) = (Vec::new(), Some(0));
    while let Some(key) = from {
        let slice = operator.save_slice(key, most, 0);
        state.extend_from_slice(&(slice.bytes.len() as u64).to_le_bytes());
        state.extend_from_slice(&slice.bytes);
        from = slice.next;
    }
    state
}

pub fn col(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// Every aggregate there is, with its result type.
pub fn aggregates() -> Vec<AggCall> {
    use AggFunc as F;
    let list = Arrow::List(Arc::new(Field::new_list_field(Arrow::Utf8, true)));
    let call = |func, arg: Option<&str>, data_type| AggCall {
        func,
        arg: arg.map(col),
        filter: None,
        name: String::new(),
        data_type,
    };
    let mut all = vec![
        call(F::CountRows, None, Arrow::Int64),
        call(F::Count, Some("count"), Arrow::Int64),
        call(F::Sum, Some("count"), Arrow::Int64),
        call(F::Sum, Some("amount"), Arrow::Decimal128(38, 2)),
        call(F::Avg, Some("amount"), Arrow::Decimal128(14, 6)),
        call(F::Sum, Some("load"), Arrow::Float64),
        call(F::Avg, Some("count"), Arrow::Float64),
        call(F::Min, Some("load"), Arrow::Float64),
        call(F::Max, Some("city"), Arrow::Utf8),
        call(F::CountDistinct, Some("city"), Arrow::Int64),
        call(F::CountDistinct, Some("host"), Arrow::Int64),
        call(F::CollectList, Some("city"), list),
        call(F::First, Some("count"), Arrow::Int64),
        call(F::Last, Some("count"), Arrow::Int64),
        call(F::VarSample, Some("load"), Arrow::Float64),
        call(F::Percentile(0.9), Some("load"), Arrow::Float64),
        call(F::ApproxPercentile(0.5), Some("load"), Arrow::Float64),
        call(F::Count, Some("load"), Arrow::Int64),
    ];
    all[17].filter = Some(col("count").gt(lit(0i64)));
    for (i, a) in all.iter_mut().enumerate() {
        a.name = format!("a{i}");
    }
    all
}

pub fn query(
    window: WindowSpec,
    keys: &[&str],
    filter: Option<Expr>,
    aggregates: Vec<AggCall>,
) -> WindowedAggregate {
    let schema = schema();
    let arrow = arrow_schema(&schema);
    let keys: Vec<GroupKey> = keys
        .iter()
        .map(|k| GroupKey {
            expr: col(k),
            name: (*k).to_string(),
            data_type: match *k {
                "count" => Arrow::Int64,
                _ => Arrow::Utf8,
            },
        })
        .collect();
    let mut fields: Vec<Field> = keys
        .iter()
        .map(|k| Field::new(&k.name, k.data_type.clone(), true))
        .chain(
            aggregates
                .iter()
                .map(|a| Field::new(&a.name, a.data_type.clone(), true)),
        )
        .collect();
    if window.is_windowed() {
        for name in ["window_start", "window_end"] {
            fields.push(Field::new(name, crate::types::TIMESTAMP, false));
        }
    }
    let output = Arc::new(ArrowSchema::new(fields));
    WindowedAggregate {
        source: SourceRef {
            db: "default".to_string(),
            name: "events".to_string(),
            id: StreamId(1),
            schema,
            arrow,
        },
        filter,
        window,
        grace: 0,
        keys,
        aggregates,
        group_schema: Arc::new(DFSchema::try_from(output.as_ref().clone()).unwrap()),
        having: None,
        projection: output
            .fields()
            .iter()
            .map(|f| (col(f.name()), f.name().clone()))
            .collect(),
        output,
        emit: None,
    }
}

pub fn plan(query: WindowedAggregate) -> Arc<Plan> {
    Arc::new(Plan::new(query).unwrap())
}

/// A small generator with a seed (Vigna's splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub fn event(&mut self) -> Event {
        let some = self.below(64);
        Event {
            // Around zero, so that negative times come too, and dense, so that ties do.
            time: self.below(2_000) as i64 - 700,
            host: self.below(4) as u32,
            city: (some & 3 != 0).then(|| format!("c{}", self.below(5))),
            count: (some & 12 != 0).then(|| self.below(7) as i64 - 3),
            amount: (some & 16 != 0).then(|| i128::from(self.below(100_000)) - 50_000),
            load: (some & 32 != 0).then(|| (self.below(20_000) as f64 - 10_000.0) / 7.0),
        }
    }
}
