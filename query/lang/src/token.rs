//! Text to tokens.
//!
//! The lexer never fails: what is no token becomes [`TokenKind::Bad`] and is reported only if the
//! grammar gets there, so that an error further to the left wins.

use crate::ast::Span;

/// The longest text that is parsed. Token offsets fit in 32 bits because of it.
pub const MAX_SQL_BYTES: usize = 64 << 20;

/// What a token is. Its text is looked up by its offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// An unquoted word: keyword or name, only the grammar can say.
    Word,
    /// `"name"` or `` `name` ``
    Quoted,
    /// Digits alone
    Integer,
    /// `0x..`
    HexInteger,
    /// Digits with a point
    Decimal,
    /// A number with an exponent
    Float,
    /// `'text'`
    String,
    /// `X'..'`
    Bytes,
    /// An operator or a bracket
    Symbol(Symbol),
    /// Something that is no token
    Bad(BadToken),
    /// The end of the text
    End,
}

/// Why something is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadToken {
    /// A quote that is never closed
    OpenString,
    /// A double quote or backtick that is never closed
    OpenQuoted,
    /// `""`
    EmptyQuoted,
    /// `/*` that is never closed
    OpenComment,
    /// Letters that touch the end of a number
    Number,
    /// `X'..'` with something that is no pair of hexadecimal digits
    HexDigits,
    /// A character that begins no token
    Character,
}

macro_rules! symbols {
    ($($name:ident $text:literal),* $(,)?) => {
        /// Operators and brackets.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is its text, see `text`")]
        pub enum Symbol { $($name),* }

        impl Symbol {
            /// How it is written.
            pub const fn text(self) -> &'static str {
                match self { $(Symbol::$name => $text),* }
            }

            /// Every symbol; of two with a common beginning the longer comes first.
            const ALL: &'static [Symbol] = &[$(Symbol::$name),*];
        }
    };
}

// `>>` is missing on purpose: in `ARRAY<ARRAY<INT>>` it closes two brackets, so the grammar puts the
// operator together from two neighbours.
symbols! {
    NotTildeStar "!~*", NotTilde "!~", BangEq "!=", DoubleEq "==", Arrow "=>", LtGt "<>", LtEq "<=",
    ShiftLeft "<<", GtEq ">=", DoublePipe "||", TildeStar "~*", DoubleColon "::",
    LeftParen "(", RightParen ")", LeftBracket "[", RightBracket "]", Comma ",", Semicolon ";", Dot ".",
    Plus "+", Minus "-", Star "*", Slash "/", Percent "%", Eq "=", Lt "<", Gt ">", Tilde "~",
    Ampersand "&", Pipe "|", Hash "#", Colon ":",
}

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    start: u32,
    end: u32,
}

impl Token {
    /// Where it stands.
    pub fn span(&self) -> Span {
        Span::new(self.start as usize, self.end as usize)
    }

    /// Its text, quotes included.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.start as usize..self.end as usize]
    }
}

/// The tokens of a text of at most [`MAX_SQL_BYTES`], with [`TokenKind::End`] last; comments and
/// blanks are left out.
pub fn tokenize(sql: &str) -> Vec<Token> {
    debug_assert!(sql.len() <= MAX_SQL_BYTES);
    let mut lexer = Lexer { sql, at: 0 };
    let mut tokens = Vec::with_capacity(sql.len() / 5 + 1);
    loop {
        let kind = match lexer.skip_blanks() {
            Ok(()) => None,
            Err(start) => Some((start, TokenKind::Bad(BadToken::OpenComment))),
        };
        let (start, kind) = kind.unwrap_or_else(|| (lexer.at, lexer.next_kind()));
        tokens.push(Token {
            kind,
            start: start as u32,
            end: lexer.at as u32,
        });
        if kind == TokenKind::End {
            return tokens;
        }
    }
}

/// Whether a character may begin an unquoted name.
pub fn starts_word(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// Whether a character may go on with an unquoted name.
pub fn continues_word(c: char) -> bool {
    c == '_' || c == '$' || c.is_alphanumeric()
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }

    fn eat_while(&mut self, mut wanted: impl FnMut(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    /// Skips blanks and comments; an open comment takes the rest of the text and is an error that
    /// tells its start.
    fn skip_blanks(&mut self) -> Result<(), usize> {
        loop {
            self.eat_while(|c| c.is_whitespace() || c == '\u{feff}');
            if self.rest().starts_with("--") {
                self.eat_while(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                self.skip_block_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Block comments nest.
    fn skip_block_comment(&mut self) -> Result<(), usize> {
        let start = self.at;
        let bytes = self.sql.as_bytes();
        let mut depth = 0usize;
        while self.at < bytes.len() {
            match &bytes[self.at..] {
                [b'/', b'*', ..] => {
                    depth += 1;
                    self.at += 2;
                }
                [b'*', b'/', ..] => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => self.at += 1,
            }
        }
        Err(start)
    }

    fn next_kind(&mut self) -> TokenKind {
        let rest = self.rest();
        let mut chars = rest.chars();
        let Some(first) = chars.next() else {
            return TokenKind::End;
        };
        let second = chars.next();
        if matches!(first, 'x' | 'X') && second == Some('\'') {
            return self.bytes();
        }
        if starts_word(first) {
            self.eat_while(continues_word);
            return TokenKind::Word;
        }
        if first.is_ascii_digit() || (first == '.' && second.is_some_and(|c| c.is_ascii_digit())) {
            return self.number();
        }
        match first {
            '\'' => self.delimited('\'', TokenKind::String, BadToken::OpenString),
            '"' | '`' => {
                let start = self.at;
                let kind = self.delimited(first, TokenKind::Quoted, BadToken::OpenQuoted);
                if kind == TokenKind::Quoted && self.at == start + 2 {
                    return TokenKind::Bad(BadToken::EmptyQuoted);
                }
                kind
            }
            _ => {
                let rest = self.rest();
                let found = Symbol::ALL.iter().find(|s| rest.starts_with(s.text()));
                if let Some(symbol) = found {
                    self.at += symbol.text().len();
                    return TokenKind::Symbol(*symbol);
                }
                self.at += first.len_utf8();
                TokenKind::Bad(BadToken::Character)
            }
        }
    }

    /// Text between two of `quote`; a doubled one inside stands for one.
    fn delimited(&mut self, quote: char, kind: TokenKind, open: BadToken) -> TokenKind {
        let bytes = self.sql.as_bytes();
        self.at += 1;
        loop {
            match self.rest().find(quote) {
                None => {
                    self.at = bytes.len();
                    return TokenKind::Bad(open);
                }
                Some(distance) => {
                    self.at += distance + 1;
                    if bytes.get(self.at) != Some(&(quote as u8)) {
                        return kind;
                    }
                    self.at += 1;
                }
            }
        }
    }

    fn bytes(&mut self) -> TokenKind {
        self.at += 1;
        let start = self.at + 1;
        let kind = self.delimited('\'', TokenKind::Bytes, BadToken::OpenString);
        if kind != TokenKind::Bytes {
            return kind;
        }
        let digits = &self.sql.as_bytes()[start..self.at - 1];
        if digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit) {
            kind
        } else {
            TokenKind::Bad(BadToken::HexDigits)
        }
    }

    fn number(&mut self) -> TokenKind {
        let kind = self.number_kind();
        if self.rest().starts_with(continues_word) {
            self.eat_while(continues_word);
            return TokenKind::Bad(BadToken::Number);
        }
        kind
    }

    fn number_kind(&mut self) -> TokenKind {
        let digits = |c: char| c.is_ascii_digit();
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.at += 2;
            let start = self.at;
            self.eat_while(|c| c.is_ascii_hexdigit());
            // 31 digits are what an i128 surely holds.
            let fits = (1..=31).contains(&(self.at - start));
            return if fits {
                TokenKind::HexInteger
            } else {
                TokenKind::Bad(BadToken::Number)
            };
        }
        self.eat_while(digits);
        let mut kind = TokenKind::Integer;
        if self.rest().starts_with('.') {
            self.at += 1;
            self.eat_while(digits);
            kind = TokenKind::Decimal;
        }
        if self.rest().starts_with(['e', 'E']) {
            let after = &self.rest()[1..];
            let sign = usize::from(after.starts_with(['+', '-']));
            if after[sign..].starts_with(digits) {
                self.at += 1 + sign;
                self.eat_while(digits);
                kind = TokenKind::Float;
            }
        }
        kind
    }
}
