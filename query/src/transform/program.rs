//! What is made of a batch of one stream: rows are looked up, filtered and sampled, and columns computed of those that are left.

use super::sample::Part;
use crate::bind::windowed::SourceRef;
use crate::bind::{Derived, number_of, numbered};
use crate::stream::{
    RowBlock, StreamError, Tags, holds, is_volatile, physical, project, read_columns,
};
use crate::table::Table;
use crate::types::plain_type;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use query_lang::ast::Sample;
use std::collections::BTreeSet;
use std::sync::Arc;

type Physical = Arc<dyn PhysicalExpr>;

/// A [`Derived`] ready to run.
pub(crate) struct Program {
    source: SourceRef,
    /// Places of the source's columns that are read.
    places: Vec<usize>,
    /// All columns that are read, by number: those of the source come first.
    schema: SchemaRef,
    lookups: Vec<Lookup>,
    filter: Option<Physical>,
    sample: Option<(Part, Vec<Physical>)>,
    priority: Option<Physical>,
    outputs: Vec<Physical>,
    output: SchemaRef,
}

struct Lookup {
    table: Arc<Table>,
    inner: bool,
    key: Vec<Physical>,
    /// Places of the table's columns that are read.
    places: Vec<usize>,
}

/// How many rows of a batch went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Left out by `WHERE` or by an inner join.
    pub filtered: usize,
    /// Left out of the sample.
    pub sampled: usize,
    /// Left out for want of room.
    pub shed: usize,
    /// Derived, and too old for their stream.
    pub late: usize,
    /// Derived.
    pub derived: usize,
}

/// Rows of a batch that are left.
pub(super) struct Kept {
    /// Their places in the batch.
    pub rows: Vec<u32>,
    columns: RecordBatch,
    pub tally: Tally,
}

impl Kept {
    /// Keeps those that `mask` is true for, and gives the number of the others.
    fn only(&mut self, mask: &BooleanArray) -> Result<usize, StreamError> {
        let before = self.rows.len();
        let kept = mask.true_count();
        if kept < before {
            let mut bits = mask.iter();
            self.rows.retain(|_| bits.next().flatten() == Some(true));
            self.columns = filter_record_batch(&self.columns, mask)?;
        }
        Ok(before - kept)
    }
}

impl Program {
    /// Whether each row has a priority of its own.
    pub(crate) fn has_priority(&self) -> bool {
        self.priority.is_some()
    }

    pub fn new(derived: &Derived, sample: Option<&Sample>) -> Result<Program, StreamError> {
        let columns = derived.columns.fields().len();
        let source_columns = derived.source.arrow.fields().len();
        let mut all: Vec<&Expr> = derived.items.iter().map(|i| &i.expr).collect();
        all.extend(derived.lookups.iter().flat_map(|l| &l.key));
        all.extend(&derived.filter);
        all.extend(&derived.by);
        all.extend(&derived.priority);
        let mut reads = BTreeSet::new();
        for e in all {
            if is_volatile(e)? {
                return Err(StreamError::Unsupported(format!(
                    "'{e}' changes with the time or by chance, which a derived stream can't follow"
                )));
            }
            let numbers = e.column_refs().into_iter();
            reads.extend(numbers.filter_map(|c| number_of(&Expr::Column(c.clone()))));
        }
        // A sample by nothing is one by all.
        let whole = sample.is_some_and(|s| s.by.is_empty());
        if whole {
            reads.extend(0..source_columns);
        }
        let reads: Vec<usize> = reads.into_iter().filter(|n| *n < columns).collect();
        let schema = Arc::new(derived.columns.project(&reads)?);
        let plan = |e: &Expr| physical(e, &schema);
        let plans = |all: &[Expr]| all.iter().map(plan).collect::<Result<Vec<_>, _>>();
        let places: Vec<usize> = reads
            .iter()
            .copied()
            .filter(|n| *n < source_columns)
            .collect();
        let mut lookups = Vec::with_capacity(derived.lookups.len());
        for (i, lookup) in derived.lookups.iter().enumerate() {
            let next = derived.lookups.get(i + 1);
            let end = next.map_or(columns, |l| l.first);
            let of_table = reads.iter().filter(|n| (lookup.first..end).contains(*n));
            lookups.push(Lookup {
                table: Arc::clone(&lookup.table),
                inner: lookup.inner,
                key: plans(&lookup.key)?,
                places: of_table.map(|n| n - lookup.first).collect(),
            });
        }
        let sample = match sample {
            None => None,
            Some(sample) => {
                let by = if whole {
                    let column = |n| Expr::Column(numbered(n).into());
                    plans(&(0..source_columns).map(column).collect::<Vec<_>>())?
                } else {
                    plans(&derived.by)?
                };
                Some((Part::of_percent(&sample.percent), by))
            }
        };
        let outputs = derived.items.iter().map(|i| plan(&i.expr));
        let fields: Vec<Field> = derived.items.iter().map(|i| i.field.clone()).collect();
        Ok(Program {
            source: derived.source.clone(),
            places,
            lookups,
            filter: derived.filter.as_ref().map(plan).transpose()?,
            sample,
            priority: derived.priority.as_ref().map(plan).transpose()?,
            outputs: outputs.collect::<Result<_, _>>()?,
            output: Arc::new(Schema::new(fields)),
            schema,
        })
    }

    /// The stream that it reads.
    pub fn source(&self) -> &SourceRef {
        &self.source
    }

    /// The tables that it looks rows up in.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.lookups.iter().map(|l| &l.table)
    }

    /// The rows of a block that are kept. Rows that matter less than `floor` are shed.
    pub(super) fn keep(
        &self,
        block: &RowBlock<'_>,
        tags: &dyn Tags,
        floor: u8,
    ) -> Result<Kept, StreamError> {
        let first = &self.schema.fields()[..self.places.len()];
        let arrow = Arc::new(Schema::new(first.to_vec()));
        let columns = read_columns(&self.source.schema, &self.places, &arrow, block, tags)?;
        let mut kept = Kept {
            // Blocks are far smaller than 2^32 rows.
            rows: (0..block.rows() as u32).collect(),
            columns,
            tally: Tally::default(),
        };
        for lookup in &self.lookups {
            let found = self.look_up(lookup, &mut kept)?;
            if lookup.inner {
                kept.tally.filtered += kept.only(&found)?;
            }
        }
        if let Some(filter) = &self.filter
            && !kept.rows.is_empty()
        {
            let holds = holds(filter.as_ref(), &kept.columns)?;
            kept.tally.filtered += kept.only(&holds)?;
        }
        if let Some((part, by)) = &self.sample
            && !kept.rows.is_empty()
        {
            let keys = evaluate(by, &kept.columns)?;
            let part = part.select(&keys, kept.rows.len())?;
            kept.tally.sampled += kept.only(&part)?;
        }
        if let Some(priority) = &self.priority
            && floor > 0
            && !kept.rows.is_empty()
        {
            let levels = evaluate(std::slice::from_ref(priority), &kept.columns)?;
            let texts = cast(&levels[0], &DataType::Utf8)?;
            let texts = texts.as_string::<i32>().iter();
            let mask: Vec<bool> = texts.map(|t| super::level(t) >= floor).collect();
            kept.tally.shed += kept.only(&mask.into())?;
        }
        Ok(kept)
    }

    /// Puts a table's columns behind those there are; tells which rows have a counterpart.
    fn look_up(&self, lookup: &Lookup, kept: &mut Kept) -> Result<BooleanArray, StreamError> {
        let rows = kept.rows.len();
        let (added, found) = match rows {
            0 => (lookup.table.nothing(&lookup.places), Vec::new()),
            _ => {
                let keys = evaluate(&lookup.key, &kept.columns)?;
                lookup.table.lookup(&keys, &lookup.places)?
            }
        };
        let mut columns = kept.columns.columns().to_vec();
        columns.extend(added);
        let schema = Arc::new(Schema::new(self.schema.fields()[..columns.len()].to_vec()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        kept.columns = RecordBatch::try_new_with_options(schema, columns, &options)?;
        Ok(found.into())
    }

    /// The output of the rows that are kept.
    pub(super) fn output(&self, kept: &Kept) -> Result<RecordBatch, StreamError> {
        project(&self.outputs, &kept.columns, &self.output)
    }
}

/// Values of expressions, dictionaries undone.
fn evaluate(exprs: &[Physical], rows: &RecordBatch) -> Result<Vec<ArrayRef>, StreamError> {
    let values = exprs.iter().map(|e| {
        let array = e.evaluate(rows)?.into_array(rows.num_rows())?;
        let plain = plain_type(array.data_type());
        match array.data_type() == plain {
            true => Ok(array),
            false => Ok(cast(&array, &plain.clone())?),
        }
    });
    values.collect()
}
