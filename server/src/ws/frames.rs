//! Frames as text. What many subscribers get is written once and shared.

use crate::encode::{json_columns, json_rows, json_string, rfc3339};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use query::view::Frame;
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Weak};

/// Rows of a snapshot in one frame; a larger one comes in parts, `done` in the last.
const PART_ROWS: usize = 5_000;
/// Frames of a topic that are kept for those who are a little behind.
const KEPT: usize = 8;

/// The name under which a subscriber knows a subscription.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) topic: String,
    pub(crate) id: Option<String>,
}

impl Label {
    pub(crate) fn start(&self, kind: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"topic\":");
        json_string(&self.topic, &mut out);
        if let Some(id) = &self.id {
            out.extend_from_slice(b",\"id\":");
            json_string(id, &mut out);
        }
        out
    }
}

/// Ends a frame. All parts are text that was valid before.
pub(crate) fn text(mut out: Vec<u8>) -> Utf8Bytes {
    out.push(b'}');
    String::from_utf8(out)
        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
        .into()
}

macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        // Writing to a Vec can't fail.
        let _ = write!($out, $($arg)*);
    };
}

/// Epochs are nanoseconds of a definition; in microseconds every JSON reader holds them exactly.
pub(crate) fn shown_epoch(epoch: u64) -> u64 {
    epoch / 1000
}

pub(crate) fn subscribed(
    label: &Label,
    columns: &Schema,
    epoch: u64,
    seq: u64,
    notices: &[String],
) -> Utf8Bytes {
    let mut out = label.start("subscribed");
    out.extend_from_slice(b",\"columns\":");
    json_columns(columns, &mut out);
    put!(out, ",\"epoch\":{},\"seq\":{seq}", shown_epoch(epoch));
    if !notices.is_empty() {
        out.extend_from_slice(b",\"notices\":[");
        for (i, notice) in notices.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            json_string(notice, &mut out);
        }
        out.push(b']');
    }
    text(out)
}

pub(crate) fn gap(label: &Label, from: u64, to: u64, reason: &str) -> Utf8Bytes {
    let mut out = label.start("gap");
    put!(out, ",\"from\":{from},\"to\":{to},\"reason\":");
    json_string(reason, &mut out);
    text(out)
}

pub(crate) fn heartbeat(label: &Label, seq: u64, watermark: Option<i64>) -> Utf8Bytes {
    let mut out = label.start("heartbeat");
    put!(out, ",\"seq\":{seq},\"watermark\":");
    match watermark {
        Some(ns) => {
            out.push(b'"');
            rfc3339(ns, &mut out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    text(out)
}

pub(crate) fn closing(label: &Label, reason: &str) -> Utf8Bytes {
    let mut out = label.start("closing");
    out.extend_from_slice(b",\"reason\":");
    json_string(reason, &mut out);
    text(out)
}

/// Says that the whole connection ends.
pub(crate) fn closing_all(reason: &str) -> Utf8Bytes {
    let mut out = b"{\"type\":\"closing\",\"reason\":".to_vec();
    json_string(reason, &mut out);
    text(out)
}

/// An error; `error` is JSON.
pub(crate) fn error(topic: Option<&str>, id: Option<&str>, error: &str) -> Utf8Bytes {
    let mut out = b"{\"type\":\"error\"".to_vec();
    for (name, value) in [("topic", topic), ("id", id)] {
        if let Some(value) = value {
            put!(out, ",\"{name}\":");
            json_string(value, &mut out);
        }
    }
    put!(out, ",\"error\":{error}");
    text(out)
}

fn rows(batch: &RecordBatch, out: &mut Vec<u8>) {
    out.push(b'[');
    json_rows(batch, None, &mut true, out);
    out.push(b']');
}

/// A frame of a view as texts, in order.
pub(crate) fn encode(label: &Label, epoch: u64, frame: &Frame) -> Vec<Utf8Bytes> {
    let epoch = shown_epoch(epoch);
    match frame {
        Frame::Snapshot { seq, rows: all } => {
            let parts = all.num_rows().div_ceil(PART_ROWS).max(1);
            let part = |n: usize| {
                let from = n * PART_ROWS;
                let batch = all.slice(from, PART_ROWS.min(all.num_rows() - from));
                let mut out = label.start("snapshot");
                put!(out, ",\"epoch\":{epoch},\"seq\":{seq},\"rows\":");
                rows(&batch, &mut out);
                put!(out, ",\"done\":{}", n + 1 == parts);
                text(out)
            };
            (0..parts).map(part).collect()
        }
        Frame::Changes {
            prev,
            seq,
            insert,
            retract,
        } => {
            let mut out = label.start("changes");
            put!(
                out,
                ",\"epoch\":{epoch},\"prev\":{prev},\"seq\":{seq},\"insert\":"
            );
            rows(insert, &mut out);
            out.extend_from_slice(b",\"retract\":");
            rows(retract, &mut out);
            vec![text(out)]
        }
        Frame::Gap { from, to } => vec![gap(
            label,
            *from,
            *to,
            "the subscriber was too slow; a snapshot follows",
        )],
        Frame::Closed { reason } => vec![closing(label, reason)],
    }
}

type Texts = Arc<[Utf8Bytes]>;

/// The last frames of one topic as texts. Equal frames are one and the same `Arc`, which is how they are known again.
#[derive(Default)]
pub(crate) struct Shared {
    last: Mutex<VecDeque<(Arc<Frame>, Texts)>>,
}

impl Shared {
    /// The frame's texts, written by whoever comes first.
    pub(crate) fn encode(&self, label: &Label, epoch: u64, frame: &Arc<Frame>) -> Texts {
        let mut last = self.last.lock();
        if let Some((_, texts)) = last.iter().find(|(f, _)| Arc::ptr_eq(f, frame)) {
            return texts.clone();
        }
        let texts: Texts = encode(label, epoch, frame).into();
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back((frame.clone(), texts.clone()));
        texts
    }
}

/// The texts of all topics that somebody follows.
#[derive(Default)]
pub(crate) struct Topics(Mutex<HashMap<String, Weak<Shared>>>);

impl Topics {
    pub(crate) fn of(&self, topic: &str) -> Arc<Shared> {
        let mut all = self.0.lock();
        if let Some(shared) = all.get(topic).and_then(Weak::upgrade) {
            return shared;
        }
        all.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(Shared::default());
        all.insert(topic.to_owned(), Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatch};
    use serde_json::{Value, json};

    fn numbers(n: i64) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..n)) as _)])
            .unwrap()
    }

    fn label(id: Option<&str>) -> Label {
        Label {
            topic: "view:a\"b".into(),
            id: id.map(str::to_owned),
        }
    }

    fn parsed(text: &Utf8Bytes) -> Value {
        serde_json::from_str(text.as_str()).unwrap()
    }

    #[test]
    fn frames_have_the_form_that_clients_know() {
        let changes = Frame::Changes {
            prev: 3,
            seq: 5,
            insert: numbers(2),
            retract: numbers(1),
        };
        assert_eq!(
            parsed(&encode(&label(None), 7_000, &changes)[0]),
            json!({"type": "changes", "topic": "view:a\"b", "epoch": 7, "prev": 3, "seq": 5, "insert": [[0], [1]], "retract": [[0]]})
        );
        assert_eq!(
            parsed(&subscribed(
                &label(Some("q")),
                numbers(0).schema_ref(),
                1_000,
                2,
                &["x".into()]
            )),
            json!({"type": "subscribed", "topic": "view:a\"b", "id": "q", "columns": [{"name": "n", "type": "BIGINT"}], "epoch": 1, "seq": 2, "notices": ["x"]})
        );
        assert_eq!(
            parsed(&heartbeat(&label(None), 9, Some(1_500_000_000))),
            json!({"type": "heartbeat", "topic": "view:a\"b", "seq": 9, "watermark": "1970-01-01T00:00:01.5Z"})
        );
        assert_eq!(
            parsed(&error(None, Some("q"), "{\"code\":\"x\"}")),
            json!({"type": "error", "id": "q", "error": {"code": "x"}})
        );
    }

    #[test]
    fn a_large_snapshot_comes_in_parts_that_hold_each_row_once() {
        for n in [0, 1, PART_ROWS as i64, PART_ROWS as i64 * 2 + 1] {
            let texts = encode(
                &label(None),
                0,
                &Frame::Snapshot {
                    seq: 1,
                    rows: numbers(n),
                },
            );
            let parts: Vec<Value> = texts.iter().map(parsed).collect();
            let rows: Vec<i64> = parts
                .iter()
                .flat_map(|p| p["rows"].as_array().unwrap())
                .map(|r| r[0].as_i64().unwrap())
                .collect();
            assert_eq!(rows, (0..n).collect::<Vec<_>>());
            let done: Vec<bool> = parts.iter().map(|p| p["done"].as_bool().unwrap()).collect();
            assert!(
                done[..done.len() - 1].iter().all(|d| !d) && done[done.len() - 1],
                "{done:?}"
            );
        }
    }

    #[test]
    fn a_frame_is_written_once_for_all() {
        let topics = Topics::default();
        let frame = Arc::new(Frame::Snapshot {
            seq: 1,
            rows: numbers(3),
        });
        let (a, b) = (topics.of("t"), topics.of("t"));
        let first = a.encode(&label(None), 0, &frame);
        assert!(Arc::ptr_eq(&first, &b.encode(&label(None), 0, &frame)));
        let other = Arc::new(Frame::Snapshot {
            seq: 1,
            rows: numbers(3),
        });
        assert!(!Arc::ptr_eq(&first, &b.encode(&label(None), 0, &other)));
    }
}
