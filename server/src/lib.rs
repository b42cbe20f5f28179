//! Tidemill's server: HTTP, WebSocket, metrics, configuration and the page.
