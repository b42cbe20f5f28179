//! `tidemill serve`.

use anyhow::Context;
use server::{Config, Io, Limits, LogFormat, Server};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Serve a data directory over HTTP and WebSocket until SIGTERM or Ctrl-C.
///
/// Settings are taken from the defaults, then from the file of --config, then from the environment, then from flags.
/// The file is TOML. Each setting's key there stands behind `file:`; sizes are in bytes there and in MiB here.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Read settings from a TOML file
    #[arg(long, env = "TIDEMILL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the data lies; made if it is not there [file: data_dir] [default: ./tidemill-data]
    #[arg(long, env = "TIDEMILL_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on; port 0 picks one and prints it [file: listen] [default: 127.0.0.1:8081]
    #[arg(long, env = "TIDEMILL_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Listen beyond loopback although nobody has to say who he is [file: allow_remote = true]
    #[arg(long, env = "TIDEMILL_ALLOW_REMOTE")]
    allow_remote: bool,
    /// Names that requests may give as Host besides IP addresses and localhost; may be repeated, and adds to the
    /// file's [file: hosts = [..]]
    #[arg(
        long = "host",
        env = "TIDEMILL_HOSTS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    hosts: Vec<String>,
    /// How the log is written [file: io] [default: auto, which is io_uring where it works]
    #[arg(long, env = "TIDEMILL_IO", value_enum)]
    io: Option<IoArg>,
    /// Rows in memory, in MiB, above which writes are answered 503 [file: head_bytes] [default: 1024]
    #[arg(long, env = "TIDEMILL_HEAD_MIB", value_name = "MIB")]
    head_mib: Option<u64>,
    /// Rows in memory, in MiB, at which a flush to disk starts [file: flush_bytes] [default: 192]
    #[arg(long, env = "TIDEMILL_FLUSH_MIB", value_name = "MIB")]
    flush_mib: Option<u64>,
    /// Answer 404 to writes to a database that does not exist, instead of making it
    /// [file: auto_create_databases = false]
    #[arg(long, env = "TIDEMILL_NO_AUTO_CREATE")]
    no_auto_create: bool,
    /// Kafka's brokers, `host:port` separated by commas, for streams that name none [file: kafka.brokers]
    #[arg(long, env = "TIDEMILL_KAFKA_BROKERS", value_name = "BROKERS")]
    kafka_brokers: Option<String>,
    /// The NATS server of streams that name none [file: sources.nats_url]
    #[arg(long, env = "TIDEMILL_NATS_URL", value_name = "URL")]
    nats_url: Option<String>,
    /// The MQTT broker of streams that name none [file: sources.mqtt_url]
    #[arg(long, env = "TIDEMILL_MQTT_URL", value_name = "URL")]
    mqtt_url: Option<String>,
    /// A folder below which streams may read this machine's files; may be repeated, and adds to the file's
    /// [file: sources.file_roots = [..]]
    #[arg(
        long = "file-root",
        env = "TIDEMILL_FILE_ROOTS",
        value_name = "DIR",
        value_delimiter = ','
    )]
    file_roots: Vec<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
    /// How the log of the server itself is written, to stderr [file: log_format] [default: text]
    #[arg(long, env = "TIDEMILL_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormatArg>,
    /// What it tells: error, warn, info, debug, trace, or a filter such as `info,server=debug` [file: log]
    /// [default: info]
    #[arg(long, env = "TIDEMILL_LOG", value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Connections at once, WebSockets among them; more wait to be accepted. Never more than the limit on open files
    /// allows [file: limits.connections] [default: 10000]
    #[arg(long, env = "TIDEMILL_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<usize>,
    /// Seconds in which a connection must have sent a request's head, the first or the next one
    /// [file: limits.header_seconds] [default: 30]
    #[arg(long, env = "TIDEMILL_HEADER_SECONDS", value_name = "S")]
    header_seconds: Option<u64>,
    /// Seconds in which a request's body must have come [file: limits.body_seconds] [default: 60]
    #[arg(long, env = "TIDEMILL_BODY_SECONDS", value_name = "S")]
    body_seconds: Option<u64>,
    /// Size of a body as sent, in MiB [file: limits.body_bytes] [default: 64]
    #[arg(long, env = "TIDEMILL_MAX_BODY_MIB", value_name = "MIB")]
    max_body_mib: Option<usize>,
    /// Size of a body once decompressed, in MiB [file: limits.decoded_bytes] [default: 256]
    #[arg(long, env = "TIDEMILL_MAX_DECODED_MIB", value_name = "MIB")]
    max_decoded_mib: Option<usize>,
    /// Size of all bodies at once, as sent and decompressed, in MiB; beyond, requests are answered 503
    /// [file: limits.bodies_bytes] [default: 1024]
    #[arg(long, env = "TIDEMILL_MAX_BODIES_MIB", value_name = "MIB")]
    max_bodies_mib: Option<usize>,
    /// Seconds that a query may take [file: limits.query_seconds] [default: 60]
    #[arg(long, env = "TIDEMILL_QUERY_SECONDS", value_name = "S")]
    query_seconds: Option<u64>,
    /// Memory that a query may take, in MiB [file: limits.query_bytes] [default: 1024]
    #[arg(long, env = "TIDEMILL_QUERY_MIB", value_name = "MIB")]
    query_mib: Option<usize>,
    /// Frames that may wait for a subscriber [file: limits.subscriber_frames] [default: 256]
    #[arg(long, env = "TIDEMILL_SUBSCRIBER_FRAMES", value_name = "N")]
    subscriber_frames: Option<usize>,
    /// Subscriptions of one connection [file: limits.subscriptions] [default: 256]
    #[arg(long, env = "TIDEMILL_MAX_SUBSCRIPTIONS", value_name = "N")]
    max_subscriptions: Option<usize>,
    /// Seconds in which a WebSocket's client must have sent something, if only its library's pong
    /// [file: limits.socket_seconds] [default: 60]
    #[arg(long, env = "TIDEMILL_SOCKET_SECONDS", value_name = "S")]
    socket_seconds: Option<u64>,
    /// Different queries with EMIT that clients may keep going at once; views are not counted
    /// [file: limits.live_queries] [default: 256]
    #[arg(long, env = "TIDEMILL_MAX_LIVE_QUERIES", value_name = "N")]
    max_live_queries: Option<usize>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum IoArg {
    Auto,
    Uring,
    Std,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormatArg {
    Text,
    Json,
}

impl ServeArgs {
    /// The settings that these arguments and their file come to.
    fn config(&self) -> anyhow::Result<Config> {
        let mut c = match &self.config {
            Some(path) => Config::from_file(path)?,
            None => Config::default(),
        };
        set(&mut c.data_dir, self.data_dir.clone());
        set(&mut c.listen, self.listen.clone());
        let io = |io| match io {
            IoArg::Auto => Io::Auto,
            IoArg::Uring => Io::Uring,
            IoArg::Std => Io::Std,
        };
        set(&mut c.io, self.io.map(io));
        set(
            &mut c.head_bytes,
            self.head_mib.map(|m| m.saturating_mul(1 << 20)),
        );
        set(
            &mut c.flush_bytes,
            self.flush_mib.map(|m| m.saturating_mul(1 << 20)),
        );
        if self.kafka_brokers.is_some() {
            c.kafka.brokers.clone_from(&self.kafka_brokers);
        }
        if self.nats_url.is_some() {
            c.sources.nats_url.clone_from(&self.nats_url);
        }
        if self.mqtt_url.is_some() {
            c.sources.mqtt_url.clone_from(&self.mqtt_url);
        }
        c.sources.file_roots.extend(self.file_roots.iter().cloned());
        c.allow_remote |= self.allow_remote;
        c.auto_create_databases &= !self.no_auto_create;
        c.hosts.extend(self.hosts.iter().cloned());
        set(&mut c.log, self.log.clone());
        let format = |format| match format {
            LogFormatArg::Text => LogFormat::Text,
            LogFormatArg::Json => LogFormat::Json,
        };
        set(&mut c.log_format, self.log_format.map(format));
        self.limits.apply(&mut c.limits);
        Ok(c)
    }
}

impl LimitArgs {
    fn apply(&self, l: &mut Limits) {
        let bytes = |mib: Option<usize>| mib.map(|m| m.saturating_mul(1 << 20));
        set(&mut l.connections, self.max_connections);
        set(&mut l.header_seconds, self.header_seconds);
        set(&mut l.body_seconds, self.body_seconds);
        set(&mut l.body_bytes, bytes(self.max_body_mib));
        set(&mut l.decoded_bytes, bytes(self.max_decoded_mib));
        set(&mut l.bodies_bytes, bytes(self.max_bodies_mib));
        set(&mut l.query_seconds, self.query_seconds);
        set(&mut l.query_bytes, bytes(self.query_mib));
        set(&mut l.subscriber_frames, self.subscriber_frames);
        set(&mut l.subscriptions, self.max_subscriptions);
        set(&mut l.socket_seconds, self.socket_seconds);
        set(&mut l.live_queries, self.max_live_queries);
    }
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log)
        .with_context(|| format!("log: \"{}\" is no filter", config.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for people; a file keeps them as noise.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

/// Serves until SIGTERM or SIGINT.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let config = args.config()?;
    start_log(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("serve")
        .build()?;
    let outcome = runtime.block_on(serve(config));
    // A recovery that was interrupted need not come to its end: it has acknowledged nothing.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let mut server = Server::start(config)
        .await
        .context("the server did not start")?;
    println!("Tidemill listens on http://{}", server.address());
    std::io::stdout().flush()?;
    let opened = tokio::select! {
        opened = server.ready() => opened,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    opened.context("the database did not open")?;
    tracing::info!(address = %server.address(), "ready");
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    tracing::info!("ending");
    server.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        serve: ServeArgs,
    }

    /// The keys of a configuration file, `limits.` ahead of those in that table.
    fn keys(table: &toml::Table, before: &str, out: &mut Vec<String>) {
        for (key, value) in table {
            match value {
                toml::Value::Table(inner) => keys(inner, &format!("{before}{key}."), out),
                _ => out.push(format!("{before}{key}")),
            }
        }
    }

    /// The default that a help text tells is the real one.
    fn told_default(key: &str, defaults: &toml::Table, help: &str) {
        let value = match key.split_once('.') {
            Some((table, key)) => &defaults[table][key],
            None => &defaults[key],
        };
        let Some((_, told)) = help.split_once("[default: ") else {
            let none = matches!(value, toml::Value::Boolean(_) | toml::Value::Array(_));
            return assert!(none, "{key} does not tell its default {value}");
        };
        let told = told.split([',', ']']).next().unwrap();
        let real = match value {
            toml::Value::Integer(n) if help.contains("in MiB") => (n >> 20).to_string(),
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(told, real, "{key}");
    }

    #[test]
    fn every_setting_of_the_file_has_a_flag_and_a_variable_that_say_so() {
        let defaults = toml::Table::try_from(Config::default()).unwrap();
        let mut all = Vec::new();
        keys(&defaults, "", &mut all);
        assert!(all.len() > 15, "{all:?}");
        let command = Command::command();
        for key in all {
            let named = |help: &str| {
                help.contains(&format!("[file: {key}]"))
                    || help.contains(&format!("[file: {key} ="))
            };
            let args: Vec<_> = command
                .get_arguments()
                .filter(|a| a.get_help().is_some_and(|h| named(&h.to_string())))
                .collect();
            let [arg] = args.as_slice() else {
                panic!("{key} is named by {} flags", args.len())
            };
            assert!(arg.get_long().is_some() && arg.get_env().is_some(), "{key}");
            told_default(&key, &defaults, &arg.get_help().unwrap().to_string());
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tidemill.toml");
        let text = "log = \"debug\"\nlog_format = \"json\"\nhosts = [\"a\"]\n[limits]\nlive_queries = 7\nsocket_seconds = 8\n";
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let parsed = Command::parse_from([
            "serve",
            "--config",
            path,
            "--log",
            "warn",
            "--host",
            "b",
            "--max-live-queries",
            "9",
            "--max-bodies-mib",
            "3",
        ]);
        let c = parsed.serve.config().unwrap();
        assert_eq!((c.log.as_str(), c.log_format), ("warn", LogFormat::Json));
        assert_eq!(c.hosts, ["a", "b"]);
        assert_eq!((c.limits.live_queries, c.limits.socket_seconds), (9, 8));
        assert_eq!(c.limits.bodies_bytes, 3 << 20);
        assert_eq!(c.limits.connections, Limits::default().connections);
    }
}
