//! Query strings, and names in paths.

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
            (decode(k, true), decode(v, true))
        })
    }
}

/// A path, decoded. A plus is a plus there: only forms and query strings write blanks so.
pub(crate) fn path(text: &str) -> Cow<'_, str> {
    decode(text, false)
}

/// The name that stands behind `prefix` and ends the path; `None` when there is none, or more than one part. A slash
/// in a name is written `%2F`.
pub(crate) fn name_behind<'a>(uri: &'a hyper::Uri, prefix: &str) -> Option<Cow<'a, str>> {
    let raw = uri.path().strip_prefix(prefix)?;
    (!raw.is_empty() && !raw.contains('/')).then(|| path(raw))
}

/// Percent-decoded text; bytes that are no UTF-8 become replacement characters.
fn decode(text: &str, form: bool) -> Cow<'_, str> {
    let special = |b: u8| b == b'%' || (form && b == b'+');
    if !text.bytes().any(special) {
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
            (b'+', None) if form => out.push(b' '),
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
            let decoded = decode(text, true);
            assert!(
                decoded.starts_with('%') || decoded.starts_with('a'),
                "{text} became {decoded}"
            );
        }
        assert_eq!(decode("%%41", true), "%A");
    }

    #[test]
    fn names_in_paths_are_no_forms() {
        let name = |path: &'static str| {
            let uri = hyper::Uri::from_static(path);
            name_behind(&uri, "/p/").map(Cow::into_owned)
        };
        assert_eq!(name("/p/a+b%2B%20c").as_deref(), Some("a+b+ c"));
        assert_eq!(name("/p/a%2Fb").as_deref(), Some("a/b"));
        assert_eq!(name("/p/a/b"), None);
        assert_eq!(name("/p/"), None);
        assert_eq!(name("/q/a"), None);
    }
}
