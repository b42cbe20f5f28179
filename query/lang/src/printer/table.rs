//! What stands in `FROM`.

use std::fmt::{self, Display, Formatter};

use super::window::windowed_function;
use super::{clause, in_parens, list};
use crate::ast::{
    Join, JoinConstraint, JoinKind, JoinWithin, ObjectName, TableAlias, TableFactor, TableRef,
};

impl Display for TableRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.factor)?;
        self.joins.iter().try_for_each(|join| write!(f, " {join}"))
    }
}

impl Display for TableAlias {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        in_parens(f, " ", &self.columns)
    }
}

impl Display for TableFactor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let alias = match self {
            TableFactor::Table { name, alias } => {
                write!(f, "{name}")?;
                alias
            }
            TableFactor::Derived {
                lateral,
                query,
                alias,
            } => {
                write!(f, "{}({query})", if *lateral { "LATERAL " } else { "" })?;
                alias
            }
            TableFactor::Windowed { windowed, alias } => {
                f.write_str("TABLE(")?;
                windowed_function(f, windowed)?;
                f.write_str(")")?;
                alias
            }
            TableFactor::Function { name, args, alias } => {
                let wrapped = begins_a_form(name);
                write!(f, "{}{name}(", if wrapped { "TABLE(" } else { "" })?;
                list(f, args, ", ")?;
                f.write_str(if wrapped { "))" } else { ")" })?;
                alias
            }
            TableFactor::Nested(table) => return write!(f, "({table})"),
        };
        clause(f, " AS ", alias)
    }
}

/// Whether a function of this name, called in `FROM`, would read as something else.
fn begins_a_form(name: &ObjectName) -> bool {
    let reads = |word| {
        name.as_single()
            .is_some_and(|n| !n.quoted && n.matches(word))
    };
    reads("table") || reads("lateral")
}

impl Display for Join {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.constraint == JoinConstraint::Natural {
            f.write_str("NATURAL ")?;
        }
        f.write_str(match self.kind {
            JoinKind::Inner => "JOIN",
            JoinKind::Left => "LEFT JOIN",
            JoinKind::Right => "RIGHT JOIN",
            JoinKind::Full => "FULL JOIN",
            JoinKind::Cross => "CROSS JOIN",
            JoinKind::LeftSemi => "LEFT SEMI JOIN",
            JoinKind::LeftAnti => "LEFT ANTI JOIN",
            JoinKind::RightSemi => "RIGHT SEMI JOIN",
            JoinKind::RightAnti => "RIGHT ANTI JOIN",
            JoinKind::AsOf => "ASOF JOIN",
            JoinKind::AsOfLeft => "ASOF LEFT JOIN",
        })?;
        write!(f, " {}", self.factor)?;
        clause(f, " ", &self.within)?;
        match &self.constraint {
            JoinConstraint::On(on) => write!(f, " ON {on}"),
            JoinConstraint::Using(columns) => in_parens(f, " USING ", columns),
            JoinConstraint::Natural | JoinConstraint::None => Ok(()),
        }
    }
}

impl Display for JoinWithin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let JoinWithin {
            before,
            after,
            grace,
            at: _,
        } = self;
        if before == after {
            write!(f, "WITHIN INTERVAL '{before}'")?;
        } else {
            write!(f, "WITHIN (INTERVAL '{before}', INTERVAL '{after}')")?;
        }
        match grace {
            Some(grace) => write!(f, " GRACE PERIOD INTERVAL '{grace}'"),
            None => Ok(()),
        }
    }
}
