//! Tidemill's storage engine: log, head, segments, manifest, recovery and scans.
