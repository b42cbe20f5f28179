//! Rows as keys and values of records.

use crate::encode::{Cells, json_string};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// An object of all columns.
    Json,
    /// Fields with commas between; of a value, all columns in order.
    Csv,
    /// The text of the one column.
    Text,
}

/// Writes records of rows that have certain columns.
#[derive(Debug)]
pub(super) struct Encoder {
    columns: SchemaRef,
    value: Form,
    key: Form,
    /// Places of the key columns; none for records without a key.
    keys: Vec<usize>,
    /// There is a key, if one without columns.
    keyed: bool,
}

/// Told of each record: its key, if it has one, and its value.
pub(super) type OnRecord<'f, E> = dyn FnMut(Option<&[u8]>, &[u8]) -> Result<(), E> + 'f;

impl Encoder {
    /// For rows of these columns; `keys` name key columns, whatever the case, and `keyed` says whether there is a key even
    /// when they name none.
    ///
    /// # Errors
    /// What can't be.
    pub fn new(
        columns: &SchemaRef,
        keys: &[String],
        keyed: bool,
        (value, key): (Option<&str>, Option<&str>),
    ) -> Result<Encoder, String> {
        let mut seen = std::collections::HashSet::new();
        if let Some(double) = columns.fields().iter().find(|f| !seen.insert(f.name())) {
            return Err(format!("there are two columns \"{}\"", double.name()));
        }
        let places = keys.iter().map(|name| place(columns, name));
        let keys = places.collect::<Result<Vec<_>, _>>()?;
        let form = |name: Option<&str>| match name {
            None | Some("json") => Ok(Form::Json),
            Some("csv") => Ok(Form::Csv),
            Some("string") => Ok(Form::Text),
            Some(other) => Err(format!("a sink can't write '{other}'")),
        };
        let key = form(key)?;
        if key == Form::Text && keys.len() != 1 {
            return Err(format!(
                "key_format 'string' takes one key column, and there are {}",
                keys.len()
            ));
        }
        Ok(Encoder {
            columns: columns.clone(),
            value: form(value)?,
            key,
            keyed: keyed || !keys.is_empty(),
            keys,
        })
    }

    /// The columns of the rows.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// Hands key and value of each row to `each`, until it fails.
    ///
    /// # Errors
    /// That failure.
    pub fn rows<E>(&self, batch: &RecordBatch, each: &mut OnRecord<'_, E>) -> Result<(), E> {
        let cells: Vec<Cells<'_>> = batch.columns().iter().map(|c| Cells::of(c, None)).collect();
        let all: Vec<usize> = (0..cells.len()).collect();
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            key.clear();
            value.clear();
            self.write(self.value, &all, &cells, row, &mut value);
            self.write(self.key, &self.keys, &cells, row, &mut key);
            each(self.keyed.then_some(&key), &value)?;
        }
        Ok(())
    }

    /// Hands the key of each row to `each`.
    pub fn keys(&self, batch: &RecordBatch, each: &mut dyn FnMut(&[u8])) {
        let cells: Vec<Cells<'_>> = batch.columns().iter().map(|c| Cells::of(c, None)).collect();
        let mut key = Vec::new();
        for row in 0..batch.num_rows() {
            key.clear();
            self.write(self.key, &self.keys, &cells, row, &mut key);
            each(&key);
        }
    }

    fn write(
        &self,
        form: Form,
        places: &[usize],
        cells: &[Cells<'_>],
        row: usize,
        out: &mut Vec<u8>,
    ) {
        match form {
            Form::Json => {
                out.push(b'{');
                for (n, place) in places.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    json_string(self.columns.field(*place).name(), out);
                    out.push(b':');
                    cells[*place].json(row, out);
                }
                out.push(b'}');
            }
            Form::Csv => {
                for (n, place) in places.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    cells[*place].csv(row, out);
                }
            }
            Form::Text => {
                for place in places {
                    let from = out.len();
                    cells[*place].json(row, out);
                    // A text stands there as it is, without quotes.
                    if let Ok(text) = serde_json::from_slice::<String>(&out[from..]) {
                        out.truncate(from);
                        out.extend_from_slice(text.as_bytes());
                    }
                }
            }
        }
    }
}

/// The place of the column that a name means: the exact one, else the only one that differs in case alone.
pub(super) fn place(columns: &Schema, name: &str) -> Result<usize, String> {
    let fields = columns.fields();
    if let Some(exact) = fields.iter().position(|f| f.name() == name) {
        return Ok(exact);
    }
    let is = |f: &std::sync::Arc<arrow::datatypes::Field>| f.name().eq_ignore_ascii_case(name);
    let mut alike = fields.iter().enumerate().filter(|(_, f)| is(f));
    match (alike.next(), alike.next()) {
        (Some((one, _)), None) => Ok(one),
        (None, _) => Err(format!("there is no column \"{name}\" to be a key")),
        _ => Err(format!("\"{name}\" may mean several columns")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter([
            (
                "City",
                Arc::new(StringArray::from(vec![Some("a\"b"), None])) as _,
            ),
            ("n", Arc::new(Int64Array::from(vec![1, 2])) as _),
        ])
        .unwrap()
    }

    fn written(keys: &[&str], keyed: bool, value: &str, key: &str) -> Vec<(String, String)> {
        let keys: Vec<String> = keys.iter().map(|k| (*k).to_owned()).collect();
        let forms = (Some(value), Some(key));
        let encoder = Encoder::new(batch().schema_ref(), &keys, keyed, forms).unwrap();
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        encoder
            .rows::<()>(&batch(), &mut |key, value| {
                all.push((key.map_or("none".into(), text), text(value)));
                Ok(())
            })
            .unwrap();
        let mut keys = Vec::new();
        encoder.keys(&batch(), &mut |key| keys.push(text(key)));
        if keyed {
            assert!(all.iter().map(|(k, _)| k).eq(&keys));
        }
        all
    }

    #[test]
    fn keys_and_values_have_the_form_that_was_asked_for() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            written(&["city", "n"], true, "json", "json"),
            [
                pair(r#"{"City":"a\"b","n":1}"#, r#"{"City":"a\"b","n":1}"#),
                pair(r#"{"City":null,"n":2}"#, r#"{"City":null,"n":2}"#)
            ]
        );
        assert_eq!(
            written(&["city"], true, "csv", "string"),
            [pair("a\"b", "\"a\"\"b\",1"), pair("null", ",2")]
        );
        assert_eq!(written(&[], false, "csv", "json")[0].0, "none");
        assert_eq!(written(&[], true, "json", "json")[0].0, "{}");
        let wrong = |keys: &[String], key| {
            Encoder::new(batch().schema_ref(), keys, false, (None, key)).unwrap_err()
        };
        assert!(wrong(&["x".into()], None).contains("no column"));
        assert!(wrong(&[], Some("string")).contains("one key column"));
        assert!(wrong(&[], Some("avro")).contains("avro"));
    }
}
