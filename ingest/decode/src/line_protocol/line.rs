//! The grammar of one line, in full: what the fast path does not take comes here, and every error is made here.
//!
//! ```text
//! line  = measurement *("," key "=" value) blanks key "=" field *("," key "=" field) [blanks time] [blanks]
//! field = integer "i" | unsigned "u" | micros "t" | nanos "n" | float | boolean | string
//! ```
//! In names and tag values a special byte (`,`, blank, and `=` but in measurements) is plain behind a backslash; any
//! other backslash is itself. A newline ends the line except inside a quoted string.

use super::LineReason;
use crate::number::{parse_f64, parse_i64, parse_u64};
use std::borrow::Cow;

/// Longest name of a measurement, tag or field, and longest tag value.
pub(super) const MAX_NAME: usize = 65_535;
/// Most tags, and most fields, of one line.
pub(super) const MAX_PARTS: usize = 4_096;

/// A field's value as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    I64(i64),
    U64(u64),
    /// The double and its text, which a decimal column reads instead.
    F64(f64, &'a [u8]),
    Bool(bool),
    /// A time in nanoseconds (QuestDB's `t` and `n` suffixes).
    Time(i64),
    Str(Cow<'a, str>),
}

/// A field: its name as written, its name, its value.
pub(super) type Field<'a> = (&'a [u8], Cow<'a, str>, Value<'a>);

/// One line, taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    /// `measurement,tags` as written.
    pub key: &'a [u8],
    pub measurement: Cow<'a, str>,
    /// Sorted by name, without duplicates or empty values.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Without duplicates: the last one has won.
    pub fields: Vec<Field<'a>>,
    /// The time as written, in units of the request's precision.
    pub time: Option<i64>,
}

/// What stands at a place where a line may start.
#[derive(Debug, PartialEq)]
pub(super) enum Item<'a> {
    /// Nothing: a blank line or a comment.
    Blank,
    /// A line.
    Line(Line<'a>),
    /// A line that is refused whole.
    Bad(LineReason),
}

/// Reads the item at `start` and gives where the next one begins.
pub(super) fn read(body: &[u8], start: usize) -> (Item<'_>, usize) {
    let mut p = Parser { body, at: start };
    p.blanks();
    match p.peek() {
        None | Some(b'\n') => return (Item::Blank, p.next_line(p.at)),
        Some(b'\r') if matches!(body.get(p.at + 1), None | Some(b'\n')) => {
            return (Item::Blank, p.next_line(p.at));
        }
        Some(b'#') => return (Item::Blank, p.next_line(p.at)),
        Some(_) => {}
    }
    match p.line() {
        Ok(line) => {
            let next = p.next_line(p.at);
            (Item::Line(line), next)
        }
        Err(reason) => {
            let next = p.skip_bad(p.at);
            (Item::Bad(reason), next)
        }
    }
}

struct Parser<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn next_line(&self, from: usize) -> usize {
        memchr::memchr(b'\n', &self.body[from..]).map_or(self.body.len(), |i| from + i + 1)
    }

    /// Where the line behind a bad one starts. A string that was not read yet may hold newlines, so that its text is
    /// never taken for a line; one that is not closed ends at its own newline instead, and what follows is read.
    fn skip_bad(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(i) = memchr::memchr2(b'\n', b'"', &self.body[at..]) {
            at += i;
            if self.body[at] == b'\n' {
                return at + 1;
            }
            if at > 0 && self.body[at - 1] == b'=' {
                match self.closing_quote(at + 1) {
                    Some(close) => at = close,
                    None => return self.next_line(at),
                }
            }
            at += 1;
        }
        self.body.len()
    }

    /// The quote that closes a string whose text starts at `at`.
    fn closing_quote(&self, mut at: usize) -> Option<usize> {
        loop {
            at += memchr::memchr2(b'"', b'\\', self.body.get(at..)?)?;
            if self.body[at] == b'"' {
                return Some(at);
            }
            at += 2;
        }
    }

    /// Skips blanks.
    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Whether the line ends here; a CR may stand before the LF or before the body's end.
    fn at_end(&self) -> bool {
        match self.peek() {
            None | Some(b'\n') => true,
            Some(b'\r') => matches!(self.body.get(self.at + 1), None | Some(b'\n')),
            _ => false,
        }
    }

    /// The bytes up to the first plain byte of `stops` or the end of the line.
    fn name(&mut self, stops: &[u8]) -> &'a [u8] {
        let start = self.at;
        while let Some(b) = self.peek() {
            let escaped = self.at > start && self.body[self.at - 1] == b'\\';
            if b == b'\n' || self.at_end() || (!escaped && stops.contains(&b)) {
                break;
            }
            self.at += 1;
        }
        &self.body[start..self.at]
    }

    fn line(&mut self) -> Result<Line<'a>, LineReason> {
        let start = self.at;
        let measurement = text(self.name(b", "), b", ", "measurement")?;
        let mut tags = Vec::new();
        while self.peek() == Some(b',') {
            self.at += 1;
            let name = text(self.name(b",= "), b",= ", "tag")?;
            if self.peek() != Some(b'=') {
                return Err(LineReason::Expected("'=' behind the tag's name"));
            }
            self.at += 1;
            let raw = self.name(b",= ");
            if self.peek() == Some(b'=') {
                return Err(LineReason::Expected(
                    "',' or a blank behind the tag's value",
                ));
            }
            let value = text(raw, b",= ", "tag value")?;
            if tags.len() == MAX_PARTS {
                return Err(LineReason::TooMany("tags", MAX_PARTS));
            }
            tags.push((name, value));
        }
        let key = &self.body[start..self.at];
        tags.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(twice) = tags.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(LineReason::DuplicateTag(twice[0].0.to_string()));
        }
        if self.at_end() {
            return Err(LineReason::Expected("fields"));
        }
        self.blanks();
        let fields = self.fields()?;
        let time = self.time()?;
        Ok(Line {
            key,
            measurement,
            tags,
            fields,
            time,
        })
    }

    fn fields(&mut self) -> Result<Vec<Field<'a>>, LineReason> {
        let mut fields = Vec::new();
        loop {
            if self.at_end() {
                return Err(LineReason::Expected("a field"));
            }
            let raw = self.name(b",= ");
            if self.peek() != Some(b'=') {
                return Err(LineReason::Expected("'=' behind the field's name"));
            }
            let name = text(raw, b",= ", "field")?;
            self.at += 1;
            let value = self.value()?;
            if fields.len() == MAX_PARTS {
                return Err(LineReason::TooMany("fields", MAX_PARTS));
            }
            fields.push((raw, name, value));
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b' ' | b'\t') => break,
                _ if self.at_end() => break,
                _ => {
                    return Err(LineReason::Expected(
                        "',', a blank or the end behind the field's value",
                    ));
                }
            }
        }
        // Last one wins. Sorting finds the duplicates without comparing each with each.
        let mut order: Vec<usize> = (0..fields.len()).collect();
        order.sort_by(|a, b| fields[*a].1.cmp(&fields[*b].1).then(a.cmp(b)));
        let lost: Vec<bool> = {
            let mut lost = vec![false; fields.len()];
            for w in order.windows(2) {
                lost[w[0]] = fields[w[0]].1 == fields[w[1]].1;
            }
            lost
        };
        let mut i = 0;
        fields.retain(|_| {
            i += 1;
            !lost[i - 1]
        });
        Ok(fields)
    }

    fn value(&mut self) -> Result<Value<'a>, LineReason> {
        if self.peek() == Some(b'"') {
            return self.string();
        }
        let start = self.at;
        while !self.at_end() && !matches!(self.body[self.at], b',' | b' ' | b'\t') {
            self.at += 1;
        }
        let raw = &self.body[start..self.at];
        scalar(raw).ok_or_else(|| {
            if raw.is_empty() {
                LineReason::Expected("a value behind '='")
            } else {
                LineReason::Value(lossy(raw))
            }
        })
    }

    fn string(&mut self) -> Result<Value<'a>, LineReason> {
        let open = self.at;
        let at = self
            .closing_quote(open + 1)
            .ok_or(LineReason::UnterminatedString)?;
        self.at = at + 1;
        let raw = &self.body[open + 1..at];
        let raw = std::str::from_utf8(raw).map_err(|_| LineReason::NotUtf8("field value"))?;
        Ok(Value::Str(unescape_string(raw)))
    }

    fn time(&mut self) -> Result<Option<i64>, LineReason> {
        self.blanks();
        if self.at_end() {
            return Ok(None);
        }
        let start = self.at;
        while !self.at_end() && !matches!(self.body[self.at], b' ' | b'\t') {
            self.at += 1;
        }
        let raw = &self.body[start..self.at];
        let time = parse_i64(raw).ok_or_else(|| LineReason::Time(lossy(raw)))?;
        self.blanks();
        if !self.at_end() {
            return Err(LineReason::Expected("the end of the line behind the time"));
        }
        Ok(Some(time))
    }
}

fn lossy(raw: &[u8]) -> String {
    String::from_utf8_lossy(&raw[..raw.len().min(64)]).into_owned()
}

/// A value that is no string.
fn scalar(raw: &[u8]) -> Option<Value<'_>> {
    let (last, head) = raw.split_last()?;
    Some(match last {
        b'i' => Value::I64(parse_i64(head)?),
        b'u' => Value::U64(parse_u64(head)?),
        b't' if head.last().is_some_and(u8::is_ascii_digit) => {
            Value::Time(parse_i64(head)?.checked_mul(1_000)?)
        }
        b'n' => Value::Time(parse_i64(head)?),
        _ => match raw {
            b"t" | b"T" | b"true" | b"True" | b"TRUE" => Value::Bool(true),
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => Value::Bool(false),
            _ => Value::F64(parse_f64(raw)?, raw),
        },
    })
}

/// A name or tag value without its escapes, checked.
fn text<'a>(raw: &'a [u8], special: &[u8], what: &'static str) -> Result<Cow<'a, str>, LineReason> {
    if raw.is_empty() {
        return Err(LineReason::Empty(what));
    }
    if raw.len() > MAX_NAME {
        return Err(LineReason::TooLong(what, MAX_NAME));
    }
    let raw = std::str::from_utf8(raw).map_err(|_| LineReason::NotUtf8(what))?;
    if raw.contains('\0') {
        return Err(LineReason::Nul(what));
    }
    if !raw.contains('\\') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        let escapes = c == '\\'
            && chars
                .peek()
                .is_some_and(|n| n.is_ascii() && special.contains(&(*n as u8)));
        if !escapes {
            out.push(c);
        }
    }
    Ok(Cow::Owned(out))
}

/// In strings a backslash hides itself and the quote; before anything else it is itself.
fn unescape_string(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(i) = rest.find('\\') {
        out.push_str(&rest[..i]);
        match rest.as_bytes().get(i + 1) {
            Some(c @ (b'"' | b'\\')) => {
                out.push(char::from(*c));
                rest = &rest[i + 2..];
            }
            _ => {
                out.push('\\');
                rest = &rest[i + 1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}
