//! Tests of the whole: text to tree to text.

mod docs;
mod generate;
mod golden;
mod hostile;
mod roundtrip;
