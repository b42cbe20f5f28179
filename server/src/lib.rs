//! Tidemill's server: HTTP, WebSocket, metrics, configuration and the page.

mod config;
mod http;
mod metrics;
mod server;

pub use config::{Config, ConfigError, Io, Limits};
pub use server::{Server, ServerError};
