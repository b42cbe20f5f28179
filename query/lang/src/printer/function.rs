//! Function calls and the windows of window functions.

use std::fmt::{self, Display, Formatter};

use super::expr::AtLeast;
use super::{clause, clause_list, list};
use crate::ast::{
    ArgValue, FrameBound, FrameUnits, FunctionArg, FunctionCall, NullTreatment, OrderItem, Over,
    WindowFrame, WindowSpec,
};
use crate::precedence::Level;

impl Display for FunctionCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}({}",
            self.name,
            if self.distinct { "DISTINCT " } else { "" }
        )?;
        match self.args.as_slice() {
            // An IN outside parentheses would make it `POSITION(x IN y)`.
            [
                FunctionArg {
                    name: None,
                    value: ArgValue::Expr(first),
                },
                rest @ ..,
            ] if is_position(self) && !self.distinct => {
                write!(f, "{}", AtLeast(Level::Other, first))?;
                clause_list(f, ", ", rest)?;
            }
            args => list(f, args, ", ")?,
        }
        clause_list(f, " ORDER BY ", &self.order_by)?;
        f.write_str(")")?;
        if !self.within_group.is_empty() {
            f.write_str(" WITHIN GROUP (ORDER BY ")?;
            list(f, &self.within_group, ", ")?;
            f.write_str(")")?;
        }
        if let Some(filter) = &self.filter {
            write!(f, " FILTER (WHERE {filter})")?;
        }
        f.write_str(match self.nulls {
            Some(NullTreatment::Ignore) => " IGNORE NULLS",
            Some(NullTreatment::Respect) => " RESPECT NULLS",
            None => "",
        })?;
        match &self.over {
            Some(Over::Named(name)) => write!(f, " OVER {name}"),
            Some(Over::Spec(spec)) => write!(f, " OVER ({spec})"),
            None => Ok(()),
        }
    }
}

fn is_position(call: &FunctionCall) -> bool {
    call.name
        .as_single()
        .is_some_and(|name| !name.quoted && name.matches("position"))
}

impl Display for FunctionArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name} => ")?;
        }
        match &self.value {
            ArgValue::Expr(expr) => write!(f, "{expr}"),
            ArgValue::Wildcard => f.write_str("*"),
        }
    }
}

impl Display for OrderItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let asc = match self.asc {
            Some(true) => " ASC",
            Some(false) => " DESC",
            None => "",
        };
        let nulls = match self.nulls_first {
            Some(true) => " NULLS FIRST",
            Some(false) => " NULLS LAST",
            None => "",
        };
        write!(f, "{}{asc}{nulls}", self.expr)
    }
}

/// Without the parentheses around it.
impl Display for WindowSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        if let Some(base) = &self.base {
            write!(f, "{base}")?;
            blank = " ";
        }
        if !self.partition_by.is_empty() {
            write!(f, "{blank}PARTITION BY ")?;
            list(f, &self.partition_by, ", ")?;
            blank = " ";
        }
        if !self.order_by.is_empty() {
            write!(f, "{blank}ORDER BY ")?;
            list(f, &self.order_by, ", ")?;
            blank = " ";
        }
        clause(f, blank, &self.frame)
    }
}

impl Display for WindowFrame {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.units {
            FrameUnits::Rows => "ROWS ",
            FrameUnits::Range => "RANGE ",
            FrameUnits::Groups => "GROUPS ",
        })?;
        match &self.end {
            Some(end) => write!(f, "BETWEEN {} AND {end}", self.start),
            None => write!(f, "{}", self.start),
        }
    }
}

impl Display for FrameBound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            FrameBound::UnboundedPreceding => f.write_str("UNBOUNDED PRECEDING"),
            FrameBound::UnboundedFollowing => f.write_str("UNBOUNDED FOLLOWING"),
            FrameBound::CurrentRow => f.write_str("CURRENT ROW"),
            FrameBound::Preceding(by) => write!(f, "{} PRECEDING", AtLeast(Level::Other, by)),
            FrameBound::Following(by) => write!(f, "{} FOLLOWING", AtLeast(Level::Other, by)),
        }
    }
}
