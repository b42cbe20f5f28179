//! Window functions: `OVER ..`.

use super::Binder;
use super::expr::At;
use super::nearest::did_you_mean;
use crate::error::{BindError, BindResult};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use query_lang::ast::{
    self, ExprKind, FrameBound, FrameUnits, FunctionCall, Ident, Literal, Over, Span, WindowSpec,
};

impl Binder<'_> {
    /// A call with `OVER`.
    pub(super) fn window_function(
        &self,
        call: &FunctionCall,
        name: &str,
        args: Vec<Expr>,
        over: &Over,
        span: Span,
        at: At<'_>,
    ) -> BindResult<Expr> {
        let definition = match (self.functions.aggregate(name), self.functions.window(name)) {
            (_, Some(udwf)) => WindowFunctionDefinition::WindowUDF(udwf),
            (Some(udaf), None) => WindowFunctionDefinition::AggregateUDF(udaf),
            (None, None) => {
                return Err(BindError::new(
                    call.name.span(),
                    format!("there is no window function {name}"),
                )
                .hint(did_you_mean(name, self.functions.names())));
            }
        };
        let spec = self.window_spec(over, 0)?;
        let partition_by = spec
            .partition_by
            .iter()
            .map(|e| self.expr(e, at))
            .collect::<BindResult<Vec<_>>>()?;
        let mut order_by = self.sorts(&spec.order_by, at)?;
        let window_frame = match &spec.frame {
            Some(frame) => self.frame(frame, span, at)?,
            None => WindowFrame::new((!order_by.is_empty()).then_some(true)),
        };
        window_frame
            .regularize_order_bys(&mut order_by)
            .map_err(|e| BindError::from_df(span, &e))?;
        let bound = Expr::WindowFunction(Box::new(WindowFunction {
            fun: definition,
            params: WindowFunctionParams {
                args,
                partition_by,
                order_by,
                window_frame,
                filter: call
                    .filter
                    .as_ref()
                    .map(|f| self.condition(f, at, "FILTER").map(Box::new))
                    .transpose()?,
                null_treatment: call.nulls.map(|n| match n {
                    ast::NullTreatment::Ignore => NullTreatment::IgnoreNulls,
                    ast::NullTreatment::Respect => NullTreatment::RespectNulls,
                }),
                distinct: call.distinct,
            },
        }));
        self.type_of(&bound, at, span)?;
        Ok(self.placed(bound, span))
    }

    /// The window written out, with what it takes over from the named ones.
    fn window_spec(&self, over: &Over, depth: usize) -> BindResult<WindowSpec> {
        let named = |name: &Ident| {
            let windows = self.named_windows.borrow();
            let found = windows
                .iter()
                .rev()
                .find(|w| name.matches(&w.name.value))
                .map(|w| w.spec.clone());
            found.ok_or_else(|| {
                BindError::new(name.span, format!("there is no window \"{}\"", name.value))
            })
        };
        let spec = match over {
            Over::Named(name) => named(name)?,
            Over::Spec(spec) => spec.clone(),
        };
        let Some(base) = &spec.base else {
            return Ok(spec);
        };
        if depth > 16 {
            return Err(BindError::new(
                base.span,
                "the windows refer to each other in a circle",
            ));
        }
        let base = self.window_spec(&Over::Named(base.clone()), depth + 1)?;
        Ok(WindowSpec {
            base: None,
            partition_by: if spec.partition_by.is_empty() {
                base.partition_by
            } else {
                spec.partition_by
            },
            order_by: if spec.order_by.is_empty() {
                base.order_by
            } else {
                spec.order_by
            },
            frame: spec.frame.or(base.frame),
        })
    }

    fn frame(&self, frame: &ast::WindowFrame, span: Span, at: At<'_>) -> BindResult<WindowFrame> {
        let units = match frame.units {
            FrameUnits::Rows => WindowFrameUnits::Rows,
            FrameUnits::Range => WindowFrameUnits::Range,
            FrameUnits::Groups => WindowFrameUnits::Groups,
        };
        let value = |e: &ast::Expr| -> BindResult<ScalarValue> {
            if let ExprKind::Literal(Literal::Integer(n)) = &e.kind {
                return match (u64::try_from(*n), units) {
                    (Ok(n), WindowFrameUnits::Rows | WindowFrameUnits::Groups) => {
                        Ok(ScalarValue::UInt64(Some(n)))
                    }
                    // DataFusion converts a range's bound from text to the type it sorts by.
                    _ => Ok(ScalarValue::Utf8(Some(n.to_string()))),
                };
            }
            match self.expr(e, at)? {
                Expr::Literal(v, _) => Ok(v),
                _ => Err(BindError::new(e.span, "a frame's bound must be a constant")),
            }
        };
        let bound = |b: &FrameBound| -> BindResult<WindowFrameBound> {
            Ok(match b {
                FrameBound::UnboundedPreceding => WindowFrameBound::Preceding(ScalarValue::Null),
                FrameBound::Preceding(e) => WindowFrameBound::Preceding(value(e)?),
                FrameBound::CurrentRow => WindowFrameBound::CurrentRow,
                FrameBound::Following(e) => WindowFrameBound::Following(value(e)?),
                FrameBound::UnboundedFollowing => WindowFrameBound::Following(ScalarValue::Null),
            })
        };
        let start = bound(&frame.start)?;
        let end = frame
            .end
            .as_ref()
            .map(bound)
            .transpose()?
            .unwrap_or(WindowFrameBound::CurrentRow);
        let backwards = matches!(&start, WindowFrameBound::Following(v) if v.is_null())
            || matches!(&end, WindowFrameBound::Preceding(v) if v.is_null());
        if backwards {
            return Err(BindError::new(span, "the frame ends before it starts"));
        }
        Ok(WindowFrame::new_bounds(units, start, end))
    }
}
