//! Streams, tables and sinks as they are created.

use std::fmt::{self, Display, Formatter};

use super::names::{Declared, is_word, quoted};
use super::statement::if_not_exists;
use super::{clause, clause_list, in_parens, list};
use crate::ast::{ColumnDef, CreateSink, CreateStream, CreateTable, Sample, SinkSource, SqlOption};

impl Display for CreateStream {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lenient = if_not_exists(self.if_not_exists);
        write!(f, "CREATE STREAM {lenient}{}", self.name)?;
        in_parens(f, " ", &self.columns)?;
        in_parens(f, " WITH ", &self.options)?;
        clause(f, " AS ", &self.derived)?;
        clause(f, " WHERE ", &self.filter)?;
        clause(f, " ", &self.sample)?;
        clause(f, " PRIORITY ", &self.priority)
    }
}

impl Display for Sample {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "SAMPLE {} PERCENT", self.percent)?;
        clause_list(f, " BY ", &self.by)
    }
}

impl Display for CreateTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let replace = if self.or_replace { "OR REPLACE " } else { "" };
        let lenient = if_not_exists(self.if_not_exists);
        write!(f, "CREATE {replace}TABLE {lenient}{} (", self.name)?;
        list(f, &self.columns, ", ")?;
        let key: Vec<Declared<'_>> = self.primary_key.iter().map(Declared).collect();
        in_parens(f, ", PRIMARY KEY ", &key)?;
        f.write_str(")")?;
        in_parens(f, " WITH ", &self.options)
    }
}

impl Display for CreateSink {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lenient = if_not_exists(self.if_not_exists);
        write!(f, "CREATE SINK {lenient}{}", self.name)?;
        match &self.source {
            SinkSource::Named(name) => write!(f, " FROM {name}")?,
            SinkSource::Query(query) => write!(f, " AS {query}")?,
        }
        in_parens(f, " WITH ", &self.options)
    }
}

impl Display for ColumnDef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Declared(&self.name), self.data_type)?;
        f.write_str(if self.tag { " TAG" } else { "" })?;
        f.write_str(if self.not_null { " NOT NULL" } else { "" })
    }
}

impl Display for SqlOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.name.split('.').all(is_word) {
            f.write_str(&self.name)?;
        } else {
            quoted(f, &self.name, '\'')?;
        }
        write!(f, " = {}", self.value)
    }
}
