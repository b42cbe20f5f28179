//! The shell at a terminal: prompt, history, completion.

use super::complete::{Names, Prompt, quoted};
use super::failure::{Failure, explain};
use super::script::Script;
use super::session::{Flow, Session};
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use std::path::PathBuf;

const PROMPT: &str = "tidemill> ";
const HISTORY: usize = 10_000;
/// Columns are asked for of so many streams and views at most: a prompt must come at once.
const DESCRIBED: usize = 64;

/// Reads and runs until the end; gives the exit status.
pub(super) fn run(session: &mut Session) -> anyhow::Result<u8> {
    if let Err(failure) = session.greet() {
        eprintln!("error: {failure}");
        if failure.is_gone() {
            eprintln!(
                "  hint: `tidemill serve` or `tidemill demo` starts a server, `--url` names another"
            );
        }
        return Ok(1);
    }
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor: Editor<Prompt, FileHistory> = Editor::with_config(config)?;
    editor.set_auto_add_history(false);
    editor.set_helper(Some(Prompt::new()));
    let history = history_file();
    if let Some(path) = &history {
        // The first time there is none; one that can't be read is no reason not to work.
        let _ = editor.load_history(path);
    }
    println!("Tidemill at {}. \\? for help, \\q to end.", session.url());
    converse(session, &mut editor, history)
}

fn converse(
    session: &mut Session,
    editor: &mut Editor<Prompt, FileHistory>,
    mut history: Option<PathBuf>,
) -> anyhow::Result<u8> {
    loop {
        if session.names_changed
            && let Some(helper) = editor.helper_mut()
        {
            session.names_changed = false;
            // Without names there is less to complete; the next statement tells what is wrong.
            helper.names = names(session).unwrap_or_default();
        }
        let input = match editor.readline(PROMPT) {
            Ok(input) => input,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        if input.trim().is_empty() {
            continue;
        }
        editor.add_history_entry(input.as_str())?;
        // At once, and behind what other shells have written: however this one ends, its entry is kept.
        if let Some(path) = &history
            && let Err(error) = editor.append_history(path)
        {
            eprintln!(
                "notice: {}: the history is not saved: {error}",
                path.display()
            );
            history = None;
        }
        session
            .out
            .set_width(editor.dimensions().map(|(columns, _)| usize::from(columns)));
        if let Some(status) = run_input(session, &input)? {
            return Ok(status);
        }
    }
}

/// Runs what was typed; an exit status ends the shell. A server that does not answer does not: it may come back.
fn run_input(session: &mut Session, input: &str) -> anyhow::Result<Option<u8>> {
    let mut script = Script::new(input.as_bytes());
    while let Some(piece) = script.next()? {
        match session.run(&piece) {
            Ok(Flow::Continue) => {
                if std::mem::take(&mut session.lost) {
                    eprintln!("notice: {} answers again", session.url());
                    session.names_changed = true;
                }
            }
            Ok(Flow::Quit) => return Ok(Some(0)),
            Err(Failure::Unread) => return Ok(Some(0)),
            // Shown where it happened; the rest of what was typed is not run.
            Err(Failure::Shown) => return Ok(None),
            Err(Failure::Cancelled) => {
                // Behind the ^C that the terminal has shown.
                eprintln!("\ncancelled");
                return Ok(None);
            }
            Err(failure) => {
                eprint!("{}", explain(&failure, &piece, None));
                if failure.is_gone() {
                    session.lost = true;
                    eprintln!("  the next statement tries to reach it again");
                }
                return Ok(None);
            }
        }
    }
    Ok(None)
}

fn names(session: &mut Session) -> Result<Names, Failure> {
    let mut names = Names::default();
    for statement in ["SHOW STREAMS", "SHOW VIEWS"] {
        names
            .objects
            .extend(session.names(statement, &["name", "stream", "view"])?);
    }
    for object in names.objects.iter().take(DESCRIBED) {
        let statement = format!("DESCRIBE {}", quoted(object));
        names
            .columns
            .extend(session.names(&statement, &["column", "column_name", "name"])?);
    }
    names.columns.sort_unstable();
    names.columns.dedup();
    Ok(names)
}

/// Where the history is kept, its folder made when missing: the user's state directory.
fn history_file() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    let folder = state.join("tidemill");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("sql_history"))
}
