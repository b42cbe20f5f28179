//! Expressions, with the parentheses that precedence asks for and no others.

use std::fmt::{self, Display, Formatter};

use super::names::quoted;
use super::{clause, list};
use crate::ast::{BinaryOp, Expr, ExprKind, IsTest, TrimSide, UnaryOp};
use crate::precedence::{Level, binary_level, binary_text, level_of};

/// An expression where at least `Level` is asked for: in parentheses if it binds more loosely.
pub(super) struct AtLeast<'a>(pub Level, pub &'a Expr);

impl Display for AtLeast<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let AtLeast(level, expr) = self;
        if level_of(expr) < *level {
            write!(f, "({expr})")
        } else {
            write!(f, "{expr}")
        }
    }
}

fn not(negated: bool) -> &'static str {
    if negated { " NOT" } else { "" }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // What operators that do not chain ask of their left side, and `BETWEEN` and `LIKE` of
        // their right side.
        let other = |expr| AtLeast(Level::Other, expr);
        match &self.kind {
            ExprKind::Literal(literal) => write!(f, "{literal}"),
            ExprKind::Column(name) => write!(f, "{name}"),
            ExprKind::Unary { op, operand } => unary(f, *op, operand),
            ExprKind::Chain { first, rest } => chain(f, first, rest),
            ExprKind::Is {
                expr,
                test,
                negated,
            } => {
                let test = match test {
                    IsTest::Null => "NULL",
                    IsTest::True => "TRUE",
                    IsTest::False => "FALSE",
                    IsTest::Unknown => "UNKNOWN",
                };
                write!(f, "{} IS{} {test}", AtLeast(Level::Is, expr), not(*negated))
            }
            ExprKind::Between {
                expr,
                low,
                high,
                negated,
            } => {
                let (expr, low, high) = (other(expr), other(low), other(high));
                write!(f, "{expr}{} BETWEEN {low} AND {high}", not(*negated))
            }
            ExprKind::InList {
                expr,
                list: items,
                negated,
            } => {
                write!(f, "{}{} IN (", other(expr), not(*negated))?;
                list(f, items, ", ")?;
                f.write_str(")")
            }
            ExprKind::InSubquery {
                expr,
                query,
                negated,
            } => {
                write!(f, "{}{} IN ({query})", other(expr), not(*negated))
            }
            ExprKind::Like {
                expr,
                pattern,
                escape,
                negated,
                case_insensitive,
            } => {
                let like = if *case_insensitive { "ILIKE" } else { "LIKE" };
                write!(
                    f,
                    "{}{} {like} {}",
                    other(expr),
                    not(*negated),
                    other(pattern)
                )?;
                match escape {
                    Some(escape) => {
                        f.write_str(" ESCAPE ")?;
                        quoted(f, escape.encode_utf8(&mut [0; 4]), '\'')
                    }
                    None => Ok(()),
                }
            }
            ExprKind::SimilarTo {
                expr,
                pattern,
                negated,
            } => {
                write!(
                    f,
                    "{}{} SIMILAR TO {}",
                    other(expr),
                    not(*negated),
                    other(pattern)
                )
            }
            ExprKind::AtTimeZone { expr, zone } => {
                let (expr, zone) = (AtLeast(Level::Zone, expr), AtLeast(Level::Sign, zone));
                write!(f, "{expr} AT TIME ZONE {zone}")
            }
            ExprKind::Subscript { expr, index, upper } => {
                // `array[1]` would be an array of one element.
                let array = matches!(&expr.kind, ExprKind::Column(name)
                    if name.as_single().is_some_and(|n| !n.quoted && n.matches("array")));
                if array {
                    write!(f, "({expr})[{index}")?;
                } else {
                    write!(f, "{}[{index}", AtLeast(Level::Postfix, expr))?;
                }
                clause(f, " : ", upper)?;
                f.write_str("]")
            }
            _ => bracketed(f, self),
        }
    }
}

/// The kinds that bring their own brackets, so that precedence does not matter inside.
fn bracketed(f: &mut Formatter<'_>, expr: &Expr) -> fmt::Result {
    match &expr.kind {
        ExprKind::Exists(query) => write!(f, "EXISTS ({query})"),
        ExprKind::Subquery(query) => write!(f, "({query})"),
        ExprKind::Case {
            operand,
            branches,
            otherwise,
        } => {
            f.write_str("CASE")?;
            clause(f, " ", operand)?;
            for branch in branches {
                write!(f, " WHEN {} THEN {}", branch.condition, branch.result)?;
            }
            clause(f, " ELSE ", otherwise)?;
            f.write_str(" END")
        }
        ExprKind::Cast {
            expr,
            data_type,
            fallible,
        } => {
            let cast = if *fallible { "TRY_CAST" } else { "CAST" };
            write!(f, "{cast}({expr} AS {data_type})")
        }
        ExprKind::Extract { field, expr } => write!(f, "EXTRACT({field} FROM {expr})"),
        ExprKind::Position { needle, haystack } => {
            write!(
                f,
                "POSITION({} IN {haystack})",
                AtLeast(Level::Other, needle)
            )
        }
        ExprKind::Substring { expr, from, length } => {
            write!(f, "SUBSTRING({expr}")?;
            clause(f, " FROM ", from)?;
            clause(f, " FOR ", length)?;
            f.write_str(")")
        }
        ExprKind::Trim { side, chars, expr } => {
            f.write_str(match side {
                TrimSide::Both => "TRIM(BOTH",
                TrimSide::Leading => "TRIM(LEADING",
                TrimSide::Trailing => "TRIM(TRAILING",
            })?;
            clause(f, " ", chars)?;
            write!(f, " FROM {expr})")
        }
        ExprKind::Function(call) => write!(f, "{call}"),
        ExprKind::Array(items) => {
            f.write_str("ARRAY[")?;
            list(f, items, ", ")?;
            f.write_str("]")
        }
        ExprKind::Tuple(items) => super::in_parens(f, "", items),
        ExprKind::GroupingSets(sets) => grouping_sets(f, sets),
        // The rest is `Display`'s.
        _ => Ok(()),
    }
}

fn grouping_sets(f: &mut Formatter<'_>, sets: &[Vec<Expr>]) -> fmt::Result {
    f.write_str("GROUPING SETS (")?;
    for (index, set) in sets.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        match set.as_slice() {
            // In parentheses a subquery would become something else.
            [only] => write!(f, "{only}")?,
            [] => f.write_str("()")?,
            many => super::in_parens(f, "", many)?,
        }
    }
    f.write_str(")")
}

fn unary(f: &mut Formatter<'_>, op: UnaryOp, operand: &Expr) -> fmt::Result {
    // `--` would begin a comment.
    let signs = matches!(&operand.kind, ExprKind::Unary { .. });
    let blank = if signs { " " } else { "" };
    match op {
        UnaryOp::Not => write!(f, "NOT {}", AtLeast(Level::Not, operand)),
        UnaryOp::Minus => write!(f, "-{blank}{}", AtLeast(Level::Sign, operand)),
        UnaryOp::Plus => write!(f, "+{blank}{}", AtLeast(Level::Sign, operand)),
    }
}

fn chain(f: &mut Formatter<'_>, first: &Expr, rest: &[(BinaryOp, Expr)]) -> fmt::Result {
    let level = rest
        .first()
        .map_or(Level::Primary, |(op, _)| binary_level(*op));
    // `a IS DISTINCT FROM b IS DISTINCT FROM c` nests to the left without parentheses; a chain
    // inside another of its level is one that had them.
    let left = if level == Level::Is {
        level
    } else {
        level.tighter()
    };
    write!(f, "{}", AtLeast(left, first))?;
    for (op, operand) in rest {
        write!(
            f,
            " {} {}",
            binary_text(*op),
            AtLeast(level.tighter(), operand)
        )?;
    }
    Ok(())
}
