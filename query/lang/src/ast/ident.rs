//! Names of things.

use super::Span;

/// One name. It keeps the case it was written in.
#[derive(Debug, Clone)]
pub struct Ident {
    /// The name, without quotes and with doubled quotes undone.
    pub value: String,
    /// Whether it was written in double quotes (or backticks): such a name matches exactly, any
    /// other matches whatever its case.
    pub quoted: bool,
    /// Where it stands.
    pub span: Span,
}

impl Ident {
    /// An unquoted name that stands nowhere.
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            quoted: false,
            span: Span::default(),
        }
    }

    /// A quoted name that stands nowhere.
    pub fn quoted(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            quoted: true,
            span: Span::default(),
        }
    }

    /// Whether this name, as written, means the thing called `name`: exactly when quoted, whatever
    /// the case (of ASCII letters) when not.
    pub fn matches(&self, name: &str) -> bool {
        if self.quoted {
            self.value == name
        } else {
            self.value.eq_ignore_ascii_case(name)
        }
    }
}

impl PartialEq for Ident {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.quoted == other.quoted
    }
}

impl Eq for Ident {}

/// A name of one or more parts, `a.b.c`. There is at least one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// The parts, outermost first.
    pub parts: Vec<Ident>,
}

impl ObjectName {
    /// A name of one part.
    pub fn single(ident: Ident) -> Self {
        Self { parts: vec![ident] }
    }

    /// The last part, which names the thing itself. (`None` only for a hand-made empty name.)
    pub fn last(&self) -> Option<&Ident> {
        self.parts.last()
    }

    /// The only part, if there is just one.
    pub fn as_single(&self) -> Option<&Ident> {
        match self.parts.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Where the whole name stands.
    pub fn span(&self) -> Span {
        match (self.parts.first(), self.parts.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => Span::default(),
        }
    }
}
