//! Any bytes as a message that names its schema: what is split off can be put together again.
#![no_main]

use ingest::schemas::wire::{join, join_indexes, split, split_indexes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    let Ok((id, payload)) = split(message) else {
        return;
    };
    assert_eq!(join(id, payload), message);
    if let Ok((indexes, rest)) = split_indexes(payload) {
        // Numbers may be written longer than they need be, so the bytes may differ, not what they mean.
        let again = join_indexes(&indexes, rest);
        assert_eq!(split_indexes(&again), Ok((indexes, rest)));
    }
});
