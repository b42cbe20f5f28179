//! Tidemill's server: HTTP, WebSocket, metrics, configuration and the page.

mod config;
mod encode;
mod http;
mod metrics;
mod server;
mod ws;

pub use config::{Config, ConfigError, Io, Limits};
pub use server::{Server, ServerError};
