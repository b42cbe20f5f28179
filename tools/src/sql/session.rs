//! One run of the shell: the server it talks to, how results are shown and where they go.

use super::client::{Client, Reply};
use super::failure::{Failure, explain};
use super::live;
use super::script::{Piece, PieceKind, Script};
use super::show::{Output, table_of};
use super::table::Style;
use super::{Format, command};
use bytes::Bytes;
use query_lang::ast::StatementKind;
use std::fs::File;
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};

/// Scripts that include scripts end somewhere.
const MAX_DEPTH: usize = 16;

/// Whether the shell goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// With the next piece.
    Continue,
    /// It ends.
    Quit,
}

/// A run of the shell.
pub(super) struct Session {
    runtime: Runtime,
    client: Client,
    /// Where results go.
    pub out: Output,
    /// How results are shown.
    pub format: Format,
    /// Whether the time of each statement is told.
    pub timing: bool,
    /// Whether names may have changed since they were last asked for.
    pub names_changed: bool,
    /// Whether the server did not answer last.
    pub lost: bool,
    database: Option<String>,
    depth: usize,
}

impl Session {
    /// A session with the server at `url`.
    pub(super) fn new(url: &str, format: Format, style: Style) -> anyhow::Result<Session> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Session {
            runtime,
            client: Client::new(url)?,
            out: Output::new(style),
            format,
            timing: false,
            names_changed: true,
            lost: false,
            database: None,
            depth: 0,
        })
    }

    /// Where the server is.
    pub(super) fn url(&self) -> &str {
        self.client.url()
    }

    /// Runs a script to its end or its first failure, which is shown with its place in `source`.
    pub(super) fn run_script(
        &mut self,
        reader: impl BufRead,
        source: &str,
    ) -> Result<Flow, Failure> {
        let mut script = Script::new(reader);
        let unreadable = |e| Failure::File {
            path: source.to_owned(),
            source: e,
        };
        while let Some(piece) = script.next().map_err(unreadable)? {
            match self.run(&piece) {
                Ok(Flow::Continue) => {}
                Err(failure @ (Failure::Unread | Failure::Cancelled | Failure::Shown)) => {
                    return Err(failure);
                }
                Err(failure) => {
                    self.out.flush()?;
                    eprint!("{}", explain(&failure, &piece, Some(source)));
                    return Err(Failure::Shown);
                }
                Ok(Flow::Quit) => return Ok(Flow::Quit),
            }
        }
        self.out.flush()?;
        Ok(Flow::Continue)
    }

    /// Runs the script in a file.
    pub(super) fn run_file(&mut self, path: &str) -> Result<Flow, Failure> {
        if self.depth == MAX_DEPTH {
            return Err(Failure::Command(format!(
                "{path}: scripts include each other {MAX_DEPTH} deep"
            )));
        }
        let file = File::open(path).map_err(|source| Failure::File {
            path: path.to_owned(),
            source,
        })?;
        self.depth += 1;
        let flow = self.run_script(BufReader::new(file), path);
        self.depth -= 1;
        flow
    }

    /// Runs one piece.
    pub(super) fn run(&mut self, piece: &Piece) -> Result<Flow, Failure> {
        if piece.kind == PieceKind::Command {
            return command::run(self, &piece.text);
        }
        let begun = Instant::now();
        // What does not parse here is sent all the same: the server's word counts.
        let parsed = query_lang::parse_statements(&piece.text).ok();
        let kind = parsed.as_ref().and_then(|s| s.first()).map(|s| &s.kind);
        let emits = matches!(kind, Some(StatementKind::Query(query)) if query.emit.is_some());
        let server_ms = match (emits, self.format) {
            (true, Format::Table) => self.follow(&piece.text).map(|()| None),
            (_, Format::Table) => self.show_table(&piece.text),
            _ => self.pass_through(&piece.text).map(|()| None),
        }?;
        match kind {
            Some(
                StatementKind::Query(_)
                | StatementKind::Show { .. }
                | StatementKind::Describe { .. },
            ) => {}
            Some(StatementKind::Use { database }) => self.database = Some(database.value.clone()),
            _ => self.names_changed = true,
        }
        if self.timing {
            let (took, server) = (
                ms(begun.elapsed()),
                server_ms.map(|t| format!(", {t:.1} ms of it in the server")),
            );
            writeln!(self.out, "Time: {took:.1} ms{}", server.unwrap_or_default())?;
        }
        self.out.flush()?;
        Ok(Flow::Continue)
    }

    /// Shows the result of a statement as a table; gives the server's time.
    pub(super) fn show_table(&mut self, text: &str) -> Result<Option<f64>, Failure> {
        let body = self.ask(text)?;
        let reply = Reply::parse(&body)?;
        for notice in &reply.notices {
            eprintln!("notice: {}", super::cell::visible(notice));
        }
        if reply.columns.is_empty() {
            let message = reply.message.as_deref().unwrap_or("ok");
            writeln!(self.out, "{}", super::cell::visible(message))?;
        } else {
            let table = table_of(&reply.columns, &reply.rows);
            let style = self.out.style();
            table.write(style, &mut self.out)?;
            writeln!(self.out, "({})", super::show::rows(table.rows.len()))?;
        }
        Ok(reply.elapsed_ms)
    }

    /// Writes a result in the server's own words, as they come.
    fn pass_through(&mut self, text: &str) -> Result<(), Failure> {
        let accept = match self.format {
            Format::Csv => "text/csv",
            Format::Ndjson => "application/x-ndjson",
            Format::Json | Format::Table => "application/json",
        };
        let options = self.options();
        let (handle, client, out) = (self.handle(), self.client.clone(), &mut self.out);
        handle.block_on(cancellable(async {
            let mut body = client.sql_as(text, &options, accept).await?.into_body();
            let mut last = b'\n';
            while let Some(data) = client.chunk(&mut body).await? {
                out.write_all(&data)?;
                // A stream shows each piece when it is there.
                out.flush()?;
                last = data.last().copied().unwrap_or(last);
            }
            if last != b'\n' {
                out.write_all(b"\n")?;
            }
            Ok(())
        }))
    }

    /// Shows the changes of a continuous query until Ctrl-C.
    fn follow(&mut self, text: &str) -> Result<(), Failure> {
        let (handle, url) = (self.handle(), self.client.url().to_owned());
        handle.block_on(live::follow(
            &url,
            text,
            self.database.as_deref(),
            &mut self.out,
        ))
    }

    /// The names of one column of a statement's result: the column called one of `wanted`, else the first.
    pub(super) fn names(&mut self, text: &str, wanted: &[&str]) -> Result<Vec<String>, Failure> {
        let body = self.ask(text)?;
        let reply = Reply::parse(&body)?;
        let at = reply
            .columns
            .iter()
            .position(|c| wanted.contains(&c.name.as_str()))
            .unwrap_or(0);
        let cells = reply.rows.iter().filter_map(|row| row.get(at));
        Ok(cells
            .filter_map(|cell| serde_json::from_str(cell.get()).ok())
            .collect())
    }

    /// Asks whether the server is there.
    pub(super) fn greet(&mut self) -> Result<(), Failure> {
        self.names("SHOW STREAMS", &[]).map(drop)
    }

    /// The body of a statement's JSON reply.
    fn ask(&self, text: &str) -> Result<Bytes, Failure> {
        let options = self.options();
        let asked = async { Ok(self.client.sql(text, &options).await?) };
        self.handle().block_on(cancellable(asked))
    }

    fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// What goes into the URL of each request: requests know nothing of each other, so the database that was
    /// chosen by `USE` is said each time.
    fn options(&self) -> String {
        self.database
            .as_ref()
            .map_or_else(String::new, |db| format!("db={}", percent(db)))
    }
}

/// Ends early at Ctrl-C; what was asked is dropped then, and with it the server's work.
async fn cancellable<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Cancelled),
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A text as part of a URL.
pub(super) fn percent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut out, b| {
            if plain(b) {
                out.push(char::from(b));
            } else {
                out.push_str(&format!("%{b:02X}"));
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn urls_hold_any_name() {
        assert_eq!(percent("metrics-1.x_~"), "metrics-1.x_~");
        assert_eq!(percent("a b&c=ø"), "a%20b%26c%3D%C3%B8");
    }
}
