//! Schemas are read by recursion, here and in the crates that read them, and refer to one another: what could be too deep
//! for a usual stack is read on a large one, and what could be too deep for that is refused.

/// The stack that schemas are read on. Pages of it that are not used take no memory.
const STACK: usize = 64 << 20;

/// Runs what recurses with a schema.
///
/// # Errors
/// When there is no thread for it, or it panics.
pub(super) fn on_a_large_stack<T: Send>(
    f: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    let failed = |what: &str| Err(format!("the schema can't be read now: {what}"));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("schema".into())
            .stack_size(STACK)
            .spawn_scoped(scope, f);
        match thread {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|_| failed("its reader has panicked")),
            Err(e) => failed(&e.to_string()),
        }
    })
}

/// The deepest brackets within brackets, those in strings and in comments of C left out.
pub(super) fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut rest = text.as_bytes();
    while let [b, tail @ ..] = rest {
        rest = tail;
        match b {
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            b'/' if rest.first() == Some(&b'/') => {
                let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                rest = &rest[end..];
            }
            b'/' if rest.first() == Some(&b'*') => {
                let end = rest.windows(2).skip(1).position(|w| w == b"*/");
                rest = end.map_or(&[], |i| &rest[i + 3..]);
            }
            b'"' | b'\'' => {
                while let [c, tail @ ..] = rest {
                    rest = tail;
                    match c {
                        b'\\' => rest = rest.get(1..).unwrap_or_default(),
                        // A string does not go on in the next line; brackets there count.
                        b'\n' => break,
                        c if c == b => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_comments_and_strings() {
        for (text, depth) in [
            ("message A { message B { } }", 2),
            ("// {{{{\nmessage A {}", 1),
            ("/* {{{ */ message A {} /* {", 1),
            ("/*/ {{ */ (", 1),
            (r#"option a = "{{\"{{"; ["#, 1),
            ("'{'{'{\n{{", 3),
            ("}}{", 1),
        ] {
            assert_eq!(nesting(text), depth, "{text}");
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        assert!(on_a_large_stack::<()>(|| panic!("on purpose")).is_err());
        assert_eq!(on_a_large_stack(|| Ok(7)), Ok(7));
    }
}
