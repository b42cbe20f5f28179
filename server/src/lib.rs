//! Tidemill's server: HTTP, WebSocket, metrics, configuration and the page.

mod config;
mod encode;
mod hash;
mod http;
mod letters;
mod metrics;
mod open_files;
mod server;
mod shedding;
mod sink;
mod sources;
#[cfg(test)]
mod tests;
mod ws;

pub use config::{Config, ConfigError, Io, Kafka, Limits, LogFormat, OtherSources};
pub use metrics::{Host, HostSample};
pub use server::{Server, ServerError};
