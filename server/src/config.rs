//! What a server is started with: defaults, then a TOML file, then the environment and flags of `tidemill serve`.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Io {
    /// Through io_uring where a probe shows that it works, else with plain calls.
    #[default]
    Auto,
    /// Through io_uring, or not at all.
    Uring,
    /// With plain calls.
    Std,
}

impl From<Io> for tsdb::io::IoKind {
    fn from(io: Io) -> Self {
        match io {
            Io::Auto => tsdb::io::IoKind::Auto,
            Io::Uring => tsdb::io::IoKind::Uring,
            Io::Std => tsdb::io::IoKind::Std,
        }
    }
}

/// How the server's own log is written, to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// JSON, one object a line.
    Json,
}

/// The settings of a server. Every field has a default; a file names those that differ.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the data lies.
    pub data_dir: PathBuf,
    /// Address and port; port 0 picks one.
    pub listen: String,
    /// How the log is written.
    pub io: Io,
    /// Bytes of rows in memory above which writes are answered 503.
    pub head_bytes: u64,
    /// Bytes of rows in memory at which a flush to disk starts.
    pub flush_bytes: u64,
    /// Whether a database comes to be when it is first written.
    pub auto_create_databases: bool,
    /// Whether to listen beyond loopback although nobody has to say who he is.
    pub allow_remote: bool,
    /// Names that requests may give as `Host`, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What the server's own log tells: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
    /// `info,server=debug`.
    pub log: String,
    /// How it is written.
    pub log_format: LogFormat,
    /// Kafka, where a stream does not say otherwise.
    pub kafka: Kafka,
    /// Other sources, where a stream does not say otherwise.
    pub sources: OtherSources,
    /// Bounds.
    pub limits: Limits,
}

/// Where Kafka is, and how its clients are set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` of one broker or more, separated by commas; streams with a topic are read once this is known.
    pub brokers: Option<String>,
    /// Settings of librdkafka by their names, such as `security.protocol`.
    pub settings: std::collections::BTreeMap<String, String>,
}

/// Where sources besides Kafka are, and which files may be read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtherSources {
    /// The NATS server of streams that name none: `nats://host:4222`.
    pub nats_url: Option<String>,
    /// The MQTT broker of streams that name none: `mqtt://host:1883`.
    pub mqtt_url: Option<String>,
    /// Folders below which streams may read this machine's files; none unless given.
    pub file_roots: Vec<PathBuf>,
}

/// Bounds that keep one client from taking what all need.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once, WebSockets among them; more wait to be accepted.
    pub connections: usize,
    /// Seconds in which a connection must have sent a request's head, the first or the next one.
    pub header_seconds: u64,
    /// Seconds in which a request's body must have come.
    pub body_seconds: u64,
    /// Bytes of a body as sent.
    pub body_bytes: usize,
    /// Bytes of a body once decompressed.
    pub decoded_bytes: usize,
    /// Bytes of all bodies at once, as sent and decompressed; beyond, requests are answered 503.
    pub bodies_bytes: usize,
    /// Seconds that a query may take.
    pub query_seconds: u64,
    /// Bytes that a query may hold.
    pub query_bytes: usize,
    /// Frames that may wait for a subscriber.
    pub subscriber_frames: usize,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// Seconds in which a WebSocket's client must have sent something, if only the pong that its library sends.
    pub socket_seconds: u64,
    /// Different queries with EMIT that clients may keep going at once; views are not counted.
    pub live_queries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10_000,
            header_seconds: 30,
            body_seconds: 60,
            body_bytes: 64 << 20,
            decoded_bytes: 256 << 20,
            bodies_bytes: 1 << 30,
            query_seconds: 60,
            query_bytes: 1 << 30,
            subscriber_frames: 256,
            subscriptions: 256,
            socket_seconds: 60,
            live_queries: 256,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: "./tidemill-data".into(),
            listen: "127.0.0.1:8081".into(),
            io: Io::Auto,
            head_bytes: 1 << 30,
            flush_bytes: 192 << 20,
            auto_create_databases: true,
            allow_remote: false,
            hosts: Vec::new(),
            log: "info".into(),
            log_format: LogFormat::Text,
            kafka: Kafka::default(),
            sources: OtherSources::default(),
            limits: Limits::default(),
        }
    }
}

/// Why a configuration can't be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file is no TOML, or names what is no setting.
    #[error("{}: {source}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What and where.
        source: Box<toml::de::Error>,
    },
    /// A setting has no meaning.
    #[error("{setting}: {reason}")]
    Invalid {
        /// Which.
        setting: &'static str,
        /// Why.
        reason: String,
    },
    /// Everyone on the network could read and write.
    #[error(
        "listening on {0} lets everyone who reaches it read and write; allow that with --allow-remote, or listen on 127.0.0.1"
    )]
    Open(String),
}

impl Config {
    /// Reads a TOML file; what it does not name keeps its default.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::Parse`].
    pub fn from_file(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Checks what can be checked before anything is touched.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let l = &self.limits;
        let wants_more = [
            ("limits.connections", l.connections as u64),
            ("limits.header_seconds", l.header_seconds),
            ("limits.body_seconds", l.body_seconds),
            ("limits.body_bytes", l.body_bytes as u64),
            ("limits.decoded_bytes", l.decoded_bytes as u64),
            ("limits.bodies_bytes", l.bodies_bytes as u64),
            ("limits.query_seconds", l.query_seconds),
            ("limits.query_bytes", l.query_bytes as u64),
            ("limits.subscriber_frames", l.subscriber_frames as u64),
            ("limits.subscriptions", l.subscriptions as u64),
            ("limits.socket_seconds", l.socket_seconds),
            ("limits.live_queries", l.live_queries as u64),
            ("head_bytes", self.head_bytes),
            ("flush_bytes", self.flush_bytes),
        ];
        for (setting, value) in wants_more {
            if value == 0 {
                return Err(ConfigError::Invalid {
                    setting,
                    reason: "must be at least 1".into(),
                });
            }
        }
        Ok(())
    }

    /// Refuses an address that others can reach, unless that is wanted: there is no login yet.
    ///
    /// # Errors
    /// [`ConfigError::Open`].
    pub fn check_address(&self, address: SocketAddr) -> Result<(), ConfigError> {
        let local = match address.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        };
        if local || self.allow_remote {
            Ok(())
        } else {
            Err(ConfigError::Open(address.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_what_it_names_alone() {
        let config: Config =
            toml::from_str("listen = \"127.0.0.1:0\"\n[limits]\nbody_bytes = 7\n").unwrap();
        assert_eq!(config.listen, "127.0.0.1:0");
        assert_eq!(config.limits.body_bytes, 7);
        assert_eq!(config.limits.connections, Limits::default().connections);
        assert_eq!(config.head_bytes, Config::default().head_bytes);
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let error = toml::from_str::<Config>("lisen = \"x\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("lisen"), "{error}");
    }

    #[test]
    fn the_defaults_written_and_read_are_the_defaults() {
        let text = toml::to_string(&Config::default()).unwrap();
        let read: Config = toml::from_str(&text).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn strangers_are_let_in_only_when_wanted() {
        let config = Config::default();
        assert!(config.check_address("127.0.0.1:1".parse().unwrap()).is_ok());
        assert!(config.check_address("[::1]:1".parse().unwrap()).is_ok());
        assert!(config.check_address("0.0.0.0:1".parse().unwrap()).is_err());
        let config = Config {
            allow_remote: true,
            ..config
        };
        assert!(config.check_address("0.0.0.0:1".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_bound_of_nothing_is_refused() {
        let config = Config {
            limits: Limits {
                connections: 0,
                ..Limits::default()
            },
            ..Config::default()
        };
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .contains("limits.connections")
        );
    }
}
