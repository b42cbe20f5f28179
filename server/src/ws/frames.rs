//! Frames as text. What many subscribers get is written once and shared.

use crate::encode::{json_columns, json_rows, json_string, rfc3339};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use query::view::Frame;
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, OnceLock, Weak};

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
        out.extend_from_slice(TYPE);
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"topic\":");
        json_string(&self.topic, &mut out);
        if let Some(id) = &self.id {
            out.extend_from_slice(b",\"id\":");
            json_string(id, &mut out);
        }
        out
    }

    /// A frame that was written for the topic alone, with the subscriber's own name of it.
    pub(crate) fn named(&self, text: &Utf8Bytes) -> Utf8Bytes {
        let Some(id) = &self.id else {
            return text.clone();
        };
        let mut topic = b"\",\"topic\":".to_vec();
        json_string(&self.topic, &mut topic);
        // The frame's type, which is a plain word, ends at the first quote behind the second.
        let bytes = text.as_bytes();
        let kind = TYPE.len()
            + bytes[TYPE.len()..]
                .iter()
                .take_while(|b| **b != b'"')
                .count();
        let (head, rest) = bytes.split_at((kind + topic.len()).min(bytes.len()));
        debug_assert!(head.ends_with(&topic), "not a frame of this topic");
        let mut out = Vec::with_capacity(bytes.len() + id.len() + 16);
        out.extend_from_slice(head);
        out.extend_from_slice(b",\"id\":");
        json_string(id, &mut out);
        out.extend_from_slice(rest);
        whole(out)
    }
}

/// How every frame begins.
const TYPE: &[u8] = b"{\"type\":\"";

/// A finished frame. All its parts are text that was valid before.
fn whole(out: Vec<u8>) -> Utf8Bytes {
    String::from_utf8(out)
        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
        .into()
}

/// Ends a frame.
pub(crate) fn text(mut out: Vec<u8>) -> Utf8Bytes {
    out.push(b'}');
    whole(out)
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

/// What a topic's frames belong to: the definition that was followed, unless there was none.
fn epoch_of(epoch: Option<u64>, out: &mut Vec<u8>) {
    if let Some(epoch) = epoch {
        put!(out, ",\"epoch\":{}", shown_epoch(epoch));
    }
}

pub(crate) fn gap(
    label: &Label,
    epoch: Option<u64>,
    from: u64,
    to: u64,
    reason: &str,
) -> Utf8Bytes {
    let mut out = label.start("gap");
    epoch_of(epoch, &mut out);
    put!(out, ",\"from\":{from},\"to\":{to},\"reason\":");
    json_string(reason, &mut out);
    text(out)
}

pub(crate) fn heartbeat(
    label: &Label,
    epoch: Option<u64>,
    seq: u64,
    watermark: Option<i64>,
) -> Utf8Bytes {
    let mut out = label.start("heartbeat");
    epoch_of(epoch, &mut out);
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

pub(crate) fn closing(label: &Label, epoch: Option<u64>, reason: &str) -> Utf8Bytes {
    let mut out = label.start("closing");
    epoch_of(epoch, &mut out);
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

/// The parts of a snapshot, each written when it is asked for: a large one is never there whole.
pub(crate) fn snapshot<'a>(
    label: &'a Label,
    epoch: u64,
    seq: u64,
    all: &'a RecordBatch,
) -> impl Iterator<Item = Utf8Bytes> + 'a {
    let epoch = shown_epoch(epoch);
    let parts = all.num_rows().div_ceil(PART_ROWS).max(1);
    (0..parts).map(move |n| {
        let from = n * PART_ROWS;
        let batch = all.slice(from, PART_ROWS.min(all.num_rows() - from));
        let mut out = label.start("snapshot");
        put!(out, ",\"epoch\":{epoch},\"seq\":{seq},\"rows\":");
        rows(&batch, &mut out);
        put!(out, ",\"done\":{}", n + 1 == parts);
        text(out)
    })
}

/// What changed between two commits.
pub(crate) fn changes(
    label: &Label,
    epoch: u64,
    (prev, seq): (u64, u64),
    insert: &RecordBatch,
    retract: &RecordBatch,
) -> Utf8Bytes {
    let mut out = label.start("changes");
    let epoch = shown_epoch(epoch);
    put!(
        out,
        ",\"epoch\":{epoch},\"prev\":{prev},\"seq\":{seq},\"insert\":"
    );
    rows(insert, &mut out);
    out.extend_from_slice(b",\"retract\":");
    rows(retract, &mut out);
    text(out)
}

/// The last changes of one topic as texts. Equal frames are one and the same `Arc`, which is how they are known again.
#[derive(Default)]
pub(crate) struct Shared {
    last: Mutex<VecDeque<Written>>,
}

/// A frame and its text, once somebody has written it.
type Written = (Arc<Frame>, Arc<OnceLock<Utf8Bytes>>);

impl Shared {
    /// The frame's text, written by whoever comes first; the others wait for that one alone.
    pub(crate) fn text(&self, frame: &Arc<Frame>, write: impl FnOnce() -> Utf8Bytes) -> Utf8Bytes {
        let known = {
            let mut last = self.last.lock();
            match last.iter().find(|(f, _)| Arc::ptr_eq(f, frame)) {
                Some((_, text)) => text.clone(),
                None => {
                    if last.len() == KEPT {
                        last.pop_front();
                    }
                    let text = Arc::<OnceLock<Utf8Bytes>>::default();
                    last.push_back((frame.clone(), text.clone()));
                    text
                }
            }
        };
        known.get_or_init(write).clone()
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
        assert_eq!(
            parsed(&changes(
                &label(None),
                7_000,
                (3, 5),
                &numbers(2),
                &numbers(1)
            )),
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
            parsed(&heartbeat(
                &label(None),
                Some(3_000),
                9,
                Some(1_500_000_000)
            )),
            json!({"type": "heartbeat", "topic": "view:a\"b", "epoch": 3, "seq": 9, "watermark": "1970-01-01T00:00:01.5Z"})
        );
        assert_eq!(
            parsed(&heartbeat(&label(None), None, 9, None)),
            json!({"type": "heartbeat", "topic": "view:a\"b", "seq": 9, "watermark": null})
        );
        assert_eq!(
            parsed(&gap(&label(None), Some(3_000), 4, 9, "why")),
            json!({"type": "gap", "topic": "view:a\"b", "epoch": 3, "from": 4, "to": 9, "reason": "why"})
        );
        assert_eq!(
            parsed(&closing(&label(Some("q")), Some(3_000), "why")),
            json!({"type": "closing", "topic": "view:a\"b", "id": "q", "epoch": 3, "reason": "why"})
        );
        assert_eq!(
            parsed(&error(None, Some("q"), "{\"code\":\"x\"}")),
            json!({"type": "error", "id": "q", "error": {"code": "x"}})
        );
    }

    #[test]
    fn a_shared_text_gets_the_name_that_a_subscriber_gave() {
        let batch = numbers(1);
        let written = |label: &Label| {
            [
                changes(label, 1_000, (1, 2), &batch, &batch),
                heartbeat(label, None, 9, None),
                closing(label, None, "view:a"),
            ]
        };
        let (shared, own) = (written(&label(None)), label(Some("my \"own\"")));
        for (text, expected) in shared.iter().zip(written(&own)) {
            assert_eq!(own.named(text), expected);
            assert_eq!(label(None).named(text), *text);
        }
    }

    #[test]
    fn a_large_snapshot_comes_in_parts_that_hold_each_row_once() {
        for n in [0, 1, PART_ROWS as i64, PART_ROWS as i64 * 2 + 1] {
            let (label, all) = (label(None), numbers(n));
            let parts: Vec<Value> = snapshot(&label, 0, 1, &all).map(|t| parsed(&t)).collect();
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
        let frame = || {
            Arc::new(Frame::Changes {
                prev: 0,
                seq: 1,
                insert: numbers(3),
                retract: numbers(0),
            })
        };
        let (first, other) = (frame(), frame());
        let (a, b) = (topics.of("t"), topics.of("t"));
        assert_eq!(a.text(&first, || "written".into()).as_str(), "written");
        let again = b.text(&first, || panic!("it is written already"));
        assert_eq!(again.as_str(), "written");
        assert_eq!(b.text(&other, || "other".into()).as_str(), "other");
    }

    #[test]
    fn writing_a_frame_keeps_nobody_from_another() {
        let shared = Shared::default();
        let frame = |seq| Arc::new(Frame::Gap { from: 0, to: seq });
        let text = shared.text(&frame(1), || {
            // The lock is free while a frame is being written.
            let inner = shared.text(&frame(2), || "second".into());
            format!("first after {}", inner.as_str()).into()
        });
        assert_eq!(text.as_str(), "first after second");
    }
}
