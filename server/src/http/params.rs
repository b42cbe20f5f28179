//! Query strings.

use std::borrow::Cow;

/// The parameters of a query string; names and values are decoded when asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    pub(crate) fn of(uri: &'a hyper::Uri) -> Params<'a> {
        Params(uri.query().unwrap_or(""))
    }

    /// Of a form's body, which is written like a query string.
    pub(crate) fn of_text(text: &'a str) -> Params<'a> {
        Params(text)
    }

    /// The first parameter of that name.
    pub(crate) fn get(self, name: &str) -> Option<Cow<'a, str>> {
        self.pairs().find(|(k, _)| k == name).map(|(_, v)| v)
    }

    /// Whether the parameter is there and says yes; alone it does, too (`?create`).
    pub(crate) fn flag(self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|v| matches!(&*v, "" | "true" | "1" | "yes"))
    }

    fn pairs(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.0.split('&').filter(|p| !p.is_empty()).map(|p| {
            let (k, v) = p.split_once('=').unwrap_or((p, ""));
            (decode(k), decode(v))
        })
    }
}

/// Percent-decoded text; bytes that are no UTF-8 become replacement characters.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let (mut out, mut i) = (Vec::with_capacity(bytes.len()), 0);
    while i < bytes.len() {
        let escaped = (bytes[i] == b'%')
            .then(|| bytes.get(i + 1..i + 3).and_then(hex))
            .flatten();
        match (bytes[i], escaped) {
            (_, Some(byte)) => {
                out.push(byte);
                i += 2;
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(byte),
        }
        i += 1;
    }
    match String::from_utf8(out) {
        Ok(text) => Cow::Owned(text),
        Err(e) => Cow::Owned(String::from_utf8_lossy(e.as_bytes()).into_owned()),
    }
}

fn hex(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16);
    Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let p = Params::of_text("db=a%20b+c&q=%C3%A9%&x&=y&db=second");
        assert_eq!(p.get("db").unwrap(), "a b c");
        assert_eq!(p.get("q").unwrap(), "é%");
        assert!(p.flag("x"));
        assert!(!p.flag("db"));
        assert!(p.get("nothing").is_none());
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        for text in ["%", "%4", "%zz", "a%", "%%41"] {
            let decoded = decode(text);
            assert!(
                decoded.starts_with('%') || decoded.starts_with('a'),
                "{text} became {decoded}"
            );
        }
        assert_eq!(decode("%%41"), "%A");
    }
}
