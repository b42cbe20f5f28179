//! `tidemill sql`: a shell that talks SQL to a server over HTTP. At a terminal it has a prompt, history and
//! completion; otherwise it runs a script and stops at the first error.

pub(crate) mod cell;
pub(crate) mod client;
mod command;
mod complete;
mod failure;
mod live;
mod prompt;
mod script;
mod session;
mod show;
pub(crate) mod table;

use failure::Failure;
use session::{Flow, Session};
use std::fmt;
use std::io::{IsTerminal, stdin, stdout};
use table::Style;

/// Options of `tidemill sql`.
#[derive(clap::Args)]
pub struct SqlArgs {
    /// Where the server is.
    #[arg(long, env = "TIDEMILL_URL", default_value = "http://127.0.0.1:8081")]
    url: String,
    /// Run this SQL and end; may be given several times.
    #[arg(short, long, value_name = "SQL", conflicts_with = "file")]
    command: Vec<String>,
    /// Run the script in this file and end; `-` is the standard input.
    #[arg(short, long, value_name = "FILE")]
    file: Vec<String>,
    /// How results are shown.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// Comma-separated values with a header line.
    Csv,
    /// The server's JSON reply.
    Json,
    /// One JSON object per row.
    Ndjson,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
        })
    }
}

/// Runs the shell and gives its exit status: 0, or 1 when something could not be done, or 130 after Ctrl-C.
///
/// # Errors
/// When the shell can't be set up: a URL that is none, a terminal that can't be read.
pub fn run(args: SqlArgs) -> anyhow::Result<u8> {
    let style = Style::of_stdout();
    let mut session = Session::new(&args.url, args.format, style)?;
    if args.command.is_empty()
        && args.file.is_empty()
        && stdin().is_terminal()
        && stdout().is_terminal()
    {
        return prompt::run(&mut session);
    }
    match run_scripts(&mut session, &args) {
        // Who stops reading, as `head` does, has what he wanted.
        Ok(_) | Err(Failure::Unread) => Ok(0),
        Err(Failure::Cancelled) => Ok(130),
        Err(Failure::Shown) => Ok(1),
        Err(failure) => {
            eprintln!("error: {failure}");
            Ok(1)
        }
    }
}

fn run_scripts(session: &mut Session, args: &SqlArgs) -> Result<Flow, Failure> {
    if args.command.is_empty() && args.file.is_empty() {
        return session.run_script(stdin().lock(), "stdin");
    }
    for sql in &args.command {
        if session.run_script(sql.as_bytes(), "-c")? == Flow::Quit {
            return Ok(Flow::Quit);
        }
    }
    for path in &args.file {
        let flow = match path.as_str() {
            "-" => session.run_script(stdin().lock(), "stdin")?,
            path => session.run_file(path)?,
        };
        if flow == Flow::Quit {
            return Ok(Flow::Quit);
        }
    }
    Ok(Flow::Continue)
}
