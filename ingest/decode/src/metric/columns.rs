//! The columns that samples have besides their labels, and what becomes of labels of the same names.

use std::borrow::Cow;
use tsdb::types::DataType;

/// A field that metrics write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Value,
    StartTime,
    HistogramCount,
    HistogramSum,
    HistogramMin,
    HistogramMax,
    HistogramSchema,
    HistogramZeroThreshold,
    HistogramZeroCount,
    HistogramBuckets,
    HistogramBounds,
    HistogramResetHint,
    SummaryCount,
    SummarySum,
    SummaryQuantiles,
    // Of the streams of metadata and exemplars.
    Type,
    Help,
    Unit,
    Labels,
}

impl Column {
    /// How many there are.
    pub const COUNT: usize = Column::Labels as usize + 1;

    const ALL: [Column; Column::COUNT] = [
        Column::Value,
        Column::StartTime,
        Column::HistogramCount,
        Column::HistogramSum,
        Column::HistogramMin,
        Column::HistogramMax,
        Column::HistogramSchema,
        Column::HistogramZeroThreshold,
        Column::HistogramZeroCount,
        Column::HistogramBuckets,
        Column::HistogramBounds,
        Column::HistogramResetHint,
        Column::SummaryCount,
        Column::SummarySum,
        Column::SummaryQuantiles,
        Column::Type,
        Column::Help,
        Column::Unit,
        Column::Labels,
    ];

    /// By its name.
    pub fn of(name: &str) -> Option<Column> {
        Column::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Whether it is one of what metrics are.
    pub fn is_of_metadata(self) -> bool {
        matches!(self, Column::Type | Column::Help | Column::Unit)
    }

    /// Whether it is one of samples and histograms.
    pub fn is_of_samples(self) -> bool {
        !self.is_of_metadata() && self != Column::Labels
    }

    pub fn name(self) -> &'static str {
        match self {
            Column::Value => "value",
            Column::StartTime => "start_time",
            Column::HistogramCount => "histogram.count",
            Column::HistogramSum => "histogram.sum",
            Column::HistogramMin => "histogram.min",
            Column::HistogramMax => "histogram.max",
            Column::HistogramSchema => "histogram.schema",
            Column::HistogramZeroThreshold => "histogram.zero_threshold",
            Column::HistogramZeroCount => "histogram.zero_count",
            Column::HistogramBuckets => "histogram.buckets",
            Column::HistogramBounds => "histogram.bounds",
            Column::HistogramResetHint => "histogram.reset_hint",
            Column::SummaryCount => "summary.count",
            Column::SummarySum => "summary.sum",
            Column::SummaryQuantiles => "summary.quantiles",
            Column::Type => "type",
            Column::Help => "help",
            Column::Unit => "unit",
            Column::Labels => "labels",
        }
    }

    pub fn data_type(self) -> DataType {
        match self {
            Column::StartTime => DataType::Timestamp,
            Column::HistogramSchema => DataType::Int64,
            Column::HistogramBuckets
            | Column::HistogramBounds
            | Column::HistogramResetHint
            | Column::SummaryQuantiles
            | Column::Type
            | Column::Help
            | Column::Unit
            | Column::Labels => DataType::Utf8,
            _ => DataType::Float64,
        }
    }
}

/// A field's value, of its column's type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    /// A double, its bits kept.
    F64(f64),
    /// An integer or a time in nanoseconds.
    I64(i64),
    Text(&'a str),
}

/// A label's name and value.
pub(crate) type Tag<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Names that a label can't have, in any stream: what a label becomes must not depend on what came before it.
fn is_reserved(name: &str) -> bool {
    matches!(name, "time" | "value" | "start_time")
        || name.starts_with("histogram.")
        || name.starts_with("summary.")
}

/// Gives labels of reserved names the prefix `exported_`, as Prometheus does where two labels meet, as often as it
/// takes to be unique.
pub(crate) fn rename_reserved(tags: &mut [Tag<'_>]) {
    for i in 0..tags.len() {
        if !is_reserved(&tags[i].0) {
            continue;
        }
        let mut name = format!("exported_{}", tags[i].0);
        while tags.iter().any(|t| t.0 == name) {
            name.insert_str(0, "exported_");
        }
        tags[i].0 = Cow::Owned(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_names() {
        for (i, column) in Column::ALL.into_iter().enumerate() {
            assert_eq!(column as usize, i);
            assert_eq!(Column::of(column.name()), Some(column));
            assert_eq!(column.is_of_samples(), is_reserved(column.name()));
        }
        assert_eq!(Column::of("histogram.x"), None);
    }

    #[test]
    fn labels_of_reserved_names_get_one_of_their_own() {
        let mut tags: Vec<Tag<'_>> = ["exported_value", "job", "time", "value", "histogram.sum"]
            .map(|n| (n.into(), "x".into()))
            .into();
        rename_reserved(&mut tags);
        let names: Vec<&str> = tags.iter().map(|t| t.0.as_ref()).collect();
        assert_eq!(
            names,
            [
                "exported_value",
                "job",
                "exported_time",
                "exported_exported_value",
                "exported_histogram.sum"
            ]
        );
    }
}
