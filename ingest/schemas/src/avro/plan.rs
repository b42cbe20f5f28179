//! Which columns a schema's values go to, and in which steps they are read.

use super::{Node, NodeId, Tree};
use crate::schema_bounds::SchemaBounds;
use ingest_decode::json::MAX_DEPTH;
use tsdb::types::DataType;

/// How a value is read.
#[derive(Debug)]
pub(super) enum Step {
    /// Null always: no column.
    Nothing,
    /// Into the next column.
    Leaf(NodeId),
    /// A union of types that fit one column.
    Scalars(Vec<NodeId>),
    /// Into the next column, as JSON.
    Json(NodeId),
    /// A union of null and one other.
    Nullable {
        null: usize,
        branches: usize,
        inner: Box<Step>,
        width: usize,
    },
    /// A record's fields.
    Record(Vec<Step>),
    /// A union of records, each with columns of its own.
    Choice(Vec<Step>),
}

impl Step {
    /// How many columns it fills.
    pub fn width(&self) -> usize {
        match self {
            Step::Nothing => 0,
            Step::Leaf(_) | Step::Scalars(_) | Step::Json(_) => 1,
            Step::Nullable { width, .. } => *width,
            Step::Record(steps) | Step::Choice(steps) => steps.iter().map(Step::width).sum(),
        }
    }
}

type Columns = Vec<(String, DataType)>;

/// The steps and columns of a schema.
pub(super) fn plan(tree: &Tree) -> Result<(Step, Columns), String> {
    let mut planner = Planner {
        tree,
        columns: Vec::new(),
        bounds: SchemaBounds::default(),
        within: Vec::new(),
    };
    let step = match tree.node(tree.root) {
        Node::Record { .. } => planner.step(tree.root, None)?,
        Node::Union(variants)
            if variants
                .iter()
                .all(|v| matches!(tree.node(*v), Node::Record { .. } | Node::Null)) =>
        {
            let steps = variants.iter().map(|v| planner.step(*v, None));
            Step::Choice(steps.collect::<Result<_, _>>()?)
        }
        // A value that has no name.
        _ => planner.step(tree.root, Some("value"))?,
    };
    Ok((step, planner.columns))
}

/// The type of a column for a value without parts.
fn data_type(node: &Node) -> Option<DataType> {
    Some(match node {
        Node::Bool => DataType::Bool,
        Node::Int | Node::Long => DataType::Int64,
        Node::Float | Node::Double => DataType::Float64,
        Node::Date | Node::Stamp(_) => DataType::Timestamp,
        Node::Decimal {
            precision, scale, ..
        } if *precision <= 38 => DataType::Decimal {
            precision: *precision as u8,
            scale: *scale as u8,
        },
        Node::Null | Node::List(_) | Node::Map(_) | Node::Union(_) | Node::Record { .. } => {
            return None;
        }
        _ => DataType::Utf8,
    })
}

/// The type of a column that takes both.
fn wider(a: DataType, b: DataType) -> Option<DataType> {
    match (a, b) {
        _ if a == b => Some(a),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
            Some(DataType::Float64)
        }
        _ => None,
    }
}

struct Planner<'t> {
    tree: &'t Tree,
    columns: Columns,
    bounds: SchemaBounds,
    /// The records that are being planned, the outermost first.
    within: Vec<NodeId>,
}

impl Planner<'_> {
    fn column(&mut self, name: Option<&str>, data_type: DataType) -> Result<(), String> {
        self.bounds.column()?;
        let name = name.unwrap_or("value").to_owned();
        self.columns.push((name, data_type));
        Ok(())
    }

    fn step(&mut self, id: NodeId, name: Option<&str>) -> Result<Step, String> {
        self.bounds.part()?;
        let tree = self.tree;
        match tree.node(id) {
            Node::Null => Ok(Step::Nothing),
            Node::Record { fields, .. }
                if !self.within.contains(&id) && self.within.len() < MAX_DEPTH =>
            {
                self.within.push(id);
                let mut steps = Vec::with_capacity(fields.len());
                for field in fields {
                    let dotted = match name {
                        Some(name) => format!("{name}.{}", field.name),
                        None => field.name.clone(),
                    };
                    steps.push(self.step(field.node, Some(&dotted))?);
                }
                self.within.pop();
                Ok(Step::Record(steps))
            }
            Node::Union(variants) => self.union(id, variants, name),
            node => match data_type(node) {
                Some(data_type) => {
                    self.column(name, data_type)?;
                    Ok(Step::Leaf(id))
                }
                None => {
                    self.column(name, DataType::Utf8)?;
                    Ok(Step::Json(id))
                }
            },
        }
    }

    fn union(
        &mut self,
        id: NodeId,
        variants: &[NodeId],
        name: Option<&str>,
    ) -> Result<Step, String> {
        let is_null = |v: &NodeId| *self.tree.node(*v) == Node::Null;
        let null = variants.iter().position(is_null);
        let others: Vec<NodeId> = variants.iter().copied().filter(|v| !is_null(v)).collect();
        if let (Some(null), [one]) = (null, others.as_slice()) {
            let before = self.columns.len();
            let inner = Box::new(self.step(*one, name)?);
            return Ok(Step::Nullable {
                null,
                branches: variants.len(),
                inner,
                width: self.columns.len() - before,
            });
        }
        // Strings of several meanings could not be told apart, so only numbers, times and the like share a column.
        let types = others.iter().map(|v| data_type(self.tree.node(*v)));
        let types: Option<Vec<DataType>> = types.collect();
        let common = types.and_then(|types| {
            let mut types = types.into_iter();
            let first = types.next()?;
            types.try_fold(first, wider)
        });
        match common.filter(|t| *t != DataType::Utf8) {
            Some(data_type) => {
                self.column(name, data_type)?;
                Ok(Step::Scalars(variants.to_vec()))
            }
            None => {
                self.column(name, DataType::Utf8)?;
                Ok(Step::Json(id))
            }
        }
    }
}
