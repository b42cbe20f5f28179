//! Decoded rows as anyone reads them, for tests.

use super::{DecodedMetrics, METADATA, MetricContext, MetricDecoder, SiftedLetters};
use std::collections::BTreeMap;
use tsdb::types::{ColumnDef, DataType, Role, SeriesId};
use tsdb::{Catalog, Rows};

/// A row, independent of ids and batches. Doubles are their bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub stream: String,
    pub time: i64,
    pub tags: BTreeMap<String, String>,
    pub fields: BTreeMap<String, String>,
}

/// A double as a field of [`Row`].
pub(crate) fn bits(v: f64) -> String {
    format!("{:016x}", v.to_bits())
}

/// All rows, by stream in order.
pub(crate) fn read(catalog: &Catalog, decoded: DecodedMetrics) -> Vec<Row> {
    let mut out = Vec::new();
    for rows in decoded.rows {
        let batch = match rows {
            Rows::Sealed(b) => b,
            Rows::Small(b) => b.finish().unwrap(),
        };
        let stream = catalog.stream_by_id(batch.stream).unwrap();
        let schema = stream.schema();
        for i in 0..batch.rows {
            let series = SeriesId(batch.series.i64_at(i) as u32);
            let tag = |c: &ColumnDef| {
                let value = stream.series().tag_value(series, c.id)?;
                Some((c.name.clone(), value.to_string()))
            };
            let field = |c: &ColumnDef| {
                let column = batch.column(c.id).filter(|v| v.is_valid(i))?;
                let v = match c.data_type {
                    DataType::Float64 => bits(column.f64_at(i)),
                    DataType::Utf8 => String::from_utf8(column.str_at(i).to_vec()).unwrap(),
                    _ => column.i64_at(i).to_string(),
                };
                Some((c.name.clone(), v))
            };
            let fields = schema.columns.iter().filter(|c| c.role == Role::Field);
            out.push(Row {
                stream: stream.name.clone(),
                time: batch.time.i64_at(i),
                tags: schema.tags().filter_map(tag).collect(),
                fields: fields.filter_map(field).collect(),
            });
        }
    }
    out
}

/// Letters of all these rows, as if something could not be computed from any.
pub(crate) fn sifted(catalog: &Catalog, rows: &[Rows]) -> Vec<Row> {
    let ctx = context(catalog);
    let mut letters = SiftedLetters::new(&ctx);
    for rows in rows {
        let batch = match rows.clone() {
            Rows::Sealed(b) => b,
            Rows::Small(b) => b.finish().unwrap(),
        };
        let schema = catalog.stream_by_id(batch.stream).unwrap().schema();
        for i in 0..batch.rows as u32 {
            let one = tsdb::pick(&batch, &schema, &[i]).finish().unwrap();
            letters.add(&one, i as usize + 1, "it can't be computed");
        }
    }
    let rows = letters.finish();
    read(
        catalog,
        DecodedMetrics {
            rows,
            ..DecodedMetrics::default()
        },
    )
}

/// The rows of a letter, replayed where nothing is.
pub(crate) fn replay(metric: &str, payload: &str) -> Result<Vec<Row>, String> {
    let catalog = Catalog::default();
    let rows = MetricDecoder::new().letter(metric, payload, &context(&catalog))?;
    Ok(read(
        &catalog,
        DecodedMetrics {
            rows,
            ..DecodedMetrics::default()
        },
    ))
}

/// The rows of all letters among these, replayed and sorted.
pub(crate) fn replay_all(rows: &[Row]) -> Vec<Row> {
    let letters = rows
        .iter()
        .filter(|r| r.stream == crate::dead_letter::STREAM);
    let replayed = letters.flat_map(|l| replay(&l.tags["stream"], &l.fields["payload"]).unwrap());
    let mut rows: Vec<Row> = replayed.collect();
    rows.sort();
    rows
}

fn context(catalog: &Catalog) -> MetricContext<'_> {
    MetricContext {
        catalog,
        db: "default",
        now_ns: 99,
        source: "test",
    }
}

/// The rows of samples alone, sorted.
pub(crate) fn samples(rows: Vec<Row>) -> Vec<Row> {
    let own = [METADATA, super::EXEMPLARS, crate::dead_letter::STREAM];
    let mut rows: Vec<Row> = rows
        .into_iter()
        .filter(|r| !own.contains(&r.stream.as_str()))
        .collect();
    rows.sort();
    rows
}
