//! Windows over event time: all spellings become one [`WindowSpec`].

use super::Binder;
use super::function::is_window_call;
use super::windowed::{MAX_SLICES, WindowSpec, slice};
use crate::error::{BindError, BindResult};
use chrono_tz::Tz;
use query_lang::ast::{
    self, ArgValue, ExprKind, FunctionCall, Ident, Interval, Literal, ObjectName, Select, Span,
    WindowClause, WindowKind,
};

/// A bare `WINDOW TUMBLING`.
const DEFAULT_SIZE: Interval = Interval::from_nanos(60 * ast::NANOS_PER_SECOND);
/// A bare `WINDOW SESSION`.
const DEFAULT_GAP: Interval = Interval::from_nanos(30 * 60 * ast::NANOS_PER_SECOND);

/// The windows of a `SELECT`, before its tables are known.
pub(super) struct Windowing {
    /// The windows.
    pub spec: WindowSpec,
    /// `GRACE PERIOD`, in nanoseconds.
    pub grace: i64,
    /// The column they are over, where it was named.
    pub time: Option<ObjectName>,
    /// Where they were asked for.
    pub span: Span,
    /// Whether the windows are rows' own (`TABLE(TUMBLE(..))`), so that a query may leave them ungrouped.
    pub of_rows: bool,
}

impl Binder<'_> {
    /// The windows that `select` asks for, in whichever spelling, and the `GROUP BY` items that are left.
    pub(super) fn windowing<'q>(
        &self,
        select: &'q Select,
        from: Option<&(WindowClause, Ident)>,
    ) -> BindResult<(Option<Windowing>, Vec<&'q ast::Expr>)> {
        let mut found: Option<Windowing> = None;
        let mut put = |w: Windowing| match found {
            Some(_) => Err(BindError::new(
                w.span,
                "a query can have one kind of window only",
            )),
            None => {
                found = Some(w);
                Ok(())
            }
        };
        if let Some(clause) = &select.window {
            put(self.clause(clause, None, false)?)?;
        }
        if let Some((clause, time)) = from {
            put(self.clause(clause, Some(ObjectName::single(time.clone())), true)?)?;
        }
        let mut keys = Vec::with_capacity(select.group_by.len());
        for e in &select.group_by {
            match &e.kind {
                ExprKind::Function(call) if window_name(call).is_some() => {
                    put(group_call(call, e.span)?)?
                }
                _ => keys.push(e),
            }
        }
        Ok((found, keys))
    }

    fn clause(
        &self,
        clause: &WindowClause,
        time: Option<ObjectName>,
        of_rows: bool,
    ) -> BindResult<Windowing> {
        let span = clause.span;
        let kind = match &clause.kind {
            WindowKind::Tumbling { size: None, offset } => {
                self.notice("WINDOW TUMBLING without a size means 1 minute");
                WindowKind::Tumbling {
                    size: Some(DEFAULT_SIZE),
                    offset: *offset,
                }
            }
            WindowKind::Session { gap: None } => {
                self.notice("WINDOW SESSION without a gap means 30 minutes");
                WindowKind::Session {
                    gap: Some(DEFAULT_GAP),
                }
            }
            other => other.clone(),
        };
        let spec = match &clause.time_zone {
            Some(zone) => zoned(&kind, zone, span)?,
            None => spec(&kind, span)?,
        };
        let grace = clause
            .grace
            .map(|g| nanos(g, span))
            .transpose()?
            .unwrap_or(0);
        if grace < 0 {
            return Err(BindError::new(span, "a GRACE PERIOD cannot be negative"));
        }
        Ok(Windowing {
            spec,
            grace,
            time,
            span,
            of_rows,
        })
    }
}

fn window_name(call: &FunctionCall) -> Option<&Ident> {
    call.name.as_single().filter(|n| is_window_call(&n.value))
}

/// `TUMBLE(ts, size)`, `HOP(ts, slide, size)`, `SESSION(ts, gap)`, `CUMULATE(ts, step, size)` in `GROUP BY`.
fn group_call(call: &FunctionCall, span: Span) -> BindResult<Windowing> {
    // Invariant: the caller has seen that the name is one of these.
    let name = call
        .name
        .last()
        .map_or("", |n| n.value.as_str())
        .to_lowercase();
    let mut time = None;
    let mut lengths = Vec::new();
    for arg in &call.args {
        let ArgValue::Expr(e) = &arg.value else {
            return Err(BindError::new(
                span,
                format!("{} does not take *", name.to_uppercase()),
            ));
        };
        match &e.kind {
            ExprKind::Column(column) if time.is_none() && lengths.is_empty() => {
                time = Some(column.clone())
            }
            ExprKind::Literal(Literal::Interval(i)) => lengths.push(*i),
            ExprKind::Literal(Literal::String(text)) => match text.parse::<Interval>() {
                Ok(i) => lengths.push(i),
                Err(error) => return Err(BindError::new(e.span, error.to_string())),
            },
            _ => {
                let message = format!("{} takes a time column and intervals", name.to_uppercase());
                return Err(BindError::new(e.span, message));
            }
        }
    }
    if time.is_none() {
        let message = format!("{} needs the time column first", name.to_uppercase());
        return Err(BindError::new(span, message));
    }
    let kind = match (name.as_str(), lengths.as_slice()) {
        ("tumble", [size]) => WindowKind::Tumbling {
            size: Some(*size),
            offset: None,
        },
        ("tumble", [size, offset]) => WindowKind::Tumbling {
            size: Some(*size),
            offset: Some(*offset),
        },
        ("hop" | "cumulate", [a, b] | [a, b, _]) => {
            let (short, long) = if nanos(*a, span)? <= nanos(*b, span)? {
                (*a, *b)
            } else {
                (*b, *a)
            };
            let offset = lengths.get(2).copied();
            if name == "hop" {
                WindowKind::Hopping {
                    size: long,
                    advance: short,
                    offset,
                }
            } else {
                WindowKind::Cumulate {
                    step: short,
                    size: long,
                    offset,
                }
            }
        }
        ("session", [gap]) => WindowKind::Session { gap: Some(*gap) },
        _ => {
            let form = match name.as_str() {
                "tumble" => "TUMBLE(ts, INTERVAL '1' MINUTE)",
                "hop" => "HOP(ts, INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)",
                "session" => "SESSION(ts, INTERVAL '30' MINUTE)",
                _ => "CUMULATE(ts, INTERVAL '1' MINUTE, INTERVAL '1' HOUR)",
            };
            return Err(BindError::new(span, format!("write {form}")));
        }
    };
    Ok(Windowing {
        spec: spec(&kind, span)?,
        grace: 0,
        time,
        span,
        of_rows: false,
    })
}

fn nanos(i: Interval, span: Span) -> BindResult<i64> {
    i.as_nanos()
        .ok_or_else(|| BindError::not_yet(span, "a window of months or years"))
}

fn length(i: Interval, what: &str, span: Span) -> BindResult<i64> {
    match nanos(i, span)? {
        n if n > 0 => Ok(n),
        _ => Err(BindError::new(span, format!("{what} must be above zero"))),
    }
}

/// Windows of whole days in a time zone.
fn zoned(kind: &WindowKind, zone: &str, span: Span) -> BindResult<WindowSpec> {
    let Ok(zone) = zone.parse::<Tz>() else {
        return Err(BindError::new(span, format!("'{zone}' is no time zone")));
    };
    let WindowKind::Tumbling {
        size: Some(size),
        offset,
    } = kind
    else {
        return Err(BindError::not_yet(
            span,
            "TIME ZONE with anything but TUMBLING windows",
        ));
    };
    let days = |i: Interval, what: &str| match nanos(i, span)? {
        n if n % ast::NANOS_PER_DAY == 0 => Ok(n / ast::NANOS_PER_DAY),
        _ => Err(BindError::new(
            span,
            format!("in a time zone, {what} must be a number of days"),
        )),
    };
    length(*size, "a window's size", span)?;
    let size = days(*size, "a window's size")?;
    let offset = offset.map_or(Ok(0), |o| days(o, "an OFFSET"))?;
    Ok(WindowSpec::Zoned {
        days: size,
        offset: offset.rem_euclid(size),
        zone,
    })
}

fn spec(kind: &WindowKind, span: Span) -> BindResult<WindowSpec> {
    let shift = |offset: &Option<Interval>, of: i64| -> BindResult<i64> {
        Ok(offset
            .map(|o| nanos(o, span))
            .transpose()?
            .unwrap_or(0)
            .rem_euclid(of))
    };
    Ok(match kind {
        WindowKind::Tumbling { size, offset } => {
            let size = length(size.unwrap_or(DEFAULT_SIZE), "a window's size", span)?;
            WindowSpec::Tumbling {
                size,
                offset: shift(offset, size)?,
            }
        }
        WindowKind::Hopping {
            size,
            advance,
            offset,
        } => {
            let size = length(*size, "a window's size", span)?;
            let advance = length(*advance, "a window's advance", span)?;
            if size / advance > MAX_SLICES {
                return Err(BindError::new(
                    span,
                    format!("each row would be in more than {MAX_SLICES} windows"),
                ));
            }
            if size / slice(size, advance) > MAX_SLICES {
                let message = format!(
                    "size and advance have too small a common divisor: a window would be put together of more than \
                     {MAX_SLICES} slices"
                );
                return Err(BindError::new(span, message));
            }
            if advance > size {
                return Err(BindError::new(
                    span,
                    "a window's advance cannot be longer than its size",
                ));
            }
            match advance == size {
                true => WindowSpec::Tumbling {
                    size,
                    offset: shift(offset, size)?,
                },
                false => WindowSpec::Hopping {
                    size,
                    advance,
                    offset: shift(offset, advance)?,
                },
            }
        }
        WindowKind::Session { gap } => WindowSpec::Session {
            gap: length(gap.unwrap_or(DEFAULT_GAP), "a session's gap", span)?,
        },
        WindowKind::Cumulate { step, size, offset } => {
            let step = length(*step, "a window's step", span)?;
            let size = length(*size, "a window's size", span)?;
            if size % step != 0 || size / step > MAX_SLICES {
                let message = format!(
                    "a window's size must be a multiple of its step, at most {MAX_SLICES} steps"
                );
                return Err(BindError::new(span, message));
            }
            WindowSpec::Cumulate {
                step,
                size,
                offset: shift(offset, size)?,
            }
        }
    })
}
