//! Any text to the SQL parser: an error with a position in the text, or statements whose printed form
//! parses to the same statements.
#![no_main]

use libfuzzer_sys::fuzz_target;
use query_lang::parse_statements;

fuzz_target!(|sql: &str| {
    match parse_statements(sql) {
        Ok(statements) => {
            let printed: Vec<String> = statements.iter().map(ToString::to_string).collect();
            let printed = printed.join(";\n");
            let again = parse_statements(&printed);
            assert_eq!(again.as_ref(), Ok(&statements), "{printed}");
        }
        Err(error) => {
            assert!(sql.is_char_boundary(error.offset), "{error:?}");
            assert!(!error.message.is_empty());
        }
    }
});
