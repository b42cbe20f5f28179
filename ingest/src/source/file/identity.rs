//! What makes a file the one that was read before, whatever it is called now.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::UNIX_EPOCH;
use tsdb::types::Fnv;

/// First bytes of a file that tell it from another at its place.
const HEAD: usize = 1024;

/// A file, under all of its names: numbers of the file system that are given anew once the file is gone, and the time it
/// was made, which tells the new file from the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// Nanoseconds since the epoch; 0 where the file system does not tell.
    born: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Identity {
        let born = metadata.created().ok();
        let born = born.and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: born.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        }
    }

    /// Whether another file of the same numbers would be another identity.
    pub(super) fn is_certain(&self) -> bool {
        self.born != 0
    }

    /// The name of the partition that a file is: `app.log@801-2a-17c3b..`, with `#2` behind it for what was written after
    /// it was truncated the first time.
    pub(super) fn partition(&self, name: &str, generation: u32) -> String {
        match generation {
            0 | 1 => format!("{name}@{self}"),
            n => format!("{name}@{self}#{n}"),
        }
    }

    /// The parts of a partition's name: the file's name when it was first seen, which file, which generation.
    pub(super) fn parse(partition: &str) -> Option<(&str, Identity, u32)> {
        let (name, rest) = partition.rsplit_once('@')?;
        let (numbers, generation) = match rest.split_once('#') {
            Some((numbers, generation)) => (numbers, generation.parse().ok()?),
            None => (rest, 1),
        };
        let mut numbers = numbers.split('-').map(|n| u64::from_str_radix(n, 16));
        let identity = Identity {
            device: numbers.next()?.ok()?,
            inode: numbers.next()?.ok()?,
            born: numbers.next()?.ok()?,
        };
        numbers
            .next()
            .is_none()
            .then_some((name, identity, generation))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.device, self.inode, self.born)
    }
}

/// The first bytes of a file: how many, and a hash of them. It is kept beside the position as `len-hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    len: usize,
    hash: u64,
}

impl Default for Head {
    /// Of a file of which nothing is known: any file begins so.
    fn default() -> Self {
        Head::of(&[])
    }
}

impl Head {
    /// Of the first bytes, at most so many as count.
    pub(super) fn of(bytes: &[u8]) -> Head {
        let bytes = &bytes[..bytes.len().min(HEAD)];
        Head {
            len: bytes.len(),
            hash: Fnv::of(bytes),
        }
    }

    pub(super) fn parse(origin: &str) -> Option<Head> {
        let (len, hash) = origin.split_once('-')?;
        Some(Head {
            len: len.parse().ok().filter(|l| *l <= HEAD)?,
            hash: u64::from_str_radix(hash, 16).ok()?,
        })
    }

    /// Whether these first bytes of a file begin as this does.
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        bytes
            .get(..self.len)
            .is_some_and(|b| Head::of(b).hash == self.hash)
    }

    /// Whether more bytes would make it another.
    pub(super) fn is_short(&self) -> bool {
        self.len < HEAD
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.len, self.hash)
    }
}

/// The first bytes of a file, so many as count; fewer when it has fewer.
pub(super) fn first_bytes(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    let mut len = 0;
    while len < HEAD {
        match file.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn partitions_and_heads_are_read_back(
            name in "[a-z@#. -]{0,12}",
            numbers in any::<(u64, u64, u64)>(),
            generation in 1..9u32,
            bytes in proptest::collection::vec(any::<u8>(), 0..1500),
            more in proptest::collection::vec(any::<u8>(), 0..9),
            flip in any::<proptest::sample::Index>(),
        ) {
            let identity = Identity { device: numbers.0, inode: numbers.1, born: numbers.2 };
            let partition = identity.partition(&name, generation);
            prop_assert_eq!(Identity::parse(&partition), Some((name.as_str(), identity, generation)));
            let head = Head::of(&bytes);
            prop_assert!(Head::default().begins(&bytes));
            prop_assert_eq!(Head::parse(&head.to_string()), Some(head));
            let mut longer = bytes.clone();
            longer.extend(&more);
            prop_assert!(head.begins(&longer));
            if !bytes.is_empty() {
                let at = flip.index(bytes.len().min(HEAD));
                longer[at] ^= 1;
                prop_assert!(!head.begins(&longer));
                prop_assert!(!head.begins(&bytes[..bytes.len().min(HEAD) - 1]));
            }
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".{0,40}") {
            let _ = (Identity::parse(&text), Head::parse(&text));
        }
    }
}
