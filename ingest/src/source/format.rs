//! What the values of a source's messages are.

use crate::decode::{Precision, ValueFormat};

/// The format of a message's value: the stream option `value_format`.
pub enum Format {
    /// An object, an array of objects, or objects one after the other.
    Json,
    /// Lines of values, without a header line.
    Csv {
        /// The columns in their order; without any, the stream's own as they were declared.
        columns: Vec<String>,
        /// What stands between two values.
        delimiter: u8,
    },
    /// InfluxDB line protocol: each line goes to the stream that its measurement names.
    LineProtocol {
        /// The unit of times.
        precision: Precision,
    },
    /// The column `value`, STRING; bytes that are no UTF-8 are refused.
    Text,
    /// The column `value`, STRING; bytes that are no UTF-8 are written in hex.
    Raw,
    /// Anything else.
    Custom(Box<dyn ValueFormat>),
}

impl Format {
    /// The format of that name, in any case; `None` for those that need more than a name (Avro, Protobuf) and for
    /// names that mean nothing.
    #[must_use]
    pub fn parse(name: &str) -> Option<Format> {
        let csv = |delimiter| Format::Csv {
            columns: Vec::new(),
            delimiter,
        };
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "json" => Format::Json,
            "csv" | "delimited" => csv(b','),
            "tsv" => csv(b'\t'),
            "line_protocol" | "line-protocol" | "influx" => Format::LineProtocol {
                precision: Precision::Nanos,
            },
            "text" | "string" => Format::Text,
            "raw" | "bytes" => Format::Raw,
            _ => return None,
        })
    }

    /// Sets the columns of CSV (the stream option `csv_columns`, `a, b, c`) where this is CSV.
    #[must_use]
    pub fn csv_columns(self, names: &str) -> Format {
        match self {
            Format::Csv { delimiter, .. } => Format::Csv {
                columns: names
                    .split(',')
                    .map(|n| n.trim().to_owned())
                    .filter(|n| !n.is_empty())
                    .collect(),
                delimiter,
            },
            other => other,
        }
    }
}
