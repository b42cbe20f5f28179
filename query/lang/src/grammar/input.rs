//! What the grammar runs over: a place in the token list, and what is remembered across
//! alternatives (the farthest objection, the depth).

use std::cell::{Cell, RefCell};
use std::iter::{Copied, Enumerate};
use std::slice::Iter;

use nom::Needed;
use nom::error::{ErrorKind, ParseError};

use crate::ast::Span;
use crate::error::SyntaxErrorKind;
use crate::token::{Symbol, Token, TokenKind};

/// How deep a statement may nest. A unit is an expression inside another; what takes more stack (a
/// query, a call) counts several. At this limit the parser stays within 512 KiB of stack, and so
/// does whatever walks the tree with frames of a kilobyte or two.
pub(crate) const MAX_DEPTH: usize = 160;

/// The error of every parser. It carries nothing: what there is to tell is in [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop;

impl<I> ParseError<I> for Stop {
    fn from_error_kind(_: I, _: ErrorKind) -> Self {
        Stop
    }

    fn append(_: I, _: ErrorKind, other: Self) -> Self {
        other
    }
}

pub(crate) type PResult<'a, T> = nom::IResult<Tokens<'a>, T, Stop>;

/// An objection that ends parsing at once, whatever alternatives are left.
#[derive(Debug)]
pub(crate) struct Fatal {
    pub kind: SyntaxErrorKind,
    pub message: String,
    pub hint: Option<String>,
    pub offset: usize,
}

/// What one parse remembers.
pub(crate) struct State<'a> {
    pub sql: &'a str,
    pub tokens: &'a [Token],
    /// Index of the farthest token that no alternative could take ..
    pub farthest: Cell<usize>,
    /// .. and what they wanted in its place.
    pub expected: RefCell<Vec<&'static str>>,
    pub fatal: RefCell<Option<Fatal>>,
    depth: Cell<usize>,
    /// Height of the highest expression that ended since the one around it began, see `expr::bound`.
    pub peak: Cell<usize>,
}

impl<'a> State<'a> {
    pub fn new(sql: &'a str, tokens: &'a [Token]) -> Self {
        State {
            sql,
            tokens,
            farthest: Cell::new(0),
            expected: RefCell::new(Vec::new()),
            fatal: RefCell::new(None),
            depth: Cell::new(0),
            peak: Cell::new(0),
        }
    }
}

/// A place in the token list. The last token is always `End`, and no parser goes behind it.
#[derive(Clone, Copy)]
pub(crate) struct Tokens<'a> {
    pub state: &'a State<'a>,
    pub at: usize,
    end: usize,
}

/// Gives its units of depth back when dropped.
pub(crate) struct Depth<'a> {
    state: &'a State<'a>,
    units: usize,
}

impl Drop for Depth<'_> {
    fn drop(&mut self) {
        self.state.depth.set(self.state.depth.get() - self.units);
    }
}

impl<'a> Tokens<'a> {
    pub fn new(state: &'a State<'a>) -> Self {
        Tokens {
            state,
            at: 0,
            end: state.tokens.len(),
        }
    }

    /// The place of the token with this index.
    pub fn at(&self, at: usize) -> Self {
        Tokens { at, ..*self }
    }

    /// The token `ahead` places on; `End` when that is behind the last.
    pub fn peek(&self, ahead: usize) -> Token {
        let last = self.state.tokens.len() - 1;
        self.state.tokens[(self.at + ahead).min(last)]
    }

    pub fn kind(&self) -> TokenKind {
        self.peek(0).kind
    }

    pub fn span(&self) -> Span {
        self.peek(0).span()
    }

    pub fn text(&self) -> &'a str {
        self.peek(0).text(self.state.sql)
    }

    /// The place behind the current token; the end stays the end.
    pub fn advance(&self) -> Self {
        Tokens {
            at: (self.at + 1).min(self.state.tokens.len() - 1),
            ..*self
        }
    }

    /// From `start` to the end of the token before this place.
    pub fn span_since(&self, start: Tokens<'a>) -> Span {
        let end = if self.at == 0 {
            0
        } else {
            self.state.tokens[self.at - 1].span().end
        };
        Span::new(start.span().start, end.max(start.span().start))
    }

    pub fn is_symbol(&self, ahead: usize, symbol: Symbol) -> bool {
        self.peek(ahead).kind == TokenKind::Symbol(symbol)
    }

    /// Whether the token `ahead` is this word, unquoted, in any case.
    pub fn is_word(&self, ahead: usize, word: &str) -> bool {
        let token = self.peek(ahead);
        token.kind == TokenKind::Word && token.text(self.state.sql).eq_ignore_ascii_case(word)
    }

    pub fn is_any_word(&self, ahead: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(ahead, word))
    }

    /// Whether the words of `phrase` stand here.
    pub fn is_phrase(&self, phrase: &str) -> bool {
        phrase
            .split(' ')
            .enumerate()
            .all(|(ahead, word)| self.is_word(ahead, word))
    }

    /// Remembers that `what` could have stood here.
    pub fn note(&self, what: &'static str) {
        let state = self.state;
        let mut expected = state.expected.borrow_mut();
        if self.at > state.farthest.get() {
            state.farthest.set(self.at);
            expected.clear();
        }
        if self.at == state.farthest.get() && !expected.contains(&what) {
            expected.push(what);
        }
    }

    /// `what` should have stood here; another alternative may know better.
    pub fn expected<T>(&self, what: &'static str) -> PResult<'a, T> {
        self.note(what);
        Err(nom::Err::Error(Stop))
    }

    /// Ends parsing with an objection to the current token.
    pub fn fatal(&self, message: impl Into<String>) -> nom::Err<Stop> {
        self.fatal_at(self.span(), SyntaxErrorKind::Syntax, message, None)
    }

    /// Ends parsing with an objection to what stands at `span`.
    pub fn fatal_at(
        &self,
        span: Span,
        kind: SyntaxErrorKind,
        message: impl Into<String>,
        hint: Option<&str>,
    ) -> nom::Err<Stop> {
        let mut fatal = self.state.fatal.borrow_mut();
        // The first objection stands: nothing parses on after it.
        fatal.get_or_insert_with(|| Fatal {
            kind,
            message: message.into(),
            hint: hint.map(str::to_owned),
            offset: span.start,
        });
        nom::Err::Failure(Stop)
    }

    /// Ends parsing at something that the language has and Tidemill does not, yet.
    pub fn not_yet(&self, what: &str, hint: Option<&str>) -> nom::Err<Stop> {
        let message = format!("{what} is not available yet");
        self.fatal_at(self.span(), SyntaxErrorKind::NotYet, message, hint)
    }

    /// Goes `units` deeper until the guard is dropped.
    pub fn deeper(&self, units: usize) -> Result<Depth<'a>, nom::Err<Stop>> {
        self.check_depth(units)?;
        let depth = &self.state.depth;
        depth.set(depth.get() + units);
        Ok(Depth {
            state: self.state,
            units,
        })
    }

    /// Objects if `units` more than the present depth are too many.
    pub fn check_depth(&self, units: usize) -> Result<(), nom::Err<Stop>> {
        if self.state.depth.get() + units > MAX_DEPTH {
            let message = "this is nested too deeply";
            return Err(self.fatal_at(self.span(), SyntaxErrorKind::TooLarge, message, None));
        }
        Ok(())
    }
}

impl<'a> nom::Input for Tokens<'a> {
    type Item = Token;
    type Iter = Copied<Iter<'a, Token>>;
    type IterIndices = Enumerate<Self::Iter>;

    fn input_len(&self) -> usize {
        self.end - self.at
    }

    fn take(&self, index: usize) -> Self {
        Tokens {
            end: self.at + index,
            ..*self
        }
    }

    fn take_from(&self, index: usize) -> Self {
        Tokens {
            at: self.at + index,
            ..*self
        }
    }

    fn take_split(&self, index: usize) -> (Self, Self) {
        (self.take_from(index), self.take(index))
    }

    fn position<P: Fn(Token) -> bool>(&self, predicate: P) -> Option<usize> {
        self.iter_elements().position(predicate)
    }

    fn iter_elements(&self) -> Self::Iter {
        self.state.tokens[self.at..self.end].iter().copied()
    }

    fn iter_indices(&self) -> Self::IterIndices {
        self.iter_elements().enumerate()
    }

    fn slice_index(&self, count: usize) -> Result<usize, Needed> {
        if count <= self.input_len() {
            Ok(count)
        } else {
            Err(Needed::new(count - self.input_len()))
        }
    }
}
