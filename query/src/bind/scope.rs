//! What names mean at one place of a query.

use super::nearest::did_you_mean;
use crate::error::{BindError, BindResult};
use arrow::datatypes::FieldRef;
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan};
use query_lang::ast::{Ident, ObjectName};

/// The qualifier of `window_start` and `window_end` before they become columns of group rows. No table can be
/// called so: SQL names reach the plan through aliases and catalog names, and this one is refused there.
pub const WINDOW_QUALIFIER: &str = "#window";

/// The columns in sight, innermost query first.
pub struct Scope<'s> {
    /// The columns of this query's tables.
    pub schema: &'s DFSchema,
    /// Columns that only a qualified name reaches, and `*` leaves out: the second ones of `USING`.
    pub hidden: &'s [Column],
    /// Output names that may stand for their expressions.
    pub aliases: &'s [(Ident, Expr)],
    /// Whether an alias wins over a column of the same name.
    pub aliases_first: bool,
    /// What surrounds the query this scope is of.
    pub outer: Option<&'s Scope<'s>>,
}

/// Named queries in sight, innermost `WITH` first.
pub struct Env<'e> {
    /// The queries of this `WITH`, in order.
    pub ctes: Vec<(Ident, LogicalPlan)>,
    /// The surrounding ones.
    pub parent: Option<&'e Env<'e>>,
    /// The scope around a subquery.
    pub outer: Option<&'e Scope<'e>>,
}

impl<'e> Env<'e> {
    /// Nothing in sight.
    pub fn top() -> Env<'static> {
        Env {
            ctes: Vec::new(),
            parent: None,
            outer: None,
        }
    }

    /// An environment inside `self`.
    pub fn child(&'e self) -> Env<'e> {
        Env {
            ctes: Vec::new(),
            parent: Some(self),
            outer: self.outer,
        }
    }

    /// The environment of a subquery of an expression in `scope`.
    pub fn subquery(&'e self, scope: &'e Scope<'e>) -> Env<'e> {
        Env {
            ctes: Vec::new(),
            parent: Some(self),
            outer: Some(scope),
        }
    }

    /// The named query, the innermost if several match.
    pub fn cte(&self, name: &Ident) -> Option<&LogicalPlan> {
        let here = self.ctes.iter().rev().find(|(n, _)| name.matches(&n.value));
        match here {
            Some((_, plan)) => Some(plan),
            None => self.parent?.cte(name),
        }
    }

    /// All names, for hints.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.ctes.iter().map(|(n, _)| n.value.clone()).collect();
        if let Some(parent) = self.parent {
            names.extend(parent.names());
        }
        names
    }
}

/// A column and its field.
type Found = (Column, FieldRef);

impl<'s> Scope<'s> {
    /// A scope of these columns alone.
    pub fn of(schema: &'s DFSchema, outer: Option<&'s Scope<'s>>) -> Scope<'s> {
        Scope {
            schema,
            hidden: &[],
            aliases: &[],
            aliases_first: false,
            outer,
        }
    }

    /// What `name` means.
    pub fn resolve(&self, name: &ObjectName) -> BindResult<Expr> {
        if self.aliases_first
            && let Some(expr) = self.alias(name)?
        {
            return Ok(expr);
        }
        if let Some((column, _)) = self.column(name)? {
            return Ok(Expr::Column(column));
        }
        if !self.aliases_first
            && let Some(expr) = self.alias(name)?
        {
            return Ok(expr);
        }
        let mut outer = self.outer;
        while let Some(scope) = outer {
            if let Some((column, field)) = scope.column(name)? {
                return Ok(Expr::OuterReferenceColumn(field, column));
            }
            outer = scope.outer;
        }
        Err(self.unknown(name))
    }

    fn alias(&self, name: &ObjectName) -> BindResult<Option<Expr>> {
        let Some(ident) = name.as_single() else {
            return Ok(None);
        };
        let mut found: Option<&Expr> = None;
        for (alias, expr) in self.aliases {
            if !ident.matches(&alias.value) {
                continue;
            }
            if found.is_some_and(|f| f != expr) {
                return Err(BindError::new(
                    name.span(),
                    format!("\"{}\" names several output columns", ident.value),
                ));
            }
            found = Some(expr);
        }
        Ok(found.cloned())
    }

    /// The column of this scope's tables that `name` means, if there is one.
    pub fn column(&self, name: &ObjectName) -> BindResult<Option<Found>> {
        // A dotted column name (`properties.page`) is one name in storage, so each split is tried: the whole as a
        // column, then the first part, then the first two parts as the table.
        for split in 0..name.parts.len().min(3) {
            let (table, column) = name.parts.split_at(split);
            if let Some(found) = self.split(name, table, column)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn split(
        &self,
        name: &ObjectName,
        table: &[Ident],
        column: &[Ident],
    ) -> BindResult<Option<Found>> {
        let quoted = column.iter().any(|p| p.quoted);
        let wanted = match column {
            [one] => one.value.clone(),
            parts => parts
                .iter()
                .map(|p| p.value.as_str())
                .collect::<Vec<_>>()
                .join("."),
        };
        let fits = |(q, f): &(Option<&TableReference>, &FieldRef)| {
            let hidden = || {
                self.hidden
                    .iter()
                    .any(|h| h.name == *f.name() && h.relation.as_ref() == *q)
            };
            (table.is_empty() && !hidden()) || (!table.is_empty() && qualifier_matches(*q, table))
        };
        let candidates = || self.schema.iter().filter(fits);
        let mut exact = candidates().filter(|(_, f)| *f.name() == wanted);
        if let Some(first) = exact.next() {
            if exact.next().is_some() {
                return Err(BindError::new(
                    name.span(),
                    format!("\"{wanted}\" is a column of several tables"),
                )
                .hint(Some(
                    "put the table's name and a point before it".to_owned(),
                )));
            }
            return Ok(Some(found(first)));
        }
        if quoted {
            return Ok(None);
        }
        let mut folded = candidates().filter(|(_, f)| f.name().eq_ignore_ascii_case(&wanted));
        let Some(first) = folded.next() else {
            return Ok(None);
        };
        if let Some(second) = folded.next() {
            let (a, b) = (first.1.name(), second.1.name());
            let message = if a == b {
                format!("\"{wanted}\" is a column of several tables")
            } else {
                format!("\"{wanted}\" may mean \"{a}\" or \"{b}\"")
            };
            return Err(BindError::new(name.span(), message).hint(Some(
                "write the name in double quotes, with its table".to_owned(),
            )));
        }
        Ok(Some(found(first)))
    }

    fn unknown(&self, name: &ObjectName) -> BindError {
        // Invariant: a parsed name has at least one part.
        let word = name
            .parts
            .iter()
            .map(|p| p.value.as_str())
            .collect::<Vec<_>>()
            .join(".");
        let last = name.last().map_or("", |p| p.value.as_str());
        let own = self.schema.fields().iter().map(|f| f.name().as_str());
        let aliases = self.aliases.iter().map(|(a, _)| a.value.as_str());
        let outer = self
            .outer
            .into_iter()
            .flat_map(|o| o.schema.fields().iter().map(|f| f.name().as_str()));
        let hint = did_you_mean(last, own.chain(aliases).chain(outer));
        let message = if self.schema.fields().is_empty() && self.outer.is_none() {
            format!("there is no column \"{word}\": the query has no FROM")
        } else {
            format!("there is no column \"{word}\"")
        };
        BindError::new(name.span(), message).hint(hint)
    }
}

fn found((qualifier, field): (Option<&TableReference>, &FieldRef)) -> Found {
    (Column::new(qualifier.cloned(), field.name()), field.clone())
}

/// Whether the parts before a column's name mean the table it is qualified with.
pub fn qualifier_matches(qualifier: Option<&TableReference>, parts: &[Ident]) -> bool {
    let Some(qualifier) = qualifier else {
        return false;
    };
    match parts {
        [table] => table.matches(qualifier.table()),
        [.., db, table] => {
            table.matches(qualifier.table()) && qualifier.schema().is_some_and(|s| db.matches(s))
        }
        [] => false,
    }
}
