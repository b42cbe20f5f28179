//! The tree back to text.
//!
//! What holds: the text of a tree that came out of the parser parses to an equal tree. It is written
//! on one line, with `AS` before every alias and parentheses only where the tree needs them (so that
//! a text at the limit of depth stays within it).

mod create;
mod expr;
mod function;
mod names;
mod query;
mod statement;
mod table;
mod window;

use std::fmt::{self, Display, Formatter};

/// Writes items with a separator between.
fn list<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// Writes `word (a, b)` if there are items.
fn in_parens<T: Display>(f: &mut Formatter<'_>, before: &str, items: &[T]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(f, "{before}(")?;
    list(f, items, ", ")?;
    f.write_str(")")
}

/// Writes `before item` if there is one.
fn clause<T: Display>(f: &mut Formatter<'_>, before: &str, item: &Option<T>) -> fmt::Result {
    match item {
        Some(item) => write!(f, "{before}{item}"),
        None => Ok(()),
    }
}

/// Writes `before a, b` if there are items.
fn clause_list<T: Display>(f: &mut Formatter<'_>, before: &str, items: &[T]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    f.write_str(before)?;
    list(f, items, ", ")
}
