//! Windows over event time.

use std::fmt::{self, Display, Formatter};

use super::clause_list;
use super::names::quoted;
use crate::ast::{Interval, WindowClause, WindowKind, WindowedTable};

impl Display for WindowClause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (kind, named, offset): (_, [(&str, Option<Interval>); 2], _) = match &self.kind {
            WindowKind::Tumbling { size, offset } => {
                ("TUMBLING", [("SIZE", *size), ("", None)], *offset)
            }
            WindowKind::Hopping {
                size,
                advance,
                offset,
            } => (
                "HOPPING",
                [("SIZE", Some(*size)), ("ADVANCE BY", Some(*advance))],
                *offset,
            ),
            WindowKind::Session { gap } => ("SESSION", [("GAP", *gap), ("", None)], None),
            WindowKind::Cumulate { step, size, offset } => (
                "CUMULATE",
                [("STEP", Some(*step)), ("SIZE", Some(*size))],
                *offset,
            ),
        };
        write!(f, "WINDOW {kind}")?;
        let rest = [("OFFSET", offset), ("GRACE PERIOD", self.grace)];
        let lengths = named.iter().chain(&rest);
        let mut before = " (";
        for (name, length) in lengths {
            if let Some(length) = length {
                write!(f, "{before}{name} INTERVAL '{length}'")?;
                before = ", ";
            }
        }
        if let Some(zone) = &self.time_zone {
            write!(f, "{before}TIME ZONE ")?;
            quoted(f, zone, '\'')?;
            before = ", ";
        }
        f.write_str(if before == ", " { ")" } else { "" })
    }
}

/// `TUMBLE(TABLE t, DESCRIPTOR(ts), ..)`
pub(super) fn windowed_function(f: &mut Formatter<'_>, windowed: &WindowedTable) -> fmt::Result {
    let (name, lengths): (_, [Option<Interval>; 3]) = match &windowed.window.kind {
        WindowKind::Tumbling { size, offset } => ("TUMBLE", [*size, *offset, None]),
        WindowKind::Hopping {
            size,
            advance,
            offset,
        } => ("HOP", [Some(*advance), Some(*size), *offset]),
        WindowKind::Session { gap } => ("SESSION", [*gap, None, None]),
        WindowKind::Cumulate { step, size, offset } => {
            ("CUMULATE", [Some(*step), Some(*size), *offset])
        }
    };
    write!(f, "{name}(TABLE {}", windowed.input)?;
    clause_list(f, " PARTITION BY ", &windowed.partition_by)?;
    write!(f, ", DESCRIPTOR({})", windowed.time)?;
    for length in lengths.into_iter().flatten() {
        write!(f, ", INTERVAL '{length}'")?;
    }
    f.write_str(")")
}
