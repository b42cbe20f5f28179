//! `tidemill inspect`: what lies in a data directory, told without a server and without a byte changed.

mod catalog;
pub(crate) mod checkpoint;
mod manifest;
mod out;
mod segments;
mod streams;
mod wal;

use crate::sql::table::Style;
use anyhow::Context;
use checkpoint::Checkpoints;
use out::Out;
pub(crate) use out::problems_json;
use serde_json::{Map, Value};
use std::path::PathBuf;
use tsdb::inspect::wal::WalFile;
use tsdb::inspect::{CatalogReport, DataDir, Judgement, ManifestReport, judge};

/// Options of `tidemill inspect`.
#[derive(clap::Args)]
pub struct InspectArgs {
    /// What to show [default: all of it]
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Where the data lies
    #[arg(
        long,
        env = "TIDEMILL_DATA_DIR",
        value_name = "DIR",
        default_value = "./tidemill-data"
    )]
    data_dir: PathBuf,
    /// Show each log record and each edit of the manifest
    #[arg(long)]
    records: bool,
    /// Show the zone map of each chunk
    #[arg(long)]
    zones: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A part of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Streams: columns, rows, time range, bytes
    Streams,
    /// Segments: files, encodings and bytes of each column
    Segments,
    /// The log: files, records, LSNs, the torn end
    Wal,
    /// The manifest: edits, and what lives by them
    Manifest,
    /// Catalog files, databases and views
    Catalog,
    /// Saved states of views
    Checkpoints,
}

const ALL: [Part; 6] = [
    Part::Streams,
    Part::Segments,
    Part::Wal,
    Part::Manifest,
    Part::Catalog,
    Part::Checkpoints,
];

/// What all parts are told from.
struct Contents {
    dir: DataDir,
    manifest: ManifestReport,
    /// The catalog of the files and of the log behind them.
    catalog: CatalogReport,
    wal: Vec<WalFile>,
    judgement: Judgement,
    streams: Vec<tsdb::inspect::StreamReport>,
}

impl Contents {
    /// Reads everything but segments and checkpoints.
    fn read(dir: DataDir) -> anyhow::Result<Contents> {
        let manifest = dir.manifest()?;
        let catalog = dir.catalog(&manifest)?;
        let wal = dir.wal()?;
        let judgement = judge(&wal, manifest.state.flushed);
        let streams = dir.streams(&manifest, &catalog.catalog, &wal, &judgement)?;
        Ok(Contents {
            dir,
            manifest,
            catalog,
            wal,
            judgement,
            streams,
        })
    }

    fn checkpoints(&self) -> anyhow::Result<Checkpoints> {
        Checkpoints::read(&self.dir, &catalog::views(self), &mut |_| {})
    }

    /// A stream's name with its database.
    fn stream_name(&self, id: tsdb::StreamId) -> String {
        match self.catalog.catalog.stream_by_id(id) {
            Some(stream) => format!("{}.{}", stream.db, stream.name),
            None => format!("#{id}, dropped"),
        }
    }
}

/// Shows the parts asked for.
///
/// # Errors
/// When the directory can't be read, holds no database, or is in use.
pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let contents = Contents::read(DataDir::open(&args.data_dir)?)?;
    let parts = match args.parts.as_slice() {
        [] => &ALL[..],
        chosen => chosen,
    };
    if args.json {
        let mut all = Map::new();
        for part in parts {
            let (name, value) = json(*part, args, &contents)?;
            all.insert(name.to_owned(), value);
        }
        println!("{}", Value::Object(all));
        return Ok(());
    }
    let mut out = Out::new(Style::of_stdout());
    for part in parts {
        match part {
            Part::Streams => streams::show(&contents, &mut out),
            Part::Segments => segments::show(&contents, args.zones, &mut out),
            Part::Wal => wal::show(&contents, args.records, &mut out),
            Part::Manifest => manifest::show(&contents, args.records, &mut out),
            Part::Catalog => catalog::show(&contents, &mut out),
            Part::Checkpoints => contents.checkpoints()?.show(&mut out),
        }
    }
    match out.print() {
        // Who stops reading, as `head` does, has what he wanted.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("writing the tables"),
    }
}

fn json(
    part: Part,
    args: &InspectArgs,
    contents: &Contents,
) -> anyhow::Result<(&'static str, Value)> {
    Ok(match part {
        Part::Streams => ("streams", streams::json(contents)),
        Part::Segments => ("segments", segments::json(contents, args.zones)),
        Part::Wal => ("wal", wal::json(contents, args.records)),
        Part::Manifest => ("manifest", manifest::json(contents, args.records)),
        Part::Catalog => ("catalog", catalog::json(contents)),
        Part::Checkpoints => ("checkpoints", contents.checkpoints()?.json()),
    })
}
