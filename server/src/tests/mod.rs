//! The server as its clients see it, over sockets.

mod batches;
mod bounds;
mod forms;
mod keys;
mod letters;
mod registry;
mod routes;
mod samples;
mod shutdown;
mod sockets;
mod sources;
mod tables;

use crate::http::App;
use crate::{Config, Server};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Long enough for anything that is going to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a directory of its own.
struct Tester {
    server: Server,
    _dir: TempDir,
}

/// A reply, taken apart.
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ str| {
            let (n, _) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(())
        };
        let line = self.head.lines().find(|l| of(l).is_some())?;
        Some(line.split_once(':')?.1.trim())
    }
}

impl Tester {
    async fn start(change: impl FnOnce(&mut Config)) -> Tester {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config {
            data_dir: dir.path().join("data"),
            listen: "127.0.0.1:0".into(),
            ..Config::default()
        };
        change(&mut config);
        let mut server = Server::start(config).await.unwrap();
        server.ready().await.unwrap();
        Tester { server, _dir: dir }
    }

    fn app(&self) -> &Arc<App> {
        self.server.app().unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.unwrap()
    }

    /// Sends a request on a connection of its own and reads the reply to its end.
    async fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that has refused already reads no more.
        let _ = stream.write_all(body).await;
        reply(&mut stream).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.request("GET", path, "", b"").await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        self.request("POST", path, "", body.as_bytes()).await
    }

    /// Runs SQL that must succeed.
    async fn sql(&self, text: &str) -> Value {
        let reply = self.post("/api/v1/sql", text).await;
        assert_eq!(reply.status, 200, "{text}: {}", reply.text());
        reply.json()
    }

    async fn socket(&self) -> Socket {
        let url = format!("ws://{}/ws", self.server.address());
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Socket(socket)
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, mut holds: impl FnMut(&App) -> bool) {
        let wait = async {
            while !holds(self.app()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{what} has not come to be");
        }
    }
}

/// Reads a reply to the end of its connection.
async fn reply(stream: &mut TcpStream) -> Reply {
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    // A reset behind the reply is the server's way to say that it read no more.
    let _ = tokio::time::timeout(PATIENCE, read).await.unwrap();
    let end = all.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no reply: {}", String::from_utf8_lossy(&all)));
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head[9..12].parse().unwrap();
    let mut body = all.split_off(end + 4);
    if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        body = unchunked(&body);
    }
    Reply { status, head, body }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16);
        let length = length.unwrap();
        if length == 0 {
            break;
        }
        out.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
    out
}

/// A WebSocket client that answers pings as it reads.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next text frame; `None` when the server has closed.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match next.unwrap()? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame of that type; others are passed over.
    async fn frame(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            let frame = frame.unwrap_or_else(|| panic!("closed before there was a {kind}"));
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    async fn subscribe(&mut self, topic: &str) -> Value {
        self.send(json!({"action": "subscribe", "topics": [topic]}))
            .await;
        self.frame("subscribed").await
    }
}
