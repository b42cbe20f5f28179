//! Tidemill's server: HTTP, WebSocket, metrics, configuration and the page.

mod config;
mod encode;
mod http;
mod metrics;
mod open_files;
mod server;
#[cfg(test)]
mod tests;
mod ws;

pub use config::{Config, ConfigError, Io, Limits, LogFormat};
pub use metrics::{Host, HostSample};
pub use server::{Server, ServerError};
