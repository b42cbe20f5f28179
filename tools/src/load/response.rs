//! Just enough HTTP/1.1 to write on and read from a keep-alive connection at little cost.

use anyhow::{Context, bail};

/// Most bytes of a response.
const MAX_RESPONSE: usize = 16 << 20;

/// Where requests go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// `host:port`, to connect to.
    pub address: String,
    /// Everything of the request's head but the length.
    head: String,
}

impl Target {
    /// A POST of `content_type` to `path` at `url`.
    pub fn new(
        url: &str,
        path: &str,
        content_type: &str,
        token: Option<&str>,
    ) -> anyhow::Result<Target> {
        let rest = url
            .strip_prefix("http://")
            .with_context(|| format!("{url}: only http:// is spoken here"))?;
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains('/') {
            bail!("{url}: expected http://HOST:PORT, the rest goes to --path");
        }
        let bare = |c: char| c.is_ascii_control() || c == ' ';
        if !path.starts_with('/') || path.contains(bare) || token.is_some_and(|t| t.contains(bare))
        {
            bail!("a path starts with '/', and neither it nor a token has blanks");
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, p)| p.parse::<u16>().is_ok());
        let address = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let auth = token
            .map(|t| format!("Authorization: Token {t}\r\n"))
            .unwrap_or_default();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\n{auth}Content-Type: {content_type}\r\nContent-Length: "
        );
        Ok(Target { address, head })
    }

    /// Puts the head of a request with a body of `len` bytes in place of `out`.
    pub fn head(&self, len: usize, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// A response that has come in whole.
#[derive(Debug, PartialEq)]
pub(super) struct Response {
    pub status: u16,
    pub body: Vec<u8>,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u64>,
    /// Whether the server ends the connection.
    pub close: bool,
}

/// Reads a response off the front of `buffer`; `None` while it is incomplete. Gives the bytes it took.
pub(super) fn parse(buffer: &[u8]) -> anyhow::Result<Option<(Response, usize)>> {
    if buffer.len() > MAX_RESPONSE {
        bail!("a response of more than {MAX_RESPONSE} bytes");
    }
    let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&buffer[..end]).context("a response's head is not text")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status: u16 = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|s| s.get(2..5)?.parse().ok())
        .with_context(|| format!("not HTTP/1: {status_line:?}"))?;
    let (mut length, mut chunked, mut retry_after) = (None, false, None);
    let mut close = status_line.starts_with("HTTP/1.0");
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().context("a response's length")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("retry-after") {
            retry_after = value.parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            close = value.eq_ignore_ascii_case("close");
        }
    }
    let rest = &buffer[end + 4..];
    let (body, taken) = if status == 204 || status == 304 || (100..200).contains(&status) {
        (Vec::new(), 0)
    } else if chunked {
        match dechunk(rest)? {
            Some(done) => done,
            None => return Ok(None),
        }
    } else {
        let length = length.context("a response without a length")?;
        if length > MAX_RESPONSE {
            bail!("a response of {length} bytes");
        }
        match rest.get(..length) {
            Some(body) => (body.to_vec(), length),
            None => return Ok(None),
        }
    };
    Ok(Some((
        Response {
            status,
            body,
            retry_after,
            close,
        },
        end + 4 + taken,
    )))
}

/// A chunked body and the bytes it took.
fn dechunk(buffer: &[u8]) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    let line_end = |at: usize| {
        buffer[at..]
            .windows(2)
            .position(|w| w == b"\r\n")
            .map(|i| at + i)
    };
    loop {
        let Some(end) = line_end(at) else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&buffer[at..end]).unwrap_or_default();
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("a chunk's size")?;
        at = end + 2;
        if size == 0 {
            // Trailers, if any, end with an empty line.
            while let Some(end) = line_end(at) {
                if end == at {
                    return Ok(Some((body, at + 2)));
                }
                at = end + 2;
            }
            return Ok(None);
        }
        if size > MAX_RESPONSE {
            bail!("a chunk of {size} bytes");
        }
        let Some(chunk) = buffer.get(at..at + size + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_read_at_every_cut() {
        let cases: [(&[u8], u16, &[u8]); 4] = [
            (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 204, b""),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello", 200, b"hello"),
            (b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 400, b"abcde"),
            (b"HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n", 503, b""),
        ];
        for (text, status, body) in cases {
            for end in 0..text.len() {
                assert_eq!(parse(&text[..end]).unwrap(), None, "{status} cut at {end}");
            }
            let (response, taken) = parse(&[text, b"HTTP/1.1"].concat()).unwrap().unwrap();
            assert_eq!(
                (response.status, response.body.as_slice(), taken),
                (status, body, text.len())
            );
            assert_eq!(response.retry_after, (status == 503).then_some(2));
            assert_eq!(response.close, status == 200);
        }
        for bad in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn targets_are_checked() {
        let target =
            Target::new("http://[::1]:9000/", "/write?db=x", "text/plain", Some("t")).unwrap();
        assert_eq!(target.address, "[::1]:9000");
        let mut head = Vec::new();
        target.head(12, &mut head);
        assert!(head.starts_with(
            b"POST /write?db=x HTTP/1.1\r\nHost: [::1]:9000\r\nAuthorization: Token t\r\n"
        ));
        assert!(head.ends_with(b"Content-Length: 12\r\n\r\n"));
        assert_eq!(
            Target::new("http://h", "/", "a", None).unwrap().address,
            "h:80"
        );
        for (url, path) in [
            ("https://h", "/"),
            ("http://h/x", "/"),
            ("http://h", "x"),
            ("http://h", "/a b"),
            ("http://", "/"),
        ] {
            assert!(Target::new(url, path, "a", None).is_err(), "{url} {path}");
        }
    }
}
