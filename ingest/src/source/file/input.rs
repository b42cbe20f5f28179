//! The bytes of a file: as they lie there, or decompressed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

/// How a file is compressed, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub(super) fn of(name: &str) -> Packing {
        let end = name.rsplit_once('.').map_or("", |(_, end)| end);
        match end.to_ascii_lowercase().as_str() {
            "gz" | "gzip" => Packing::Gzip,
            "zst" | "zstd" => Packing::Zstd,
            _ => Packing::Plain,
        }
    }

    /// Reads a file from its start. Members and frames one behind the other are one text.
    pub(super) fn reader(self, file: &File) -> io::Result<Box<dyn Read + Send>> {
        let bytes = FromStart {
            file: file.try_clone()?,
            at: 0,
        };
        Ok(match self {
            Packing::Plain => Box::new(bytes),
            Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(bytes))),
            Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes)?),
        })
    }
}

/// A file's bytes from the first on, whatever else reads it.
struct FromStart {
    file: File,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(to, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// The first line of a file, without its end; `None` when there is none so long at most.
pub(super) fn first_line(
    packing: Packing,
    file: &File,
    longest: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut reader = packing.reader(file)?;
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    while line.len() <= longest {
        let n = match reader.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if let Some(end) = memchr::memchr(b'\n', &chunk[..n]) {
            line.extend_from_slice(&chunk[..end]);
            return Ok(Some(line));
        }
        line.extend_from_slice(&chunk[..n]);
    }
    Ok(None)
}
