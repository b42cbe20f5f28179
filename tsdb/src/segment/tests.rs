use super::*;
use crate::catalog::{Catalog, SeriesSet};
use crate::scan::{Scan, ScanBatch, ScanSpec, ZoneOp, ZonePredicate, ZoneValue, scan_batch};
use bytes::Bytes;
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tsdb_types::{Batch, BatchBuilder, ColumnId, DataType, Role, SeriesId, TimeRange};

const DECIMAL: DataType = DataType::Decimal {
    precision: 10,
    scale: 2,
};
pub(super) const DAY: i64 = 86_400_000_000_000;

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) time: i64,
    pub(super) series: u32,
    pub(super) int: Option<i64>,
    pub(super) float: Option<f64>,
    pub(super) text: Option<String>,
    pub(super) decimal: Option<i64>,
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    let maybe = proptest::option::of::<BoxedStrategy<i64>>;
    let time = prop_oneof![3 => 0i64..1000, 1 => -2 * DAY..2 * DAY];
    (
        time,
        0u32..6,
        maybe((-5i64..100).boxed()),
        proptest::option::of(prop_oneof![any::<f64>(), Just(f64::NAN), -1.0..1.0]),
        proptest::option::of("[a-c]{0,3}"),
        maybe(any::<i64>().prop_map(|v| v / 1000).boxed()),
    )
        .prop_map(|(time, series, int, float, text, decimal)| Row {
            time,
            series,
            int,
            float,
            text,
            decimal,
        })
}

pub(super) fn batch(stream: StreamId, rows: &[Row]) -> Arc<Batch> {
    let mut b = BatchBuilder::new(stream);
    for r in rows {
        b.begin_row(r.time, SeriesId(r.series));
        if let Some(v) = r.int {
            b.column(ColumnId(1), DataType::Int64).unwrap().push_i64(v);
        }
        if let Some(v) = r.float {
            b.column(ColumnId(2), DataType::Float64)
                .unwrap()
                .push_f64(v);
        }
        if let Some(v) = &r.text {
            b.column(ColumnId(3), DataType::Utf8).unwrap().push_str(v);
        }
        if let Some(v) = r.decimal {
            b.column(ColumnId(4), DECIMAL).unwrap().push_i64(v);
        }
    }
    Arc::new(b.finish().unwrap())
}

pub(super) fn catalog() -> (Catalog, Arc<crate::catalog::Stream>) {
    let catalog = Catalog::default();
    let columns = [
        ("time", DataType::Timestamp, Role::Time),
        ("int", DataType::Int64, Role::Field),
        ("float", DataType::Float64, Role::Field),
        ("text", DataType::Utf8, Role::Field),
        ("decimal", DECIMAL, Role::Field),
    ];
    let columns = columns.map(|(n, t, r)| (n.to_owned(), t, r)).to_vec();
    let def = crate::catalog::StreamDef {
        columns,
        ..Default::default()
    };
    let stream = catalog.create_stream("default", "s", &def).unwrap();
    (catalog, stream)
}

pub(super) fn type_of(id: ColumnId) -> DataType {
    [
        DataType::Timestamp,
        DataType::Int64,
        DataType::Float64,
        DataType::Utf8,
        DECIMAL,
    ][usize::from(id.0)]
}

fn build(batches: &[Arc<Batch>]) -> (SegmentMeta, Bytes) {
    build_as(SegmentId(9), batches)
}

pub(super) fn build_as(id: SegmentId, batches: &[Arc<Batch>]) -> (SegmentMeta, Bytes) {
    let mut builder = SegmentBuilder::new(id);
    builder.add(batches[0].stream, DAY, batches, &type_of);
    let (meta, bytes) = builder.finish().unwrap();
    (SegmentMeta::decode(&meta.encode()).unwrap(), bytes.into())
}

pub(super) fn open(meta: SegmentMeta, bytes: Bytes) -> Arc<Segment> {
    Arc::new(Segment::new(
        meta,
        Box::new(move || Ok(bytes.clone())),
        Box::new(|| Ok(())),
    ))
}

fn spec() -> ScanSpec {
    ScanSpec {
        columns: (1..5).map(ColumnId).collect(),
        ..ScanSpec::default()
    }
}

/// Rows as text, NaN and all, so that they can be compared.
pub(super) fn show(b: &ScanBatch) -> Vec<String> {
    let text = |c: usize, i: usize, f: &dyn Fn(&crate::scan::Vector) -> String| {
        b.columns[c].as_ref().filter(|v| v.is_valid(i)).map(f)
    };
    (0..b.rows)
        .map(|i| {
            format!(
                "{} {} {:?} {:?} {:?} {:?}",
                b.time[i],
                b.series[i],
                text(0, i, &|v| v.i64_at(i).to_string()),
                text(1, i, &|v| format!("{:x}", v.f64_at(i).to_bits())),
                text(2, i, &|v| String::from_utf8(v.str_at(i).to_vec()).unwrap()),
                text(3, i, &|v| v.i128_at(i).to_string()),
            )
        })
        .collect()
}

fn read(scan: &Scan) -> Result<Vec<String>, crate::Error> {
    let mut rows = Vec::new();
    scan.read_all(&mut |b| {
        rows.extend(show(&b));
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

proptest! {
    #[test]
    fn a_segment_reads_back_what_the_head_held_sorted_stably(
        rows in proptest::collection::vec(row(), 1..300),
        cut in 0usize..300,
        from in 0i64..1000,
        wanted in proptest::collection::vec(0u32..6, 0..3),
        above in -5i64..100,
    ) {
        let (_catalog, stream) = catalog();
        let cut = cut.clamp(1, rows.len());
        let mut batches = vec![batch(stream.id, &rows[..cut])];
        if cut < rows.len() {
            batches.push(batch(stream.id, &rows[cut..]));
        }
        let (meta, bytes) = build(&batches);
        let segment = open(meta, bytes);
        let all = Scan::new(&stream, &stream.schema(), spec(), std::slice::from_ref(&segment), std::iter::empty()).unwrap();
        let mut sorted = rows.clone();
        sorted.sort_by_key(|r| (r.time.div_euclid(DAY), r.series, r.time));
        let types: Vec<DataType> = (1..5).map(|i| type_of(ColumnId(i))).collect();
        let expected = show(&scan_batch(&batch(stream.id, &sorted), &spec(), &types).unwrap());
        prop_assert_eq!(read(&all).unwrap(), expected);

        // Time and series are exact; a zone predicate may leave rows in, but takes none out that satisfy it.
        let set = Arc::new(SeriesSet::of(wanted.iter().copied()));
        let range = TimeRange { start: from, end: from + 300 };
        let mut narrow = ScanSpec { time: Some(range), series: Some(set.clone()), ..spec() };
        let keep = |r: &&Row| range.contains(r.time) && set.contains(r.series);
        let exact: Vec<Row> = sorted.iter().filter(keep).cloned().collect();
        let expect = |rows: &[Row]| {
            if rows.is_empty() { Vec::new() } else { show(&scan_batch(&batch(stream.id, rows), &spec(), &types).unwrap()) }
        };
        let scan = |spec: &ScanSpec| {
            let scan = Scan::new(&stream, &stream.schema(), spec.clone(), std::slice::from_ref(&segment), std::iter::empty());
            read(&scan.unwrap()).unwrap()
        };
        prop_assert_eq!(scan(&narrow), expect(&exact));
        // The head admits the same rows, in log order.
        let logged: Vec<Row> = rows.iter().filter(keep).cloned().collect();
        let memory = Scan::new(&stream, &stream.schema(), narrow.clone(), &[], batches.clone().into_iter());
        prop_assert_eq!(read(&memory.unwrap()).unwrap(), expect(&logged));
        narrow.prune = vec![ZonePredicate { column: ColumnId(1), op: ZoneOp::Gt, value: ZoneValue::Int(above) }];
        let found = scan(&narrow);
        let must: Vec<Row> = exact.into_iter().filter(|r| r.int.is_some_and(|v| v > above)).collect();
        prop_assert!(expect(&must).iter().all(|r| found.contains(r)));
    }
}

#[test]
fn zone_maps_and_series_prune_whole_groups() {
    let (_catalog, stream) = catalog();
    let rows: Vec<Row> = (0..4 * GROUP_ROWS as i64)
        .map(|i| {
            let series = (i / GROUP_ROWS as i64) as u32;
            Row {
                time: i,
                series,
                int: Some(i),
                float: None,
                text: None,
                decimal: None,
            }
        })
        .collect();
    let (meta, bytes) = build(&[batch(stream.id, &rows)]);
    let segment = open(meta, bytes);
    let run = |spec: ScanSpec| {
        let scan = Scan::new(
            &stream,
            &stream.schema(),
            spec,
            std::slice::from_ref(&segment),
            std::iter::empty(),
        )
        .unwrap();
        let mut rows = 0;
        scan.read_all(&mut |b| {
            rows += b.rows;
            ControlFlow::Continue(())
        })
        .unwrap();
        let n = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
        let s = scan.stats();
        (rows, n(&s.chunks_total), n(&s.chunks_pruned))
    };
    let one = spec().columns[..1].to_vec();
    let base = ScanSpec {
        columns: one,
        ..ScanSpec::default()
    };
    assert_eq!(run(base.clone()), (4 * GROUP_ROWS, 12, 0));
    let set = Some(Arc::new(SeriesSet::of([2])));
    assert_eq!(
        run(ScanSpec {
            series: set,
            ..base.clone()
        }),
        (GROUP_ROWS, 12, 9)
    );
    let time = Some(TimeRange { start: 0, end: 10 });
    assert_eq!(
        run(ScanSpec {
            time,
            ..base.clone()
        }),
        (10, 12, 9)
    );
    let prune = vec![ZonePredicate {
        column: ColumnId(1),
        op: ZoneOp::Lt,
        value: ZoneValue::Int(5),
    }];
    assert_eq!(run(ScanSpec { prune, ..base }), (GROUP_ROWS, 12, 9));
}

#[test]
fn every_flipped_bit_and_every_cut_is_an_error_or_changes_nothing() {
    let (_catalog, stream) = catalog();
    let rows: Vec<Row> = (0..40)
        .map(|i| Row {
            time: i * 10,
            series: (i % 3) as u32,
            int: (i % 4 != 0).then_some(i),
            float: Some(i as f64 / 2.0),
            text: Some(format!("t{}", i % 2)),
            decimal: Some(i * 100),
        })
        .collect();
    let (meta, bytes) = build(&[batch(stream.id, &rows)]);
    let attempt = |bytes: Bytes| {
        let segment = open(meta.clone(), bytes);
        let scan = Scan::new(
            &stream,
            &stream.schema(),
            spec(),
            &[segment],
            std::iter::empty(),
        )?;
        read(&scan)
    };
    let whole = attempt(bytes.clone()).unwrap();
    assert_eq!(whole.len(), 40);
    for end in 0..bytes.len() {
        assert!(attempt(bytes.slice(..end)).is_err(), "cut at {end}");
    }
    let mut caught = 0;
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        match attempt(bad.into()) {
            Ok(rows) => assert_eq!(rows, whole, "bit {bit}"),
            Err(_) => caught += 1,
        }
    }
    assert!(caught > bytes.len() * 7);
}
