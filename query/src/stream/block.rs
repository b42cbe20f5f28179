//! What comes in: rows of one stream, whether from a commit or from a scan.

use super::input::{Input, Kind};
use std::sync::Arc;
use tsdb::types::{Batch, Column, ColumnId, Role, SeriesId};
use tsdb::{ScanBatch, Stream, TagColumn, Vector};

/// What the series ids of a stream stand for.
pub trait Tags {
    /// A tag's codes and values, of all series in the block at hand and maybe more.
    fn column(&self, tag: ColumnId) -> Arc<TagColumn>;
    /// Bytes that order series by their keys, whatever the order in which they were first seen.
    fn key(&self, series: u32) -> Box<[u8]>;
}

impl Tags for Stream {
    fn column(&self, tag: ColumnId) -> Arc<TagColumn> {
        self.series().tag_codes(tag)
    }

    /// Names and values of the tags, by name.
    fn key(&self, series: u32) -> Box<[u8]> {
        let schema = self.schema();
        let mut tags: Vec<_> = schema
            .columns
            .iter()
            .filter(|c| c.role == Role::Tag)
            .filter_map(|c| Some((&c.name, self.series().tag_value(SeriesId(series), c.id)?)))
            .collect();
        tags.sort();
        let mut key = Vec::new();
        for (name, value) in tags {
            for part in [name.as_bytes(), value.as_bytes()] {
                key.extend_from_slice(part);
                key.push(0);
            }
        }
        key.into()
    }
}

#[derive(Clone, Copy, Debug)]
enum Stored<'a> {
    Narrow(&'a Column),
    Decoded(&'a Vector),
}

/// Rows of one stream in log order, or at least so among the rows of one series and time.
#[derive(Debug)]
pub struct RowBlock<'a> {
    time: Vec<i64>,
    series: Vec<u32>,
    columns: Vec<(ColumnId, Stored<'a>)>,
}

impl<'a> RowBlock<'a> {
    /// The rows of a batch.
    #[must_use]
    pub fn from_batch(batch: &'a Batch) -> Self {
        let (mut time, mut ids) = (
            Vec::with_capacity(batch.rows),
            Vec::with_capacity(batch.rows),
        );
        batch.time.extend_i64(batch.rows, &mut time);
        batch.series.extend_i64(batch.rows, &mut ids);
        Self {
            time,
            // Series ids are u32 in the log's narrow integers.
            series: ids.iter().map(|s| *s as u32).collect(),
            columns: batch
                .columns
                .iter()
                .map(|(id, c)| (*id, Stored::Narrow(c)))
                .collect(),
        }
    }

    /// The rows of a scan of `columns`.
    #[must_use]
    pub fn from_scan(batch: &'a mut ScanBatch, columns: &[ColumnId]) -> Self {
        Self {
            time: std::mem::take(&mut batch.time),
            series: std::mem::take(&mut batch.series),
            columns: columns
                .iter()
                .zip(&batch.columns)
                .filter_map(|(id, c)| Some((*id, Stored::Decoded(c.as_ref()?))))
                .collect(),
        }
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.time.len()
    }

    /// Event times.
    #[must_use]
    pub fn time(&self) -> &[i64] {
        &self.time
    }

    /// Series ids.
    #[must_use]
    pub fn series(&self) -> &[u32] {
        &self.series
    }

    /// A field column.
    pub(crate) fn field(&self, id: ColumnId, kind: Kind) -> Input {
        match self.columns.iter().find(|c| c.0 == id) {
            None => Input::null(),
            Some((_, Stored::Narrow(c))) => Input::from_column(c, self.rows(), kind),
            Some((_, Stored::Decoded(v))) => Input::from_vector(v, self.rows()),
        }
    }
}
