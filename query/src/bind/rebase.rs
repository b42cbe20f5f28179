//! Replacing what a later stage of a plan has as columns.

use super::df;
use super::select::{Analysed, SortKey};
use crate::error::{BindError, BindResult};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use query_lang::ast::Span;
use std::collections::HashSet;

/// What stands for what in a later stage of a plan.
pub(super) type Replacements = Vec<(Expr, Expr)>;

/// `e` with each of `from` replaced.
pub(super) fn replaced(e: Expr, replacements: &[(Expr, Expr)], span: Span) -> BindResult<Expr> {
    let done = e.transform_down(|node| {
        Ok(match replacements.iter().find(|(from, _)| *from == node) {
            Some((_, to)) => Transformed::new(to.clone(), true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        })
    });
    df(span, done.map(|t| t.data))
}

/// Replaces in all clauses that come after grouping.
pub(super) fn substitute(a: &mut Analysed, replacements: &[(Expr, Expr)]) -> BindResult<()> {
    let span = a.span;
    for item in &mut a.items {
        item.expr = replaced(std::mem::take(&mut item.expr), replacements, item.span)?;
    }
    for e in a
        .having
        .iter_mut()
        .chain(a.qualify.iter_mut())
        .chain(a.filter.iter_mut())
        .chain(a.distinct_on.iter_mut())
        .chain(a.group.iter_mut())
        .chain(a.aggregates.iter_mut())
    {
        *e = replaced(std::mem::take(e), replacements, span)?;
    }
    for (key, _) in &mut a.sorts {
        if let SortKey::Expr(e) = key {
            *e = replaced(std::mem::take(e), replacements, span)?;
        }
    }
    Ok(())
}

/// Makes every clause one over group rows; what is neither a key nor an aggregate is an error with its place.
pub(super) fn rebase(
    a: &mut Analysed,
    replacements: &[(Expr, Expr)],
    schema: &DFSchema,
) -> BindResult<()> {
    let span = a.span;
    let one = |e: Expr, span: Span| -> BindResult<Expr> {
        let e = replaced(e, replacements, span)?;
        let mut columns = HashSet::new();
        e.add_column_refs(&mut columns);
        match columns.into_iter().find(|c| !schema.has_column(c)) {
            None => Ok(e),
            Some(c) => Err(BindError::new(
                span,
                format!(
                    "\"{}\" is neither in GROUP BY nor inside an aggregate",
                    c.name
                ),
            )
            .hint(Some(
                "add it to GROUP BY, or take FIRST(..) or MAX(..) of it".to_owned(),
            ))),
        }
    };
    for item in &mut a.items {
        item.expr = one(std::mem::take(&mut item.expr), item.span)?;
    }
    for e in a
        .having
        .iter_mut()
        .chain(a.qualify.iter_mut())
        .chain(a.distinct_on.iter_mut())
    {
        *e = one(std::mem::take(e), span)?;
    }
    for (key, item) in &mut a.sorts {
        if let SortKey::Expr(e) = key {
            *e = one(std::mem::take(e), item.expr.span)?;
        }
    }
    Ok(())
}
