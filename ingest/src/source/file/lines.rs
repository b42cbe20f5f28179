//! Lines out of chunks of bytes, each with its place in the file.

use memchr::memchr;

/// More bytes than a byte order mark, the end of a line and the one that makes it too long.
const MARKS: usize = 8;

/// A line without what ends it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Place of its first byte in the file.
    pub(super) at: u64,
    /// Place of the line behind it.
    pub(super) next: u64,
    /// Its text; of one that is too long, the first bytes, one more than the longest may have.
    pub(super) text: &'a [u8],
}

/// Takes chunks, gives lines. Holds no more than a chunk and the longest line.
pub(super) struct Lines {
    /// Bytes of a line at most.
    longest: usize,
    bytes: Vec<u8>,
    /// Where the first line begins that was not given.
    head: usize,
    /// Up to where there is no end of a line, from `head` on.
    looked: usize,
    /// Place of `head` in the file.
    at: u64,
    /// Bytes of the line at `head` that were left out, since it is too long.
    left_out: u64,
}

impl Lines {
    /// Of a file that is read from `at` on.
    pub(super) fn new(at: u64, longest: usize) -> Lines {
        Lines {
            longest,
            bytes: Vec::new(),
            head: 0,
            looked: 0,
            at,
            left_out: 0,
        }
    }

    /// Place of the first byte that was not given as part of a line.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Place of the first byte that was not fed.
    pub(super) fn end(&self) -> u64 {
        self.at + (self.bytes.len() - self.head) as u64 + self.left_out
    }

    /// Takes the file's next bytes. All lines before must have been given.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.head);
        self.looked -= self.head;
        self.head = 0;
        let rest = match memchr(b'\n', chunk) {
            // What is left out of a line that is too long is counted only.
            Some(end) if self.left_out > 0 => {
                self.left_out += end as u64;
                &chunk[end..]
            }
            None if self.left_out > 0 => {
                self.left_out += chunk.len() as u64;
                return;
            }
            Some(_) => chunk,
            None => {
                let room = (self.longest + MARKS).saturating_sub(self.bytes.len());
                let (kept, left) = chunk.split_at(room.min(chunk.len()));
                self.left_out = left.len() as u64;
                kept
            }
        };
        self.bytes.extend_from_slice(rest);
    }

    /// The next line that has its end.
    pub(super) fn line(&mut self) -> Option<Line<'_>> {
        let Some(found) = memchr(b'\n', &self.bytes[self.looked..]) else {
            self.looked = self.bytes.len();
            return None;
        };
        let end = self.looked + found;
        Some(self.give(end, end + 1))
    }

    /// What is behind the last end of a line, when the file is known to have no more.
    pub(super) fn last(&mut self) -> Option<Line<'_>> {
        let end = self.bytes.len();
        (end > self.head).then(|| self.give(end, end))
    }

    fn give(&mut self, end: usize, next: usize) -> Line<'_> {
        let (head, at) = (self.head, self.at);
        let left_out = std::mem::take(&mut self.left_out);
        self.at += (next - head) as u64 + left_out;
        (self.head, self.looked) = (next, next);
        let mut text = &self.bytes[head..end];
        if at == 0 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        if left_out == 0 {
            text = text.strip_suffix(b"\r").unwrap_or(text);
        }
        Line {
            at,
            next: self.at,
            text: &text[..text.len().min(self.longest + 1)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the chunks: the lines are those of the whole, long ones cut, each where it lies.
        #[test]
        fn lines_are_those_of_the_whole(
            lines in proptest::collection::vec("[ab\r]{0,40}", 0..12),
            rest in "[ab\r]{0,40}",
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
            start in 1..9u64,
        ) {
            const LONGEST: usize = 7;
            let whole = lines.iter().map(|l| format!("{l}\n")).chain([rest.clone()]).collect::<String>().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(whole.len() + 1)).chain([0, whole.len()]).collect();
            cuts.sort_unstable();
            let mut reader = Lines::new(start, LONGEST);
            let (mut got, mut largest) = (Vec::new(), 0);
            let mut note = |l: Line<'_>| got.push((l.at, l.next, l.text.to_vec()));
            for pair in cuts.windows(2) {
                reader.feed(&whole[pair[0]..pair[1]]);
                while let Some(line) = reader.line() {
                    note(line);
                }
                prop_assert_eq!(reader.end(), start + pair[1] as u64);
                largest = largest.max(pair[1] - pair[0]);
                prop_assert!(reader.bytes.len() <= largest + largest.max(LONGEST + MARKS));
            }
            if let Some(line) = reader.last() {
                note(line);
            }
            prop_assert_eq!(reader.at(), reader.end());
            let mut wanted = Vec::new();
            let mut at = start;
            for (line, end) in lines.iter().map(|l| (l, 1)).chain([(&rest, 0)]) {
                let next = at + (line.len() + end) as u64;
                if next > at {
                    let text = line.strip_suffix('\r').filter(|t| t.len() <= LONGEST).unwrap_or(line);
                    wanted.push((at, next, text.as_bytes()[..text.len().min(LONGEST + 1)].to_vec()));
                }
                at = next;
            }
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        let mut lines = Lines::new(0, 99);
        lines.feed(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n");
        assert_eq!(lines.line().unwrap().text, b"a");
        assert_eq!(lines.line().unwrap().text, b"\xef\xbb\xbfb");
    }
}
