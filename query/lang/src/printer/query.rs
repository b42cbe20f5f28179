//! Queries.

use std::fmt::{self, Display, Formatter};

use super::{clause, clause_list, in_parens, list};
use crate::ast::{
    Cte, Distinct, Emit, LatestOn, NamedWindow, Query, Select, SelectItem, SetExpr, SetOp, Values,
};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let with = if self.recursive {
            "WITH RECURSIVE "
        } else {
            "WITH "
        };
        clause_list(f, with, &self.ctes)?;
        if !self.ctes.is_empty() {
            f.write_str(" ")?;
        }
        write!(f, "{}", self.body)?;
        clause_list(f, " ORDER BY ", &self.order_by)?;
        clause(f, " LIMIT ", &self.limit)?;
        clause(f, " OFFSET ", &self.offset)?;
        f.write_str(match self.emit {
            Some(Emit::Changes) => " EMIT CHANGES",
            Some(Emit::Final) => " EMIT FINAL",
            None => "",
        })
    }
}

impl Display for Cte {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS ({})", self.alias, self.query)
    }
}

impl Display for SetExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SetExpr::Select(select) => write!(f, "{select}"),
            SetExpr::Values(values) => write!(f, "{values}"),
            SetExpr::Nested(query) => write!(f, "({query})"),
            SetExpr::Operation { first, arms } => {
                write!(f, "{first}")?;
                for arm in arms {
                    let op = match arm.op {
                        SetOp::Union => "UNION",
                        SetOp::Except => "EXCEPT",
                        SetOp::Intersect => "INTERSECT",
                    };
                    let all = if arm.all { " ALL" } else { "" };
                    write!(f, " {op}{all} {}", arm.operand)?;
                }
                Ok(())
            }
        }
    }
}

impl Display for Values {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("VALUES ")?;
        for (index, row) in self.rows.iter().enumerate() {
            in_parens(f, if index > 0 { ", " } else { "" }, row)?;
        }
        Ok(())
    }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        match &self.distinct {
            Some(Distinct::All) => f.write_str("DISTINCT ")?,
            Some(Distinct::On(exprs)) => {
                in_parens(f, "DISTINCT ON ", exprs)?;
                f.write_str(" ")?;
            }
            None => {}
        }
        list(f, &self.items, ", ")?;
        clause_list(f, " FROM ", &self.from)?;
        clause(f, " ", &self.latest_on)?;
        clause(f, " WHERE ", &self.selection)?;
        clause(f, " ", &self.window)?;
        clause_list(f, " GROUP BY ", &self.group_by)?;
        clause(f, " HAVING ", &self.having)?;
        clause_list(f, " WINDOW ", &self.named_windows)?;
        clause(f, " QUALIFY ", &self.qualify)
    }
}

impl Display for SelectItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SelectItem::Expr { expr, alias } => {
                write!(f, "{expr}")?;
                clause(f, " AS ", alias)
            }
            SelectItem::Wildcard { of, except, .. } => {
                if let Some(of) = of {
                    write!(f, "{of}.")?;
                }
                f.write_str("*")?;
                in_parens(f, " EXCEPT ", except)
            }
        }
    }
}

impl Display for LatestOn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "LATEST ON {}", self.ts)?;
        clause_list(f, " PARTITION BY ", &self.partition_by)
    }
}

impl Display for NamedWindow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS ({})", self.name, self.spec)
    }
}
