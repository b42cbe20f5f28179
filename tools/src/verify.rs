//! `tidemill verify`: reads all that a data directory holds and compares it with its checksums and with itself.

use crate::demo::progress::grouped;
use crate::inspect::checkpoint::{Checkpoints, VIEW};
use crate::inspect::problems_json;
use crate::sql::cell::visible;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use tsdb::inspect::{DataDir, Findings, Problem};

/// Exit status when damage was found.
const DAMAGE: u8 = 1;
/// Exit status when it could not be told.
const COULD_NOT_RUN: u8 = 2;

/// Options of `tidemill verify`.
#[derive(clap::Args)]
pub struct VerifyArgs {
    /// Where the data lies
    #[arg(
        long,
        env = "TIDEMILL_DATA_DIR",
        value_name = "DIR",
        default_value = "./tidemill-data"
    )]
    data_dir: PathBuf,
    /// Print one JSON object and no progress
    #[arg(long)]
    json: bool,
}

/// Verifies and gives the exit status: 0 clean, 1 damage found, 2 could not run.
pub fn run(args: &VerifyArgs) -> u8 {
    let verified = match verify(args) {
        Ok(verified) => verified,
        Err(error) => {
            eprintln!("error: {error:#}");
            return COULD_NOT_RUN;
        }
    };
    // Who has stopped reading still gets the status.
    let _ = verified.tell(args.json);
    if verified.findings.damage.is_empty() {
        0
    } else {
        DAMAGE
    }
}

struct Verified {
    findings: Findings,
    /// Checkpoint files read.
    checkpoints: u64,
}

fn verify(args: &VerifyArgs) -> anyhow::Result<Verified> {
    let dir = DataDir::open(&args.data_dir)?;
    let bar = progress(dir.bytes()?, args.json);
    let mut findings = tsdb::inspect::verify(&dir, &mut |bytes| bar.inc(bytes))?;
    let views = findings.catalog.objects(VIEW);
    let checkpoints = Checkpoints::read(&dir, &views, &mut |bytes| bar.inc(bytes))?;
    bar.finish_and_clear();
    let end = findings.last_lsn;
    for checkpoint in checkpoints.files.iter().filter(|c| c.head.lsn > end) {
        let what = format!(
            "is of commit {}, and the log ends at {end}",
            checkpoint.head.lsn
        );
        findings.damage.push(Problem::of(&checkpoint.file, what));
    }
    findings.damage.extend(checkpoints.damage);
    findings.notes.extend(checkpoints.notes);
    findings.checked.files += checkpoints.read.0;
    findings.checked.bytes += checkpoints.read.1;
    Ok(Verified {
        findings,
        checkpoints: checkpoints.read.0,
    })
}

/// The progress line; hidden unless people look on.
fn progress(bytes: u64, json: bool) -> ProgressBar {
    if json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    let template = "{elapsed_precise} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

impl Verified {
    fn tell(&self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if as_json {
            return writeln!(out, "{}", self.json());
        }
        for (word, problems) in [
            ("damage", &self.findings.damage),
            ("note", &self.findings.notes),
        ] {
            for problem in problems {
                writeln!(out, "{word}: {}", visible(&problem.to_string()))?;
            }
        }
        let c = &self.findings.checked;
        writeln!(
            out,
            "checked {} files, {} bytes: {} edits of the manifest, {} catalog files, {} log records with {} rows, \
             {} segments with {} rows in {} chunks, {} checkpoints",
            c.files,
            grouped(c.bytes),
            c.edits,
            c.catalog_files,
            grouped(c.wal_records),
            grouped(c.wal_rows),
            c.segments,
            grouped(c.rows),
            grouped(c.chunks),
            self.checkpoints,
        )?;
        match self.findings.damage.len() {
            0 => writeln!(out, "no damage"),
            n => writeln!(out, "{n} found damaged"),
        }
    }

    fn json(&self) -> Value {
        let c = &self.findings.checked;
        json!({
            "damage": problems_json(&self.findings.damage),
            "notes": problems_json(&self.findings.notes),
            "checked": {
                "files": c.files, "bytes": c.bytes, "manifest_edits": c.edits,
                "catalog_files": c.catalog_files, "wal_records": c.wal_records, "wal_rows": c.wal_rows,
                "segments": c.segments, "segment_rows": c.rows, "chunks": c.chunks,
                "checkpoints": self.checkpoints,
            },
            "last_lsn": self.findings.last_lsn.0,
        })
    }
}
