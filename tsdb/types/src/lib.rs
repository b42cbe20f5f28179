//! Tidemill's shared vocabulary: ids, times, schemas and columnar batches.
