//! A continuous query in the terminal: its changes come over the WebSocket interface and are written as they come.

use super::cell::{Kind, visible};
use super::client::{ClientError, Column, Refusal};
use super::failure::Failure;
use super::show::{Output, table_of};
use super::table::{Style, Table, fit};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::Write;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

/// The header comes again after so many rows, so that it stays on the screen.
const HEADER_EVERY: usize = 40;

/// What a server sends.
#[derive(Debug, Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    columns: Vec<Column>,
    #[serde(default, borrow)]
    rows: Vec<Vec<&'a RawValue>>,
    #[serde(default, borrow)]
    insert: Vec<Vec<&'a RawValue>>,
    #[serde(default, borrow)]
    retract: Vec<Vec<&'a RawValue>>,
    #[serde(default)]
    error: Option<Refusal>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    notice: Option<String>,
    #[serde(default)]
    notices: Vec<String>,
}

/// Writes the changes of a continuous query until Ctrl-C or until the server ends it.
pub(super) async fn follow(
    url: &str,
    sql: &str,
    database: Option<&str>,
    out: &mut Output,
) -> Result<(), Failure> {
    let gone = |error: WsError| trouble(url, error);
    let address = format!("{}/ws", url.replacen("http://", "ws://", 1));
    let (mut socket, _) = tokio_tungstenite::connect_async(address)
        .await
        .map_err(gone)?;
    let mut subscribe = serde_json::json!({"action": "subscribe", "id": "1", "sql": sql});
    if let Some(db) = database {
        subscribe["db"] = db.into();
    }
    socket
        .send(Message::text(subscribe.to_string()))
        .await
        .map_err(gone)?;
    let mut changes = Changes::default();
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            _ = tokio::signal::ctrl_c() => {
                // The server ends the query when the connection ends, said or unsaid.
                let _ = socket.close(None).await;
                writeln!(out)?;
                out.flush()?;
                return Ok(());
            }
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                if !changes.take(&text, out)? {
                    return Ok(());
                }
            }
            Some(Ok(Message::Close(_))) | None => {
                let reason = "the connection ended".to_owned();
                return Err(ClientError::Gone {
                    url: url.to_owned(),
                    reason,
                }
                .into());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(gone(error).into()),
        }
    }
}

/// Why there is no connection, or no more: a server that answers but knows no WebSocket here is not gone.
fn trouble(url: &str, error: WsError) -> ClientError {
    match error {
        WsError::Http(response) => {
            let message = format!("{url} does not open a WebSocket: {}", response.status());
            ClientError::Refused(Box::new(Refusal {
                message,
                ..Refusal::default()
            }))
        }
        error => ClientError::Gone {
            url: url.to_owned(),
            reason: error.to_string(),
        },
    }
}

/// What was written so far.
#[derive(Default)]
struct Changes {
    columns: Vec<Column>,
    widths: Vec<usize>,
    since_header: Option<usize>,
}

impl Changes {
    /// Writes a frame; tells whether more may come.
    fn take(&mut self, text: &str, out: &mut Output) -> Result<bool, Failure> {
        let frame: Frame<'_> =
            serde_json::from_str(text).map_err(|e| ClientError::Reply(e.to_string()))?;
        for notice in frame.notices.iter().chain(&frame.notice) {
            eprintln!("notice: {}", visible(notice));
        }
        match frame.kind {
            "subscribed" => {
                self.columns = frame.columns;
                self.since_header = None;
            }
            "snapshot" => self.write(&[], &frame.rows, out)?,
            "changes" => self.write(&frame.retract, &frame.insert, out)?,
            "gap" => eprintln!("notice: changes were left out, what there is follows"),
            "error" => {
                let refusal = frame.error.unwrap_or_else(|| Refusal {
                    message: frame.message.unwrap_or_else(|| "the query ended".into()),
                    ..Refusal::default()
                });
                return Err(ClientError::Refused(Box::new(refusal)).into());
            }
            "closing" => {
                let why = frame
                    .reason
                    .or(frame.message)
                    .unwrap_or_else(|| "the server ends".into());
                eprintln!("notice: {}", visible(&why));
                return Ok(false);
            }
            // Heartbeats, and what later servers may say besides.
            _ => {}
        }
        Ok(true)
    }

    fn write(
        &mut self,
        retract: &[Vec<&RawValue>],
        insert: &[Vec<&RawValue>],
        out: &mut Output,
    ) -> Result<(), Failure> {
        let width = self.columns.len();
        if retract.iter().chain(insert).any(|row| row.len() != width) {
            return Err(ClientError::Reply(format!("a row that has not {width} cells")).into());
        }
        // A change of a row is its old form that goes and its new one that comes.
        let mut table = self.marked(retract, "-");
        table.rows.extend(self.marked(insert, "+").rows);
        let style = out.style();
        self.write_table(&table, style, out)?;
        out.flush()?;
        Ok(())
    }

    fn marked(&self, rows: &[Vec<&RawValue>], mark: &str) -> Table {
        let mut table = table_of(&self.columns, rows);
        table.columns.insert(0, (" ".to_owned(), Kind::Number));
        for row in &mut table.rows {
            row.insert(0, Some(mark.to_owned()));
        }
        table
    }

    /// Columns only grow, so that rows stay below each other; a header comes when they did.
    fn write_table(
        &mut self,
        table: &Table,
        style: Style,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        let mut widths = table.widths();
        self.widths.resize(widths.len(), 0);
        for (w, before) in widths.iter_mut().zip(&self.widths) {
            *w = (*w).max(*before);
        }
        if let Some(limit) = style.width {
            // What fits nowhere is wrapped by the terminal.
            fit(&mut widths, &table.fixed(), limit);
        }
        let grown = widths != self.widths;
        self.widths = widths;
        if grown || self.since_header.is_none_or(|n| n >= HEADER_EVERY) {
            table.write_header(&self.widths, style, out)?;
            self.since_header = Some(0);
        }
        table.write_rows(&self.widths, style, out)?;
        self.since_header = self.since_header.map(|n| n + table.rows.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(frames: &[&str]) -> String {
        let mut changes = Changes::default();
        let mut text = Vec::new();
        for frame in frames {
            let frame: Frame<'_> = serde_json::from_str(frame).unwrap();
            if frame.kind == "subscribed" {
                changes.columns = frame.columns;
                continue;
            }
            let mut table = changes.marked(&frame.retract, "-");
            table.rows.extend(changes.marked(&frame.insert, "+").rows);
            table.rows.extend(changes.marked(&frame.rows, "+").rows);
            changes
                .write_table(&table, Style::default(), &mut text)
                .unwrap();
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn rows_come_and_go_below_one_header() {
        let text = drawn(&[
            r#"{"type":"subscribed","columns":[{"name":"city","type":"STRING"},{"name":"n","type":"BIGINT"}],"seq":1}"#,
            r#"{"type":"snapshot","rows":[["Oslo",1]],"done":true}"#,
            r#"{"type":"changes","prev":1,"seq":2,"insert":[["Oslo",2]],"retract":[["Oslo",1]]}"#,
        ]);
        let expected =
            "   │ city │ n\n───┼──────┼───\n + │ Oslo │ 1\n - │ Oslo │ 1\n + │ Oslo │ 2\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_wider_row_brings_a_wider_header() {
        let text = drawn(&[
            r#"{"type":"subscribed","columns":[{"name":"city","type":"STRING"}]}"#,
            r#"{"type":"snapshot","rows":[["Oslo"]]}"#,
            r#"{"type":"changes","insert":[["Trondheim"]],"retract":[]}"#,
            r#"{"type":"changes","insert":[["Oslo"]],"retract":[]}"#,
        ]);
        assert_eq!(text.matches("city").count(), 2, "{text}");
        assert!(text.ends_with(" + │ Trondheim\n + │ Oslo\n"), "{text}");
    }
}
