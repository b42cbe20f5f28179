//! A blocking keep-alive connection with one request in flight.

use super::response::{Response, Target, parse};
use anyhow::{Context, bail};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a server may take over one request.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Connection {
    target: Target,
    stream: Option<TcpStream>,
    head: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(target: &Target) -> anyhow::Result<Connection> {
        let mut c = Connection {
            target: target.clone(),
            stream: None,
            head: Vec::new(),
            buffer: Vec::new(),
        };
        c.connect()?;
        Ok(c)
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        let address = &self.target.address;
        let stream =
            TcpStream::connect(address).with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Sends a request. Connects anew when the server said that it would close the last connection.
    pub fn send(&mut self, body: &[u8]) -> anyhow::Result<()> {
        if self.stream.is_none() {
            self.connect()?;
        }
        let Some(stream) = &mut self.stream else {
            bail!("not connected")
        };
        self.target.head(body.len(), &mut self.head);
        let (mut head, mut body) = (self.head.as_slice(), body);
        while !head.is_empty() || !body.is_empty() {
            let n = match stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]) {
                Ok(0) => bail!("the server closed the connection in mid-request"),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e).context("sending a request"),
            };
            let of_head = n.min(head.len());
            head = &head[of_head..];
            body = &body[n - of_head..];
        }
        Ok(())
    }

    /// Waits for the response to the request sent last.
    pub fn receive(&mut self) -> anyhow::Result<Response> {
        let Some(stream) = &mut self.stream else {
            bail!("not connected")
        };
        self.buffer.clear();
        let mut chunk = [0; 16 << 10];
        loop {
            let n = match stream.read(&mut chunk) {
                Ok(0) => bail!("the server closed the connection without an answer"),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e).context("waiting for an answer"),
            };
            self.buffer.extend_from_slice(&chunk[..n]);
            while let Some((response, taken)) = parse(&self.buffer)? {
                self.buffer.drain(..taken);
                if response.status < 200 {
                    continue; // Informational; the answer itself is still to come.
                }
                if response.close {
                    self.stream = None;
                }
                return Ok(response);
            }
        }
    }
}
