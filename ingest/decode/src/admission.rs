//! What is let in: limits on a body before and after decompression, and how a full write buffer is answered. Pure
//! decisions; the server carries them out.

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::Read;
use std::time::Duration;

/// A request that is turned away, in the terms of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The status: 400, 413, 415 or 503.
    pub status: u16,
    /// The error's code, for programs.
    pub code: &'static str,
    /// What to do about it, for people.
    pub message: String,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u32>,
}

impl Rejection {
    pub(crate) fn new(status: u16, code: &'static str, message: String) -> Rejection {
        Rejection {
            status,
            code,
            message,
            retry_after: None,
        }
    }
}

/// How large a body may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes as sent.
    pub body: usize,
    /// Bytes once decompressed.
    pub decoded: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 64 << 20,
            decoded: 256 << 20,
        }
    }
}

impl Limits {
    /// Whether a body of that length is let in; ask it of `Content-Length` before a byte is read.
    ///
    /// # Errors
    /// 413.
    pub fn check_body(&self, len: u64) -> Result<(), Rejection> {
        if len <= self.body as u64 {
            return Ok(());
        }
        let message = format!(
            "a body of {len} bytes is over the limit of {}; send smaller batches",
            self.body
        );
        Err(Rejection::new(413, "body_too_large", message))
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip, any number of members.
    Gzip,
    /// zlib, or bare deflate, which some clients send under that name.
    Deflate,
    /// Zstandard.
    Zstd,
    /// Snappy's block format, which Prometheus' remote write has.
    Snappy,
}

impl Encoding {
    /// The encoding that a `Content-Encoding` header names.
    ///
    /// # Errors
    /// 415.
    pub fn from_header(value: Option<&str>) -> Result<Encoding, Rejection> {
        let name = value.unwrap_or_default().trim().to_ascii_lowercase();
        Ok(match name.as_str() {
            "" | "identity" => Encoding::Identity,
            "gzip" | "x-gzip" => Encoding::Gzip,
            "deflate" => Encoding::Deflate,
            "zstd" => Encoding::Zstd,
            "snappy" => Encoding::Snappy,
            _ => {
                let shown: String = name.chars().take(40).collect();
                let message = format!(
                    "content encoding '{shown}' is not known; use gzip, zstd, deflate or snappy"
                );
                return Err(Rejection::new(415, "unknown_encoding", message));
            }
        })
    }
}

/// A body as it was before compression. Never holds more than the limit, whatever the compressed bytes claim. `room` is
/// asked for each piece of memory before it is taken.
///
/// # Errors
/// 413 past a limit, 400 when the bytes are not what the header says, 503 when there is no room.
pub fn decompress<'a>(
    body: &'a [u8],
    encoding: Encoding,
    limits: &Limits,
    room: &mut dyn FnMut(usize) -> bool,
) -> Result<Cow<'a, [u8]>, Rejection> {
    limits.check_body(body.len() as u64)?;
    match encoding {
        Encoding::Identity if body.len() > limits.decoded => Err(too_large(limits)),
        Encoding::Identity => Ok(Cow::Borrowed(body)),
        Encoding::Gzip => read(MultiGzDecoder::new(body), body, limits, room),
        // RFC 1950: method 8, and the first two bytes are a multiple of 31.
        Encoding::Deflate => match body {
            [a, b, ..] if a & 0x0f == 8 && u16::from_be_bytes([*a, *b]).is_multiple_of(31) => {
                read(ZlibDecoder::new(body), body, limits, room)
            }
            _ => read(DeflateDecoder::new(body), body, limits, room),
        },
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(body).map_err(|e| damaged(&e))?;
            // A frame may ask for a window of gigabytes; 128 MiB is the most that the usual encoder levels make.
            decoder.window_log_max(27).map_err(|e| damaged(&e))?;
            read(decoder, body, limits, room)
        }
        Encoding::Snappy => snappy(body, limits, room).map(Cow::Owned),
    }
}

/// A copy of up to 64 bytes takes two bytes at least.
const SNAPPY_RATIO: usize = 32;

/// A block says how long it will be; that is judged before any memory is taken.
fn snappy(
    body: &[u8],
    limits: &Limits,
    room: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<u8>, Rejection> {
    let cannot = |e: &dyn std::fmt::Display| {
        let message = format!("the body is no snappy block: {e}");
        Rejection::new(400, "bad_encoding", message)
    };
    let length = snap::raw::decompress_len(body).map_err(|e| cannot(&e))?;
    if length > limits.decoded {
        return Err(too_large(limits));
    }
    if length > body.len().saturating_mul(SNAPPY_RATIO) {
        return Err(cannot(&"it says that it is longer than it can be"));
    }
    if !room(length) {
        return Err(no_room());
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|e| cannot(&e))
}

/// Memory that is taken at once, at least and at most.
const PIECES: (usize, usize) = (4 << 10, 8 << 20);

fn read<'a>(
    mut decoder: impl Read,
    body: &[u8],
    limits: &Limits,
    room: &mut dyn FnMut(usize) -> bool,
) -> Result<Cow<'a, [u8]>, Rejection> {
    let mut out = Vec::new();
    let mut piece = body.len().saturating_mul(4);
    loop {
        // One byte more than allowed tells a body at the limit from one beyond it.
        let left = limits.decoded - out.len() + 1;
        piece = piece.clamp(PIECES.0, PIECES.1).min(left);
        if !room(piece) {
            return Err(no_room());
        }
        out.reserve(piece);
        let read = decoder
            .by_ref()
            .take(piece as u64)
            .read_to_end(&mut out)
            .map_err(|e| damaged(&e))?;
        if out.len() > limits.decoded {
            return Err(too_large(limits));
        }
        if read < piece {
            return Ok(Cow::Owned(out));
        }
        piece = out.len();
    }
}

/// There are too many bytes of bodies in memory already.
#[must_use]
pub fn no_room() -> Rejection {
    Rejection {
        retry_after: Some(1),
        ..Rejection::new(
            503,
            "overloaded",
            "the bodies of all requests take too much memory just now; retry in a moment".into(),
        )
    }
}

fn damaged(error: &std::io::Error) -> Rejection {
    Rejection::new(
        400,
        "bad_encoding",
        format!("the compressed body can't be read: {error}"),
    )
}

fn too_large(limits: &Limits) -> Rejection {
    let message = format!(
        "the body is over the limit of {} bytes once decompressed; send smaller batches",
        limits.decoded
    );
    Rejection::new(413, "decoded_too_large", message)
}

/// What to do with a write while the buffer is as full as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Take it.
    Admit,
    /// Take it after a pause, so that flushing keeps up.
    Slow(Duration),
    /// Turn it away.
    Refuse(Rejection),
}

/// The longest pause, just below the bound.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Decides by how full the write buffer is: pauses from 90 % on, longer the fuller it is, and refuses at 100 %.
#[must_use]
pub fn pressure(used: u64, bound: u64) -> Pressure {
    if used >= bound {
        let message =
            format!("the write buffer is full ({used} of {bound} bytes); retry in a moment");
        return Pressure::Refuse(Rejection {
            retry_after: Some(1),
            ..Rejection::new(503, "overloaded", message)
        });
    }
    let (used, bound) = (u128::from(used), u128::from(bound));
    let over = (used * 10).saturating_sub(bound * 9);
    if over == 0 {
        return Pressure::Admit;
    }
    let nanos = LONGEST_PAUSE.as_nanos() * over / bound;
    Pressure::Slow(Duration::from_nanos(nanos as u64).max(Duration::from_micros(100)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn packed(data: &[u8]) -> [(Encoding, Vec<u8>); 5] {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(data).unwrap();
        zlib.write_all(data).unwrap();
        raw.write_all(data).unwrap();
        [
            (Encoding::Gzip, gz.finish().unwrap()),
            (Encoding::Deflate, zlib.finish().unwrap()),
            (Encoding::Deflate, raw.finish().unwrap()),
            (Encoding::Zstd, zstd::encode_all(data, 1).unwrap()),
            (Encoding::Snappy, block(data)),
        ]
    }

    fn block(data: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(data).unwrap()
    }

    #[test]
    fn what_a_block_says_of_its_length_takes_no_memory() {
        let limits = Limits::default();
        let lies: [&[u8]; 4] = [
            &[0xff, 0xff, 0xff, 0x7f, 0, b'a'],
            &[0x80, 0x80, 0x80, 0x08],
            &[0xff, 0xff, 0xff, 0xff, 0xff],
            &[],
        ];
        for body in lies {
            let mut taken = 0;
            let mut room = |more| {
                taken += more;
                true
            };
            let refused = decompress(body, Encoding::Snappy, &limits, &mut room).unwrap_err();
            assert_eq!((refused.status, taken), (400, 0), "{body:?}");
        }
        let mut short = block(&[7; 1000]);
        short[0] = 0xe9;
        let refused = decompress(&short, Encoding::Snappy, &limits, &mut |_| true).unwrap_err();
        assert_eq!(refused.code, "bad_encoding");
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let limits = Limits {
            body: 4 << 20,
            decoded: 1 << 20,
        };
        let bomb = vec![b'a'; 64 << 20];
        for (encoding, body) in packed(&bomb) {
            assert!(body.len() < limits.body);
            let refused = decompress(&body, encoding, &limits, &mut |_| true).unwrap_err();
            assert_eq!((refused.status, refused.code), (413, "decoded_too_large"));
        }
        for (encoding, body) in packed(&bomb[..1 << 20]) {
            let whole = decompress(&body, encoding, &limits, &mut |_| true).unwrap();
            assert_eq!(whole.len(), 1 << 20);
        }
        let plain = vec![0; (4 << 20) + 1];
        assert_eq!(
            decompress(&plain, Encoding::Identity, &limits, &mut |_| true)
                .unwrap_err()
                .code,
            "body_too_large"
        );
    }

    #[test]
    fn memory_is_asked_for_before_it_is_taken() {
        let data = vec![b'a'; 64 << 20];
        for (encoding, body) in packed(&data) {
            let mut taken = 0;
            let mut room = |more| {
                taken += more;
                taken <= 16 << 20
            };
            let refused = decompress(&body, encoding, &Limits::default(), &mut room).unwrap_err();
            assert_eq!((refused.status, refused.retry_after), (503, Some(1)));
        }
    }

    proptest! {
        #[test]
        fn bodies_survive_and_damage_is_an_error_or_other_bytes(data in proptest::collection::vec(any::<u8>(), 0..300), cut in any::<proptest::sample::Index>()) {
            let limits = Limits::default();
            for (encoding, body) in packed(&data) {
                let whole = decompress(&body, encoding, &limits, &mut |_| true).unwrap();
                prop_assert_eq!(whole.as_ref(), data.as_slice());
                if encoding == Encoding::Gzip {
                    let end = cut.index(body.len() - 1) + 1;
                    prop_assert_eq!(decompress(&body[..end], encoding, &limits, &mut |_| true).unwrap_err().code, "bad_encoding");
                    let twice = [body.as_slice(), &body].concat();
                    prop_assert_eq!(decompress(&twice, encoding, &limits, &mut |_| true).unwrap().len(), data.len() * 2);
                }
                let _ = decompress(&data, encoding, &limits, &mut |_| true);
            }
        }
    }

    #[test]
    fn encodings_by_name() {
        assert_eq!(Encoding::from_header(None), Ok(Encoding::Identity));
        assert_eq!(Encoding::from_header(Some(" GZIP ")), Ok(Encoding::Gzip));
        assert_eq!(Encoding::from_header(Some("br")).unwrap_err().status, 415);
    }

    #[test]
    fn pressure_rises_with_the_fill() {
        assert_eq!(pressure(0, 1000), Pressure::Admit);
        assert_eq!(pressure(900, 1000), Pressure::Admit);
        let pause = |used| match pressure(used, 1000) {
            Pressure::Slow(d) => d,
            other => panic!("{used}: {other:?}"),
        };
        let pauses: Vec<_> = (901..1000).map(pause).collect();
        assert!(
            pauses.is_sorted()
                && pauses[0] < Duration::from_millis(1)
                && pauses[98] > Duration::from_millis(45)
        );
        for used in [1000, u64::MAX] {
            let Pressure::Refuse(r) = pressure(used, 1000) else {
                panic!("{used} is let in")
            };
            assert_eq!((r.status, r.retry_after), (503, Some(1)));
        }
        assert!(matches!(pressure(0, 0), Pressure::Refuse(_)));
        assert_eq!(pressure(u64::MAX / 2, u64::MAX), Pressure::Admit);
    }
}
