//! Commands to the shell itself, which begin with a backslash.

use super::Format;
use super::failure::Failure;
use super::session::{Flow, Session};
use clap::ValueEnum;
use std::io::Write;
use std::path::Path;

const HELP: &str = "\
Statements end with `;` and may span lines. Ctrl-C cancels, Ctrl-D ends the shell.

  \\d            streams and views
  \\d NAME       columns of a stream or view
  \\format F     how results are shown: table, csv, json or ndjson
  \\timing       tell the time of each statement, or stop it: \\timing on|off
  \\i FILE       run the script in a file
  \\o FILE       write results to a file; without a name to the terminal again
  \\?            this page
  \\q            end the shell

A query that ends with EMIT CHANGES or EMIT FINAL runs until Ctrl-C; in tables + is a row that came and - one that went.
";

/// The commands, for completion.
pub(super) const COMMANDS: &[&str] = &["\\?", "\\d", "\\format", "\\i", "\\o", "\\q", "\\timing"];

/// Runs a command.
pub(super) fn run(session: &mut Session, text: &str) -> Result<Flow, Failure> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match (name, rest) {
        ("\\q", "") => return Ok(Flow::Quit),
        ("\\?", "") => session.out.write_all(HELP.as_bytes())?,
        ("\\d", "") => list(session)?,
        ("\\d", name) => drop(session.show_table(&format!("DESCRIBE {name}"))?),
        ("\\timing", "") => session.timing = !session.timing,
        ("\\timing", "on") => session.timing = true,
        ("\\timing", "off") => session.timing = false,
        ("\\format", "") => {
            let format = session.format;
            writeln!(session.out, "{format}")?;
        }
        ("\\format", name) => {
            session.format = Format::from_str(name, true).map_err(|_| {
                Failure::Command(format!(
                    "\\format: {name} is none of table, csv, json, ndjson"
                ))
            })?;
        }
        ("\\i", "") => return Err(Failure::Command("\\i wants a file".into())),
        ("\\i", path) => return session.run_file(path),
        ("\\o", path) => {
            let target = (!path.is_empty()).then(|| Path::new(path));
            let unwritable = |source| Failure::File {
                path: path.to_owned(),
                source,
            };
            session.out.redirect(target).map_err(unwritable)?;
        }
        _ => {
            return Err(Failure::Command(format!(
                "{text}: no such command; \\? lists them"
            )));
        }
    }
    session.out.flush()?;
    Ok(Flow::Continue)
}

fn list(session: &mut Session) -> Result<(), Failure> {
    for (title, statement) in [("Streams", "SHOW STREAMS"), ("Views", "SHOW VIEWS")] {
        writeln!(session.out, "{title}")?;
        session.show_table(statement)?;
    }
    Ok(())
}
