//! Tests of the whole: text to tree to text.

mod golden;
mod hostile;
