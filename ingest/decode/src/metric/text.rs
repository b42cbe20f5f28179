//! Text that metrics are stored or shown as.

use std::fmt::Write;

/// A number as JSON: shortest, whole ones without a point; what is no number is `null`, infinities are words.
pub(crate) fn push_number(v: f64, out: &mut String) {
    // Writing to a String can't fail.
    let _ = if v.is_nan() {
        write!(out, "null")
    } else if v.is_infinite() {
        write!(out, "\"{}Inf\"", if v > 0.0 { '+' } else { '-' })
    } else if v.fract() == 0.0 && v.abs() < 9e15 {
        write!(out, "{}", v as i64)
    } else {
        write!(out, "{v:?}")
    };
}

/// A JSON string.
pub(crate) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Items with commas between them.
pub(crate) fn push_list<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    mut push: impl FnMut(T, &mut String),
) {
    out.push('[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push(item, out);
    }
    out.push(']');
}

/// A JSON object of strings.
pub(crate) fn object<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in pairs.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(name, &mut out);
        out.push(':');
        push_string(value, &mut out);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let mut out = String::new();
        let numbers = [0.5, 3.0, -7.0, 1e300, 9e15, f64::NAN, f64::INFINITY];
        push_list(numbers, &mut out, push_number);
        assert_eq!(out, r#"[0.5,3,-7,1e300,9000000000000000.0,null,"+Inf"]"#);
        serde_json::from_str::<serde_json::Value>(&out).unwrap();
        let text = object([("a\"\\", "\n\u{1}é"), ("b", "")]);
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back, serde_json::json!({"a\"\\": "\n\u{1}é", "b": ""}));
    }
}
