//! Saved states of views, as `docs/formats/checkpoint.md` has them: the frame around a state, not the state itself,
//! which only the view's own plan can read.

use super::out::{Out, grouped, number, problems_json, text, time};
use crate::sql::cell::Kind;
use query::view::saved::{self, SavedState};
use serde_json::{Value, json};
use tsdb::inspect::{DataDir, Problem};
use tsdb::{Lsn, Object};

/// The kind under which the catalog keeps views.
pub(crate) const VIEW: &str = "view";

const DIR: &str = "checkpoints";
/// The view and the LSN in a checkpoint's name.
pub(crate) fn parse_name(name: &str) -> Option<(u64, Lsn)> {
    let (view, lsn) = name.strip_suffix(".ck")?.split_once('-')?;
    let hex = |text: &str| {
        u64::from_str_radix(text, 16)
            .ok()
            .filter(|_| text.len() == 16)
    };
    Some((hex(view)?, Lsn(hex(lsn)?)))
}

/// One checkpoint file.
pub(crate) struct Checkpoint {
    pub file: String,
    pub bytes: u64,
    /// `database.view`, where the catalog has it.
    pub view: Option<String>,
    pub head: SavedState,
    /// Whether it is of the view's present definition.
    pub current: bool,
}

/// All checkpoints.
#[derive(Default)]
pub(crate) struct Checkpoints {
    pub files: Vec<Checkpoint>,
    /// Files and bytes read.
    pub read: (u64, u64),
    pub damage: Vec<Problem>,
    pub notes: Vec<Problem>,
}

impl Checkpoints {
    /// Reads and checks all of them; `progress` is told of the bytes.
    pub fn read(
        dir: &DataDir,
        views: &[Object],
        progress: &mut dyn FnMut(u64),
    ) -> anyhow::Result<Checkpoints> {
        let mut all = Checkpoints::default();
        for entry in dir.list(DIR)? {
            let file = format!("{DIR}/{}", entry.name);
            let Some((id, lsn)) = parse_name(&entry.name) else {
                let what = "is no checkpoint; one that was never finished, perhaps";
                all.notes.push(Problem::of(file, what));
                continue;
            };
            match dir.read(&file) {
                Ok(bytes) => {
                    all.read = (all.read.0 + 1, all.read.1 + bytes.len() as u64);
                    all.add(file, id, lsn, &bytes, views);
                }
                Err(problem) => all.damage.push(problem),
            }
            progress(entry.len);
        }
        Ok(all)
    }

    fn add(&mut self, file: String, id: u64, lsn: Lsn, bytes: &[u8], views: &[Object]) {
        let head = match SavedState::read(bytes) {
            Ok(head) => head,
            Err(what) => return self.damage.push(Problem::at(file, 0, what)),
        };
        if head.lsn != lsn {
            let what = format!("is of commit {}, and named after {lsn}", head.lsn);
            self.damage.push(Problem::at(&file, 20, what));
        }
        let view = views
            .iter()
            .find_map(|v| Some((v, saved::identity(v).filter(|i| i.0 == id)?.1)));
        self.files.push(Checkpoint {
            bytes: bytes.len() as u64,
            view: view.map(|(v, _)| format!("{}.{}", v.db, v.name)),
            current: view.is_some_and(|(_, hash)| hash == head.definition),
            file,
            head,
        });
    }

    pub(super) fn show(&self, out: &mut Out) {
        out.heading("Checkpoints of views");
        let head = [
            ("file", Kind::Text),
            ("view", Kind::Text),
            ("definition", Kind::Text),
            ("kind", Kind::Text),
            ("lsn", Kind::Number),
            ("bytes", Kind::Number),
            ("watermark", Kind::Time),
        ];
        let rows = self.files.iter().map(|c| {
            vec![
                text(&c.file),
                c.view.as_deref().and_then(text),
                text(if c.current { "present" } else { "another" }),
                text(c.kind()),
                number(c.head.lsn),
                grouped(c.bytes),
                c.head.watermark.map(time),
            ]
        });
        out.table(&head, rows.collect());
        out.problems(&self.damage, &self.notes);
    }

    pub(super) fn json(&self) -> Value {
        let files = self.files.iter().map(|c| {
            json!({
                "file": c.file, "view": c.view, "present_definition": c.current, "kind": c.kind(),
                "lsn": c.head.lsn.0, "bytes": c.bytes, "slices": c.head.slices, "state_bytes": c.head.bytes,
                "watermark": c.head.watermark,
            })
        });
        json!({
            "files": files.collect::<Value>(), "damage": problems_json(&self.damage),
            "notes": problems_json(&self.notes),
        })
    }
}

impl Checkpoint {
    /// Views that only choose and compute rows have no state to save.
    fn kind(&self) -> &'static str {
        if self.head.bytes == 0 {
            "rows, without state"
        } else {
            "groups"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_view_and_an_lsn() {
        let name = "00000000000000ff-0000000000000010.ck";
        assert_eq!(parse_name(name), Some((255, Lsn(16))));
        for other in ["x.ck", "00ff-0010.ck", "00000000000000ff.part", ""] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }
}
