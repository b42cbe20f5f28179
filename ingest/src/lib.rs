//! Ingest: sources, decoders, admission and dead letters.
