//! Function calls: scalar, aggregate, window, and the words for a window's bounds.

use super::Binder;
use super::expr::At;
use super::literal::interval;
use super::nearest::did_you_mean;
use super::scope::WINDOW_QUALIFIER;
use super::windowed::{WINDOW_END, WINDOW_START};
use crate::error::{BindError, BindResult};
use crate::types::TIMESTAMP;
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment, ScalarFunction, Sort};
use datafusion::logical_expr::{Expr, Volatility, lit, when};
use query_lang::ast::{self, ArgValue, FunctionCall, Ident, OrderItem, Span};

/// The column that stands for a window's start or end until rows are grouped.
#[must_use]
pub fn window_column(name: &str) -> Expr {
    Expr::Column(Column::new(
        Some(TableReference::bare(WINDOW_QUALIFIER)),
        name,
    ))
}

/// Whether a call of `name` opens windows in `GROUP BY`.
#[must_use]
pub fn is_window_call(name: &str) -> bool {
    ["tumble", "hop", "session", "cumulate"]
        .iter()
        .any(|n| name.eq_ignore_ascii_case(n))
}

fn window_bound(name: &str) -> Option<&'static str> {
    match name {
        "window_start" | "session_start" | "tumble_start" | "hop_start" | "cumulate_start" => {
            Some(WINDOW_START)
        }
        "window_end" | "session_end" | "tumble_end" | "hop_end" | "cumulate_end" => {
            Some(WINDOW_END)
        }
        _ => None,
    }
}

/// Tidemill's names of what DataFusion has under another.
fn builtin(name: &str) -> &str {
    match name {
        "collect_list" => "array_agg",
        "first" | "earliest" => "first_value",
        "last" | "latest" => "last_value",
        "percentile" | "quantile" => "percentile_cont",
        "approx_percentile" => "approx_percentile_cont",
        "approx_count_distinct" => "approx_distinct",
        "variance" => "var",
        "len" => "length",
        "ceiling" => "ceil",
        "pow" => "power",
        "ifnull" => "nvl",
        other => other,
    }
}

impl Binder<'_> {
    /// A scalar function of that name on these arguments.
    pub fn scalar(&self, name: &str, args: Vec<Expr>, span: Span) -> BindResult<Expr> {
        match self.functions.scalar(name) {
            Some(udf) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(udf, args))),
            None => Err(BindError::new(span, format!("there is no function {name}"))),
        }
    }

    /// A window's bound that is written without parentheses.
    pub(super) fn bare_function(&self, name: &Ident) -> Option<Expr> {
        if name.quoted || !self.in_windowed.get() {
            return None;
        }
        window_bound(&name.value.to_ascii_lowercase()).map(window_column)
    }

    /// What tells the time, which is the statement's; `None` for any other function.
    fn clock(&self, word: &str, span: Span) -> BindResult<Option<Expr>> {
        let (now, day) = (self.now_ns, ast::NANOS_PER_DAY);
        let value = match word {
            "now" | "current_timestamp" | "localtimestamp" => {
                ScalarValue::TimestampNanosecond(Some(now), None)
            }
            // Invariant: days since 1970 of a time in 64-bit nanoseconds fit 32 bits.
            "current_date" | "today" => ScalarValue::Date32(Some(now.div_euclid(day) as i32)),
            "current_time" => ScalarValue::Time64Nanosecond(Some(now.rem_euclid(day))),
            _ => return Ok(None),
        };
        if self.continuous {
            return Err(BindError::not_yet(
                span,
                format!("{word}() in a continuous query"),
            ));
        }
        Ok(Some(lit(value)))
    }

    /// A function call of any kind.
    pub(super) fn call(&self, call: &FunctionCall, span: Span, at: At<'_>) -> BindResult<Expr> {
        let Some(ident) = call.name.as_single() else {
            return Err(BindError::new(
                call.name.span(),
                "functions have no database",
            ));
        };
        let written = ident.value.to_ascii_lowercase();
        if let Some(column) = window_bound(&written).filter(|_| call.over.is_none()) {
            if self.in_windowed.get() {
                return Ok(window_column(column));
            }
            return Err(BindError::new(
                span,
                format!("{}() needs a window", ident.value.to_uppercase()),
            )
            .hint(Some(
                "add WINDOW TUMBLING (SIZE 1 MINUTE), or GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)"
                    .to_owned(),
            )));
        }
        if is_window_call(&written) {
            return Err(BindError::new(
                span,
                format!("{} stands in GROUP BY only", ident.value.to_uppercase()),
            ));
        }
        if call.args.is_empty()
            && let Some(now) = self.clock(&written, span)?
        {
            return Ok(now);
        }
        let mut args = self.args(call, at)?;
        if let Some(over) = &call.over {
            return self.window_function(call, builtin(&written), args, over, span, at);
        }
        match written.as_str() {
            "time_bucket" | "date_bin" => return self.time_bucket(args, span),
            "if" | "iif" if args.len() == 3 => {
                // Invariant: the guard has counted three.
                let (no, yes, test) = (args.remove(2), args.remove(1), args.remove(0));
                return when(test, yes)
                    .otherwise(no)
                    .map_err(|e| BindError::from_df(span, &e));
            }
            _ => {}
        }
        if let Some(udf) = self
            .functions
            .scalar(builtin(&written))
            .filter(|_| !call.distinct && call.filter.is_none())
        {
            if self.continuous && udf.signature().volatility != Volatility::Immutable {
                let message = format!(
                    "a continuous query must be a function of its rows, and {} is none",
                    ident.value
                );
                return Err(BindError::new(span, message));
            }
            let bound = Expr::ScalarFunction(ScalarFunction::new_udf(udf, args));
            self.type_of(&bound, at, span)?;
            return Ok(bound);
        }
        self.aggregate_call(call, builtin(&written), args, span, at)
    }

    fn args(&self, call: &FunctionCall, at: At<'_>) -> BindResult<Vec<Expr>> {
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            if let Some(name) = &arg.name {
                return Err(BindError::new(name.span, "arguments have no names here"));
            }
            args.push(match &arg.value {
                ArgValue::Expr(e) => self.expr(e, at)?,
                ArgValue::Wildcard => lit(1_i64),
            });
        }
        Ok(args)
    }

    /// `time_bucket('1 minute', ts [, origin])`, the first two in either order.
    fn time_bucket(&self, mut args: Vec<Expr>, span: Span) -> BindResult<Expr> {
        if args.len() != 2 && args.len() != 3 {
            return Err(BindError::new(
                span,
                "time_bucket takes an interval, a time and perhaps an origin",
            ));
        }
        let is_width = |e: &Expr| {
            matches!(
                e,
                Expr::Literal(
                    ScalarValue::IntervalMonthDayNano(_) | ScalarValue::Utf8(_),
                    _
                )
            )
        };
        if !is_width(&args[0]) && is_width(&args[1]) {
            args.swap(0, 1);
        }
        if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &args[0] {
            let parsed = text
                .parse::<ast::Interval>()
                .ok()
                .ok_or_else(|| BindError::new(span, format!("'{text}' is no interval")))?;
            args[0] = lit(interval(parsed));
        }
        match &args[0] {
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(w)), _)
                if w.months >= 0 && w.nanoseconds >= 0 && (w.months > 0 || w.nanoseconds > 0) => {}
            _ => {
                return Err(BindError::new(
                    span,
                    "time_bucket needs a constant interval above zero",
                ));
            }
        }
        if args.len() == 3 {
            let origin = args.remove(2);
            args.push(super::literal::toward(origin, &TIMESTAMP, span)?);
        }
        if let Expr::Literal(ScalarValue::Utf8(_), _) = &args[1] {
            let time = args.remove(1);
            args.insert(1, super::literal::toward(time, &TIMESTAMP, span)?);
        }
        self.scalar("date_bin", args, span)
    }

    fn aggregate_call(
        &self,
        call: &FunctionCall,
        name: &str,
        mut args: Vec<Expr>,
        span: Span,
        at: At<'_>,
    ) -> BindResult<Expr> {
        let mut distinct = call.distinct;
        let name = match name {
            "count_distinct" => {
                distinct = true;
                "count"
            }
            "collect_set" => {
                distinct = true;
                "array_agg"
            }
            other => other,
        };
        let Some(udaf) = self.functions.aggregate(name) else {
            if self.functions.window(name).is_some() {
                return Err(BindError::new(span, format!("{name} needs OVER (..)")));
            }
            let written = call.name.last().map_or("", |n| n.value.as_str());
            return Err(BindError::new(
                call.name.span(),
                format!("there is no function {written}"),
            )
            .hint(did_you_mean(written, self.functions.names())));
        };
        if call.args.iter().any(|a| a.value == ArgValue::Wildcard) && name != "count" {
            return Err(BindError::new(span, "only COUNT takes *"));
        }
        if name == "count" && args.is_empty() {
            args.push(lit(1_i64));
        }
        let mut order_by = self.sorts(&call.order_by, at)?;
        if let [item] = call.within_group.as_slice() {
            let mut sort = self.sorts(std::slice::from_ref(item), at)?;
            // Invariant: one item yields one sort.
            let sort = sort.remove(0);
            if name.starts_with("percentile") || name.starts_with("approx_percentile") {
                if !sort.asc
                    && let Some(Expr::Literal(value, _)) = args.first()
                    && let Ok(ScalarValue::Float64(Some(p))) =
                        value.cast_to(&arrow::datatypes::DataType::Float64)
                {
                    args[0] = lit(1.0 - p);
                }
                args.insert(0, sort.expr);
            } else {
                order_by.push(sort);
            }
        } else if call.within_group.len() > 1 {
            return Err(BindError::new(span, "WITHIN GROUP takes one expression"));
        }
        if name.contains("percentile_cont") {
            self.share(&mut args, span)?;
        }
        let filter = call
            .filter
            .as_ref()
            .map(|f| self.condition(f, at, "FILTER").map(Box::new))
            .transpose()?;
        let nulls = call.nulls.map(|n| match n {
            ast::NullTreatment::Ignore => NullTreatment::IgnoreNulls,
            ast::NullTreatment::Respect => NullTreatment::RespectNulls,
        });
        // Tidemill's own ordered aggregates leave nulls out, in views and in history alike.
        let skips_nulls = matches!(
            call.name
                .last()
                .map(|n| n.value.to_ascii_lowercase())
                .as_deref(),
            Some("first" | "last" | "earliest" | "latest" | "collect_list" | "collect_set")
        );
        let mut filter = filter;
        if name == "count" && !distinct && args.len() > 1 {
            // COUNT(a, b) counts the rows that have both.
            for arg in std::mem::replace(&mut args, vec![lit(1_i64)]) {
                filter =
                    super::operator::and(filter.map(|f| *f), Some(arg.is_not_null())).map(Box::new);
            }
        }
        let filter = match (skips_nulls, filter, args.first()) {
            (true, filter, Some(arg)) if nulls.is_none() && name == "array_agg" => {
                let present = arg.clone().is_not_null();
                Some(Box::new(match filter {
                    Some(f) => f.and(present),
                    None => present,
                }))
            }
            (_, filter, _) => filter,
        };
        let nulls = if skips_nulls && nulls.is_none() && name != "array_agg" {
            Some(NullTreatment::IgnoreNulls)
        } else {
            nulls
        };
        let bound = Expr::AggregateFunction(AggregateFunction::new_udf(
            udaf, args, distinct, filter, order_by, nulls,
        ));
        self.type_of(&bound, at, span)?;
        Ok(self.placed(bound, span))
    }

    /// Makes the share of a percentile a float in `[0, 1]`.
    fn share(&self, args: &mut [Expr], span: Span) -> BindResult<()> {
        let share = match args.get(1) {
            Some(Expr::Literal(v, _)) => match v.cast_to(&arrow::datatypes::DataType::Float64) {
                Ok(ScalarValue::Float64(Some(p))) => p,
                _ => return Err(BindError::new(span, "the share must be a number")),
            },
            _ => {
                return Err(BindError::new(
                    span,
                    "a percentile takes a value and a constant share, as in PERCENTILE(x, 0.95)",
                ));
            }
        };
        if !(0.0..=1.0).contains(&share) {
            return Err(BindError::new(span, "the share must lie between 0 and 1"));
        }
        args[1] = lit(share);
        Ok(())
    }

    /// `ORDER BY` items over the scope's columns.
    pub(super) fn sorts(&self, items: &[OrderItem], at: At<'_>) -> BindResult<Vec<Sort>> {
        items
            .iter()
            .map(|i| Ok(sort(self.expr(&i.expr, at)?, i)))
            .collect()
    }
}

/// An expression with the direction of its `ORDER BY` item; nulls are the greatest values unless said otherwise.
pub(super) fn sort(expr: Expr, item: &OrderItem) -> Sort {
    let asc = item.asc.unwrap_or(true);
    Sort::new(expr, asc, item.nulls_first.unwrap_or(!asc))
}
