//! What every codec must pass: the round trip, and no harm from any damage to the bytes.

use crate::error::Result;
use std::fmt::Debug;

/// Checks that `bytes` decode to `values`, appended to what was there; that no shorter payload and
/// no other count of rows does; and that no damage to one byte makes the decoder panic, leave
/// rows behind with an error, or produce another count of rows.
pub(crate) fn check<T: Clone + PartialEq + Debug>(
    values: &[T],
    bytes: &[u8],
    decode: impl Fn(&[u8], usize, &mut Vec<T>) -> Result<()>,
) {
    let rows = values.len();
    let before: Vec<T> = values.iter().take(1).cloned().collect();
    let attempt = |bytes: &[u8], rows: usize| {
        let mut out = before.clone();
        let result = decode(bytes, rows, &mut out);
        assert_eq!(out[..before.len()], before, "what was there is kept");
        let decoded = out.split_off(before.len());
        match &result {
            Ok(()) => assert_eq!(decoded.len(), rows, "as many rows as asked for"),
            Err(error) => assert!(decoded.is_empty(), "rows are left behind by: {error}"),
        }
        result.map(|()| decoded)
    };

    assert_eq!(attempt(bytes, rows).as_deref(), Ok(values));
    let step = bytes.len() / 300 + 1;
    for length in (0..bytes.len()).step_by(step) {
        let cut = attempt(&bytes[..length], rows);
        assert!(cut.is_err(), "{length} of {} bytes were taken", bytes.len());
    }
    assert!(
        attempt(&[bytes, &[0]].concat(), rows).is_err(),
        "a byte too many was taken"
    );
    for other in [0, rows / 2, rows + 1, rows * 2 + 70] {
        // Some payloads fit several counts, such as one constant; it must do no harm.
        let _ = attempt(bytes, other);
    }
    let mut damaged = bytes.to_vec();
    for at in (0..bytes.len()).step_by(step) {
        for change in [0x01, 0x80, 0xff, bytes[at], !bytes[at]] {
            damaged[at] = bytes[at] ^ change;
            let _ = attempt(&damaged, rows);
        }
        damaged[at] = bytes[at];
    }
}
