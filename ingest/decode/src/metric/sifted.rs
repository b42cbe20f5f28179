//! Letters of rows that were decoded, and that a filter or a derived stream can't be computed from.

use super::letter::{Kept, labels, payload};
use super::refused::Refused;
use super::{Cell, Column, EXEMPLARS, METADATA, MetricContext};
use crate::dead_letter;
use tsdb::types::{Batch, DataType, Role, SeriesId};
use tsdb::{Rows, Stream};

/// The letters of such rows of one request: as if they had been refused when they were decoded.
pub struct SiftedLetters<'a> {
    ctx: &'a MetricContext<'a>,
    refused: Refused,
}

impl<'a> SiftedLetters<'a> {
    /// No letter yet.
    #[must_use]
    pub fn new(ctx: &'a MetricContext<'a>) -> SiftedLetters<'a> {
        SiftedLetters {
            ctx,
            refused: Refused::default(),
        }
    }

    /// Writes a letter of the first row of a batch, or counts it when there are many: its number among the request's rows of
    /// that stream, and why it is left out.
    pub fn add(&mut self, row: &Batch, number: usize, why: &str) {
        let Some(stream) = self.ctx.catalog.stream_by_id(row.stream) else {
            return;
        };
        // A letter of a letter would tell nothing.
        if stream.name == dead_letter::STREAM || row.rows == 0 || self.refused.is_full() {
            return;
        }
        let parts = Parts::of(&stream, row);
        let metric = match parts.kind {
            Kind::Row => &stream.name,
            Kind::Exemplar | Kind::Metadata => parts.label("metric"),
        };
        let position = format_args!("row {number}");
        let text = || parts.payload(metric);
        self.refused.add(1, metric, &position, &why, text);
    }

    /// The letters, for the commit of the rows that are kept.
    #[must_use]
    pub fn finish(self) -> Vec<Rows> {
        self.refused.letters(self.ctx)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Row,
    Exemplar,
    Metadata,
}

/// A row taken apart, so that writing it again gives the same one.
struct Parts<'b> {
    kind: Kind,
    time: i64,
    /// Tags, and text fields that labels went to.
    labels: Vec<(String, String)>,
    values: Vec<(Column, Cell<'b>)>,
}

impl<'b> Parts<'b> {
    fn of(stream: &Stream, row: &'b Batch) -> Parts<'b> {
        let schema = stream.schema();
        let fields = schema.columns.iter().filter(|c| c.role == Role::Field);
        let there: Vec<_> = fields
            .filter_map(|c| Some((c, row.column(c.id).filter(|v| v.is_valid(0))?)))
            .collect();
        let has = |is: fn(Column) -> bool| {
            let mut known = there.iter().filter_map(|(c, _)| Column::of(&c.name));
            known.any(is)
        };
        // A metric may have the name of one of these streams.
        let kind = match stream.name.as_str() {
            METADATA if !has(Column::is_of_samples) => Kind::Metadata,
            EXEMPLARS if has(|c| c == Column::Labels) => Kind::Exemplar,
            _ => Kind::Row,
        };
        let series = SeriesId(row.series.i64_at(0) as u32);
        let tags = schema.tags().filter_map(|c| {
            let value = stream.series().tag_value(series, c.id)?;
            Some((c.name.clone(), value.to_string()))
        });
        let (mut labels, mut values): (Vec<_>, Vec<_>) = (tags.collect(), Vec::new());
        for (def, column) in there {
            // Invariant: text columns hold whole UTF-8 texts.
            let text = || std::str::from_utf8(column.str_at(0)).unwrap_or_default();
            let own = Column::of(&def.name).filter(|c| match kind {
                Kind::Row => c.is_of_samples(),
                Kind::Exemplar => matches!(c, Column::Value | Column::Labels),
                Kind::Metadata => c.is_of_metadata(),
            });
            match own {
                Some(own) => {
                    let cell = match own.data_type() {
                        DataType::Float64 => Cell::F64(column.f64_at(0)),
                        DataType::Utf8 => Cell::Text(text()),
                        _ => Cell::I64(column.i64_at(0)),
                    };
                    values.push((own, cell));
                }
                None if def.data_type == DataType::Utf8 => {
                    labels.push((def.name.clone(), text().to_owned()));
                }
                // Samples write no others.
                None => {}
            }
        }
        Parts {
            kind,
            time: row.time.i64_at(0),
            labels,
            values,
        }
    }

    fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }

    fn payload(&self, metric: &str) -> String {
        match self.kind {
            Kind::Row => {
                let labels = labels(self.labels.iter().map(|(n, v)| (n, v)));
                payload(metric, Some(&labels), &Kept::Row(self.time, &self.values))
            }
            Kind::Exemplar => {
                let (mut of, mut value) = ("{}", f64::NAN);
                for (column, cell) in &self.values {
                    match (column, cell) {
                        (Column::Labels, Cell::Text(text)) => of = text,
                        (_, Cell::F64(v)) => value = *v,
                        _ => {}
                    }
                }
                // Both texts are JSON objects, as exemplars are written.
                let kept = Kept::Exemplar(of, self.time, value);
                payload(metric, Some(self.label("series")), &kept)
            }
            Kind::Metadata => payload(metric, None, &Kept::Metadata(self.time, &self.values)),
        }
    }
}
