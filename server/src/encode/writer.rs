//! A whole answer in one of the forms, made in pieces.

use super::{
    Epoch, Form, csv_header, csv_rows, json_columns, json_objects, json_rows, json_string,
};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use std::io::Write;

/// What stands behind the rows of a JSON answer.
#[derive(Debug, Default)]
pub(crate) struct Tail<'a> {
    pub(crate) lsn: u64,
    /// Whether a view that was read is behind: its rows are those of an earlier commit than the streams'.
    pub(crate) lagging: bool,
    pub(crate) elapsed_ms: f64,
    pub(crate) message: Option<&'a str>,
    pub(crate) notices: &'a [String],
}

/// Makes an answer; [`Writer::take`] gives what is finished so far.
pub(crate) struct Writer {
    form: Form,
    epoch: Option<Epoch>,
    first: bool,
    out: Out,
}

enum Out {
    Text(Vec<u8>),
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Writer {
    pub(crate) fn new(
        form: Form,
        epoch: Option<Epoch>,
        schema: &Schema,
    ) -> Result<Writer, ArrowError> {
        let mut text = Vec::new();
        let out = match form {
            Form::Arrow => Out::Arrow(Box::new(StreamWriter::try_new(Vec::new(), schema)?)),
            Form::Json => {
                text.extend_from_slice(b"{\"columns\":");
                json_columns(schema, &mut text);
                text.extend_from_slice(b",\"rows\":[");
                Out::Text(text)
            }
            Form::Csv => {
                if !schema.fields().is_empty() {
                    csv_header(schema, &mut text);
                }
                Out::Text(text)
            }
            Form::Lines => Out::Text(text),
            Form::Events => {
                text.extend_from_slice(b"event: columns\ndata: {\"columns\":");
                json_columns(schema, &mut text);
                text.extend_from_slice(b"}\n\n");
                Out::Text(text)
            }
        };
        Ok(Writer {
            form,
            epoch,
            first: true,
            out,
        })
    }

    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        match (&mut self.out, self.form) {
            (Out::Arrow(writer), _) => writer.write(batch)?,
            (Out::Text(out), Form::Lines) => json_objects(batch, self.epoch, b"", b"\n", out),
            (Out::Text(out), Form::Events) => {
                json_objects(batch, self.epoch, b"event: row\ndata: ", b"\n\n", out);
            }
            (Out::Text(out), Form::Csv) => csv_rows(batch, self.epoch, out),
            (Out::Text(out), _) => json_rows(batch, self.epoch, &mut self.first, out),
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self, tail: &Tail<'_>) -> Result<(), ArrowError> {
        match &mut self.out {
            Out::Arrow(writer) => writer.finish(),
            Out::Text(out) => {
                match self.form {
                    Form::Json => {
                        out.extend_from_slice(b"],");
                        json_tail(tail, out);
                    }
                    Form::Events => {
                        out.extend_from_slice(b"event: end\ndata: {");
                        json_tail(tail, out);
                        out.extend_from_slice(b"\n\n");
                    }
                    _ => {}
                }
                Ok(())
            }
        }
    }

    /// Ends an answer that has begun and can't go on, where its form has words for that; `error` is JSON.
    pub(crate) fn fail(&mut self, error: &str) -> bool {
        match (&mut self.out, self.form) {
            (Out::Text(out), Form::Events) => {
                // Writing to a Vec can't fail.
                let _ = write!(out, "event: error\ndata: {{\"error\":{error}}}\n\n");
                true
            }
            _ => false,
        }
    }

    /// Bytes that are finished and not taken.
    pub(crate) fn len(&self) -> usize {
        match &self.out {
            Out::Text(out) => out.len(),
            Out::Arrow(writer) => writer.get_ref().len(),
        }
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        match &mut self.out {
            Out::Text(out) => std::mem::take(out),
            Out::Arrow(writer) => std::mem::take(writer.get_mut()),
        }
    }
}

/// The members behind the rows, and the end of the object.
fn json_tail(tail: &Tail<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec can't fail.
    let _ = write!(
        out,
        "\"lsn\":{},\"elapsed_ms\":{:.3}",
        tail.lsn, tail.elapsed_ms
    );
    if tail.lagging {
        out.extend_from_slice(b",\"lagging\":true");
    }
    if let Some(message) = tail.message {
        out.extend_from_slice(b",\"message\":");
        json_string(message, out);
    }
    if !tail.notices.is_empty() {
        out.extend_from_slice(b",\"notices\":[");
        for (i, notice) in tail.notices.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            json_string(notice, out);
        }
        out.push(b']');
    }
    out.push(b'}');
}
