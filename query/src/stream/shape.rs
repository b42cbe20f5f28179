//! From group rows to the output: `HAVING`, the projection, and which columns of a group row they need.

use super::StreamError;
use super::expression::{holds, physical, project};
use crate::bind::windowed::WindowedAggregate;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is made of group rows.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The columns that a group row may have.
    all: SchemaRef,
    /// Places of those that are needed.
    needed: Vec<usize>,
    /// Those columns.
    groups: SchemaRef,
    having: Option<Arc<dyn PhysicalExpr>>,
    projection: Vec<Arc<dyn PhysicalExpr>>,
    output: SchemaRef,
}

impl Shape {
    /// The whole output of a query.
    pub fn new(query: &WindowedAggregate) -> Result<Shape, StreamError> {
        let all: SchemaRef = Arc::new(query.group_schema.as_arrow().clone());
        let having = query.having.as_ref().map(|e| physical(e, &all));
        let projection = query.projection.iter().map(|(e, _)| physical(e, &all));
        Shape::of(
            all.clone(),
            having.transpose()?,
            projection.collect::<Result<_, _>>()?,
            query.output.clone(),
        )
    }

    /// Some columns of the output, by their places.
    pub fn project(&self, places: &[usize]) -> Result<Shape, StreamError> {
        let output = Arc::new(self.output.project(places)?);
        let projection = places.iter().map(|i| self.projection[*i].clone());
        Shape::of(
            self.all.clone(),
            self.having.clone(),
            projection.collect(),
            output,
        )
    }

    fn of(
        all: SchemaRef,
        having: Option<Arc<dyn PhysicalExpr>>,
        projection: Vec<Arc<dyn PhysicalExpr>>,
        output: SchemaRef,
    ) -> Result<Shape, StreamError> {
        let mut needed = BTreeSet::new();
        for column in having.iter().chain(&projection).flat_map(collect_columns) {
            needed.insert(all.index_of(column.name())?);
        }
        let needed: Vec<usize> = needed.into_iter().collect();
        let groups = Arc::new(all.project(&needed)?);
        let fit = |e| reassign_expr_columns(e, &groups);
        Ok(Shape {
            having: having.map(fit).transpose()?,
            projection: projection.into_iter().map(fit).collect::<Result<_, _>>()?,
            all,
            needed,
            groups,
            output,
        })
    }

    /// Places in a group row of the columns that [`Shape::apply`] must be given.
    pub fn needed(&self) -> &[usize] {
        &self.needed
    }

    /// The types of those columns.
    pub fn groups(&self) -> &SchemaRef {
        &self.groups
    }

    /// The columns of the output.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// Which rows `HAVING` keeps; `None` when there is none.
    pub fn keeps(&self, groups: &RecordBatch) -> Result<Option<BooleanArray>, StreamError> {
        match &self.having {
            Some(having) if groups.num_rows() > 0 => Ok(Some(holds(having.as_ref(), groups)?)),
            _ => Ok(None),
        }
    }

    /// What the projection makes of the rows that `HAVING` keeps.
    pub fn apply(&self, mut groups: RecordBatch) -> Result<RecordBatch, StreamError> {
        if let Some(keep) = self.keeps(&groups)? {
            groups = filter_record_batch(&groups, &keep)?;
        }
        project(&self.projection, &groups, &self.output)
    }
}
