//! Columns to bytes and back: pure codecs, no I/O.
