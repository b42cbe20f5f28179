//! Expressions.

use super::Binder;
use super::literal::{is_time, literal, toward};
use super::operator::{balanced, compares, is, operator};
use super::scope::{Env, Scope};
use crate::error::{BindError, BindResult};
use crate::types::{cast_type, plain_type, type_name};
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ExprSchema, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InList, InSubquery};
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Cast, Expr, ExprSchemable, Like, LogicalPlan, Subquery, TryCast, lit,
};
use query_lang::ast::{self, BinaryOp, ExprKind, Literal, Span, TrimSide, UnaryOp};
use std::sync::Arc;

/// Most operands in one run of `AND`s or `OR`s. They become a balanced tree, so this bounds time, not depth.
const MAX_LOGIC_TERMS: usize = 5_000;
/// Most operands in one run of other operators, which become a tree as deep as the run is long.
const MAX_CHAIN_TERMS: usize = 500;

/// Where an expression stands: what its names mean, and the named queries its subqueries see.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// Columns in sight.
    pub scope: &'a Scope<'a>,
    /// Named queries in sight.
    pub env: &'a Env<'a>,
}

impl Binder<'_> {
    /// The plan's expression for `e`.
    pub fn expr(&self, e: &ast::Expr, at: At<'_>) -> BindResult<Expr> {
        let one = |x: &ast::Expr| self.expr(x, at);
        let boxed = |x: &ast::Expr| self.expr(x, at).map(Box::new);
        Ok(match &e.kind {
            ExprKind::Literal(l) => lit(literal(l, e.span)?),
            ExprKind::Column(name) => match at.scope.resolve(name) {
                Err(unknown) => name
                    .as_single()
                    .and_then(|n| self.bare_function(n))
                    .ok_or(unknown)?,
                Ok(found) => found,
            },
            ExprKind::Unary { op, operand } => self.unary(*op, operand, at)?,
            ExprKind::Chain { first, rest } => self.chain(first, rest, at)?,
            ExprKind::Is {
                expr,
                test,
                negated,
            } => is(boxed(expr)?, *test, *negated),
            ExprKind::Between {
                expr,
                low,
                high,
                negated,
            } => {
                let tested = one(expr)?;
                let t = self.type_of(&tested, at, expr.span)?;
                let low = toward(one(low)?, &t, low.span)?;
                let high = toward(one(high)?, &t, high.span)?;
                Expr::Between(Between::new(
                    Box::new(tested),
                    *negated,
                    Box::new(low),
                    Box::new(high),
                ))
            }
            ExprKind::InList {
                expr,
                list,
                negated,
            } => {
                if list.len() > MAX_LOGIC_TERMS {
                    return Err(BindError::new(
                        e.span,
                        format!("a list may have {MAX_LOGIC_TERMS} values at most"),
                    ));
                }
                let tested = one(expr)?;
                let t = self.type_of(&tested, at, expr.span)?;
                let list = list
                    .iter()
                    .map(|x| toward(one(x)?, &t, x.span))
                    .collect::<BindResult<_>>()?;
                Expr::InList(InList::new(Box::new(tested), list, *negated))
            }
            ExprKind::InSubquery {
                expr,
                query,
                negated,
            } => {
                let subquery = self.subquery(query, at, Some(1))?;
                let bound = InSubquery::new(boxed(expr)?, subquery, *negated);
                self.placed(Expr::InSubquery(bound), e.span)
            }
            ExprKind::Exists(query) => {
                let bound = Exists::new(self.subquery(query, at, None)?, false);
                self.placed(Expr::Exists(bound), e.span)
            }
            ExprKind::Subquery(query) => {
                let bound = self.subquery(query, at, Some(1))?;
                self.placed(Expr::ScalarSubquery(bound), e.span)
            }
            ExprKind::Like {
                expr,
                pattern,
                escape,
                negated,
                case_insensitive,
            } => Expr::Like(Like::new(
                *negated,
                boxed(expr)?,
                boxed(pattern)?,
                *escape,
                *case_insensitive,
            )),
            ExprKind::SimilarTo {
                expr,
                pattern,
                negated,
            } => Expr::SimilarTo(Like::new(
                *negated,
                boxed(expr)?,
                boxed(pattern)?,
                None,
                false,
            )),
            ExprKind::Case {
                operand,
                branches,
                otherwise,
            } => {
                let operand = operand.as_deref().map(boxed).transpose()?;
                let branches = branches
                    .iter()
                    .map(|b| Ok((boxed(&b.condition)?, boxed(&b.result)?)))
                    .collect::<BindResult<_>>()?;
                Expr::Case(Case::new(
                    operand,
                    branches,
                    otherwise.as_deref().map(boxed).transpose()?,
                ))
            }
            ExprKind::Cast {
                expr,
                data_type,
                fallible,
            } => {
                let target = cast_type(data_type);
                let inner = boxed(expr)?;
                if *fallible {
                    Expr::TryCast(TryCast::new(inner, target))
                } else {
                    Expr::Cast(Cast::new(inner, target))
                }
            }
            ExprKind::Extract { field, expr } => self.scalar(
                "date_part",
                vec![lit(field.value.to_lowercase()), one(expr)?],
                e.span,
            )?,
            ExprKind::Position { needle, haystack } => {
                self.scalar("strpos", vec![one(haystack)?, one(needle)?], e.span)?
            }
            ExprKind::Substring { expr, from, length } => {
                let from = from
                    .as_deref()
                    .map(one)
                    .transpose()?
                    .unwrap_or_else(|| lit(1_i64));
                let mut args = vec![one(expr)?, from];
                args.extend(length.as_deref().map(one).transpose()?);
                self.scalar("substr", args, e.span)?
            }
            ExprKind::Trim { side, chars, expr } => {
                let name = match side {
                    TrimSide::Both => "btrim",
                    TrimSide::Leading => "ltrim",
                    TrimSide::Trailing => "rtrim",
                };
                let mut args = vec![one(expr)?];
                args.extend(chars.as_deref().map(one).transpose()?);
                self.scalar(name, args, e.span)?
            }
            ExprKind::Function(call) => self.call(call, e.span, at)?,
            ExprKind::Array(items) => {
                let items = items.iter().map(one).collect::<BindResult<_>>()?;
                self.scalar("make_array", items, e.span)?
            }
            ExprKind::Subscript { expr, index, upper } => {
                let (name, mut args) = match upper {
                    Some(_) => ("array_slice", vec![one(expr)?, one(index)?]),
                    None => ("array_element", vec![one(expr)?, one(index)?]),
                };
                args.extend(upper.as_deref().map(one).transpose()?);
                self.scalar(name, args, e.span)?
            }
            ExprKind::Tuple(items) => {
                let items = items.iter().map(one).collect::<BindResult<_>>()?;
                self.scalar("struct", items, e.span)?
            }
            ExprKind::AtTimeZone { expr, zone } => self.at_time_zone(one(expr)?, zone)?,
            ExprKind::GroupingSets(_) => {
                return Err(BindError::new(
                    e.span,
                    "GROUPING SETS stand in GROUP BY only",
                ));
            }
        })
    }

    /// The type of a bound expression, with an error at `span`.
    pub fn type_of(&self, expr: &Expr, at: At<'_>, span: Span) -> BindResult<DataType> {
        self.type_in(expr, at.scope.schema, span)
    }

    /// The type of an expression over `schema`.
    pub fn type_in(&self, expr: &Expr, schema: &DFSchema, span: Span) -> BindResult<DataType> {
        match expr {
            Expr::Column(c) => schema
                .field_from_column(c)
                .map(|f| f.data_type().clone())
                .map_err(|e| BindError::from_df(span, &e)),
            Expr::OuterReferenceColumn(field, _) => Ok(field.data_type().clone()),
            other => other
                .get_type(schema)
                .map_err(|e| BindError::from_df(span, &e)),
        }
    }

    /// A condition: an expression that must be boolean.
    pub fn condition(&self, e: &ast::Expr, at: At<'_>, clause: &str) -> BindResult<Expr> {
        let bound = self.expr(e, at)?;
        let t = self.type_of(&bound, at, e.span)?;
        if matches!(t, DataType::Boolean | DataType::Null) {
            return Ok(bound);
        }
        Err(BindError::new(
            e.span,
            format!(
                "{clause} needs a condition, and this is a {}",
                type_name(&t)
            ),
        ))
    }

    fn unary(&self, op: UnaryOp, operand: &ast::Expr, at: At<'_>) -> BindResult<Expr> {
        // A sign before digits is part of the number: -9223372036854775808 is one.
        if let (UnaryOp::Minus, ExprKind::Literal(l)) = (op, &operand.kind) {
            let negated = match l {
                Literal::Integer(v) => Some(Literal::Integer(-v)),
                Literal::Decimal(t) => Some(Literal::Decimal(format!("-{t}"))),
                Literal::Float(t) => Some(Literal::Float(format!("-{t}"))),
                _ => None,
            };
            if let Some(negated) = negated {
                return Ok(lit(literal(&negated, operand.span)?));
            }
        }
        let inner = self.expr(operand, at)?;
        Ok(match op {
            UnaryOp::Not => match inner {
                Expr::Exists(e) => {
                    let bound = Exists::new(e.subquery, !e.negated);
                    self.placed(Expr::Exists(bound), operand.span)
                }
                other => Expr::Not(Box::new(other)),
            },
            UnaryOp::Minus => Expr::Negative(Box::new(inner)),
            UnaryOp::Plus => inner,
        })
    }

    fn chain(
        &self,
        first: &ast::Expr,
        rest: &[(BinaryOp, ast::Expr)],
        at: At<'_>,
    ) -> BindResult<Expr> {
        let span = first.span;
        let logic = match rest {
            [(op @ (BinaryOp::And | BinaryOp::Or), _), ..] if rest.iter().all(|(o, _)| o == op) => {
                Some(*op)
            }
            _ => None,
        };
        let most = if logic.is_some() {
            MAX_LOGIC_TERMS
        } else {
            MAX_CHAIN_TERMS
        };
        if rest.len() >= most {
            return Err(BindError::new(
                span,
                format!("the expression has more than {most} operands in a row"),
            ));
        }
        if let Some(op) = logic {
            let mut terms = vec![self.expr(first, at)?];
            for (_, term) in rest {
                terms.push(self.expr(term, at)?);
            }
            return Ok(balanced(&mut terms, operator(op)));
        }
        let mut left = self.expr(first, at)?;
        let mut left_span = span;
        for (op, term) in rest {
            let right = self.expr(term, at)?;
            left = self.binary(left, left_span, *op, right, term.span, at)?;
            left_span = left_span.to(term.span);
        }
        Ok(left)
    }

    fn binary(
        &self,
        left: Expr,
        left_span: Span,
        op: BinaryOp,
        right: Expr,
        right_span: Span,
        at: At<'_>,
    ) -> BindResult<Expr> {
        let (mut left, mut right) = (left, right);
        let constants = matches!(left, Expr::Literal(..)) || matches!(right, Expr::Literal(..));
        if constants {
            let comparison = compares(op);
            let arithmetic = matches!(
                op,
                BinaryOp::Plus | BinaryOp::Minus | BinaryOp::Multiply | BinaryOp::Divide
            );
            let (lt, rt) = (
                self.type_of(&left, at, left_span)?,
                self.type_of(&right, at, right_span)?,
            );
            let text_minus = |t: &DataType, other: &Expr| {
                op == BinaryOp::Minus
                    && is_time(t)
                    && matches!(other, Expr::Literal(ScalarValue::Utf8(_), _))
            };
            if comparison || text_minus(&lt, &right) || text_minus(&rt, &left) {
                left = toward(left, plain_type(&rt), left_span)?;
                right = toward(right, plain_type(&lt), right_span)?;
            } else if arithmetic {
                let float = |t: &DataType, e: Expr, span| match t {
                    DataType::Float64 => toward(e, t, span),
                    _ => Ok(e),
                };
                left = float(&rt, left, left_span)?;
                right = float(&lt, right, right_span)?;
            }
        }
        Ok(Expr::BinaryExpr(BinaryExpr::new(
            Box::new(left),
            operator(op),
            Box::new(right),
        )))
    }

    fn subquery(
        &self,
        query: &ast::Query,
        at: At<'_>,
        columns: Option<usize>,
    ) -> BindResult<Subquery> {
        let env = at.env.subquery(at.scope);
        let bound = self.query(query, &env)?;
        let width = bound.names.len();
        if columns.is_some_and(|c| c != width) {
            return Err(BindError::new(
                query.span,
                format!("the subquery yields {width} columns where one is needed"),
            ));
        }
        Ok(correlated(bound.plan))
    }

    fn at_time_zone(&self, time: Expr, zone: &ast::Expr) -> BindResult<Expr> {
        let ExprKind::Literal(Literal::String(name)) = &zone.kind else {
            return Err(BindError::new(
                zone.span,
                "the time zone must be a constant",
            ));
        };
        if name.parse::<arrow::array::timezone::Tz>().is_err() {
            return Err(BindError::new(
                zone.span,
                format!("'{name}' is no time zone"),
            ));
        }
        let unit = arrow::datatypes::TimeUnit::Nanosecond;
        // Stored times are UTC: they are first marked so, then shown in the zone.
        let utc = DataType::Timestamp(unit, Some("UTC".into()));
        let local = DataType::Timestamp(unit, Some(name.as_str().into()));
        let marked = Expr::Cast(Cast::new(Box::new(time), utc));
        let shown = Expr::Cast(Cast::new(Box::new(marked), local));
        self.scalar("to_local_time", vec![shown], zone.span)
    }
}

/// A plan as the subquery of an expression.
pub fn correlated(plan: LogicalPlan) -> Subquery {
    Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: Arc::new(plan),
        spans: datafusion::common::Spans::new(),
    }
}
