use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Row {
    time: i64,
    int: Option<i64>,
    float: Option<f64>,
    text: Option<String>,
    wide: Option<i128>,
}

fn row() -> impl Strategy<Value = Row> {
    let int = prop_oneof![any::<i64>(), -3i64..300];
    (
        any::<i64>(),
        proptest::option::of(int),
        proptest::option::of(any::<f64>()),
        proptest::option::of(".{0,9}"),
        proptest::option::of(any::<i128>()),
    )
        .prop_map(|(time, int, float, text, wide)| Row {
            time,
            int,
            float,
            text,
            wide,
        })
}

const WIDE: DataType = DataType::Decimal {
    precision: 38,
    scale: 2,
};

fn build(rows: &[Row]) -> BatchBuilder {
    let mut b = BatchBuilder::new(StreamId(7));
    for r in rows {
        b.begin_row(r.time, SeriesId(3));
        if let Some(v) = r.int {
            b.column(ColumnId(1), DataType::Int64).unwrap().push_i64(v);
        }
        if let Some(v) = r.float {
            b.column(ColumnId(2), DataType::Float64)
                .unwrap()
                .push_f64(v);
        }
        if let Some(v) = &r.text {
            assert!(b.column(ColumnId(4), DataType::Utf8).unwrap().push_str(v));
        }
        if let Some(v) = r.wide {
            assert!(b.column(ColumnId(5), WIDE).unwrap().push_i128(v));
        }
    }
    b
}

fn check(batch: &Batch, rows: &[Row]) {
    assert_eq!(batch.rows, rows.len());
    let valid = |id: u16, i: usize| batch.column(ColumnId(id)).filter(|c| c.is_valid(i));
    for (i, r) in rows.iter().enumerate() {
        assert_eq!(batch.time.i64_at(i), r.time);
        assert_eq!(batch.series.i64_at(i), 3);
        assert_eq!(valid(1, i).map(|c| c.i64_at(i)), r.int);
        assert_eq!(
            valid(2, i).map(|c| c.f64_at(i).to_bits()),
            r.float.map(f64::to_bits)
        );
        assert_eq!(
            valid(4, i).map(|c| c.str_at(i)),
            r.text.as_ref().map(|t| t.as_bytes())
        );
        assert_eq!(valid(5, i).map(|c| c.i128_at(i)), r.wide);
    }
    if let Some(c) = batch.column(ColumnId(1)) {
        let mut all = Vec::new();
        c.extend_i64(batch.rows, &mut all);
        assert!(all.iter().enumerate().all(|(i, v)| *v == c.i64_at(i)));
    }
}

proptest! {
    #[test]
    fn rows_survive_building_merging_and_the_wire(
        rows in proptest::collection::vec(row(), 1..60), cut in 0usize..60, spoil in any::<(u16, u8)>()
    ) {
        let cut = cut.min(rows.len());
        let mut merged = build(&rows[..cut]);
        merged.append(&build(&rows[cut..]));
        let batch = merged.finish().unwrap();
        check(&batch, &rows);
        let mut wire = Vec::new();
        batch.encode(&mut wire);
        let bytes = Bytes::from(wire.clone());
        let mut pos = 0;
        check(&Batch::decode(&bytes, &mut pos).unwrap(), &rows);
        prop_assert_eq!(pos, bytes.len());
        // Hostile bytes: every cut is an error, a flipped byte is an error or some batch, never a panic.
        for end in (0..wire.len()).step_by(7) {
            prop_assert!(Batch::decode(&bytes.slice(..end), &mut 0).is_err());
        }
        let at = usize::from(spoil.0) % wire.len();
        wire[at] ^= spoil.1;
        let _ = Batch::decode(&Bytes::from(wire), &mut 0);
    }

    #[test]
    fn truncation_equals_never_having_appended(rows in proptest::collection::vec(row(), 1..40), keep in 0usize..40) {
        let keep = keep.min(rows.len());
        let mut b = build(&rows);
        b.truncate(keep);
        b.append(&build(&rows));
        let expected: Vec<Row> = rows[..keep].iter().chain(&rows).cloned().collect();
        check(&b.finish().unwrap(), &expected);
    }

    #[test]
    fn a_sealed_batch_reads_back_into_rows_of_a_second_value_error(v in any::<i64>()) {
        let mut b = BatchBuilder::new(StreamId(1));
        b.begin_row(0, SeriesId(0));
        b.column(ColumnId(1), DataType::Int64).unwrap().push_i64(v);
        prop_assert!(b.column(ColumnId(1), DataType::Int64).is_none());
    }
}
