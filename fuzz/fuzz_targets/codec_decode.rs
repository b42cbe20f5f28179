//! Any bytes to every decoder: an error that leaves nothing behind, or exactly the rows asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb_codec::*;

const MAX_ROWS: usize = 1 << 14;
const MAX_BYTES: usize = 1 << 20;

fn check<T>(rows: usize, decode: impl FnOnce(&mut Vec<T>) -> Result<()>) {
    let mut out = Vec::new();
    let expected = decode(&mut out).map_or(0, |()| rows);
    assert_eq!(out.len(), expected);
}

fuzz_target!(|data: &[u8]| {
    let [low, high, bytes @ ..] = data else {
        return;
    };
    let rows = usize::from(u16::from_le_bytes([*low, *high])) % MAX_ROWS;
    check(rows, |out| decode_i64(bytes, rows, out));
    check(rows, |out| decode_f64(bytes, rows, out));
    check(rows, |out| decode_bool(bytes, rows, out));
    check(rows, |out| decode_i128(bytes, rows, out));
    let mut text = Vec::new();
    check(rows + 1, |out| {
        decode_bytes(bytes, rows, MAX_BYTES, out, &mut text)
    });
    assert!(text.len() <= MAX_BYTES);
    if let Ok(Some(column)) = decode_dictionary(bytes, rows, MAX_BYTES) {
        assert_eq!(column.indexes.len(), rows);
        let distinct = column.offsets.len() - 1;
        assert!(column.indexes.iter().all(|&i| (i as usize) < distinct));
    }
});
