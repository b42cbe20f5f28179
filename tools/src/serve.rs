//! `tidemill serve`.

use anyhow::Context;
use server::{Config, Io, Server};
use std::io::Write;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Serve a data directory over HTTP and WebSocket until SIGTERM or Ctrl-C.
///
/// Settings are taken from the defaults, then from the file of --config, then from the environment, then from flags.
/// The file is TOML; its keys are those of the flags with `_` for `-`, and the bounds stand in `[limits]`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Read settings from a TOML file
    #[arg(long, env = "TIDEMILL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the data lies; made if it is not there [default: ./tidemill-data]
    #[arg(long, env = "TIDEMILL_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on; port 0 picks one and prints it [default: 127.0.0.1:8081]
    #[arg(long, env = "TIDEMILL_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Listen beyond loopback although nobody has to say who he is
    #[arg(long, env = "TIDEMILL_ALLOW_REMOTE")]
    allow_remote: bool,
    /// Names that requests may give as Host besides IP addresses and localhost; may be repeated
    #[arg(
        long = "host",
        env = "TIDEMILL_HOSTS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    hosts: Vec<String>,
    /// How the log is written [default: auto, which is io_uring where it works]
    #[arg(long, env = "TIDEMILL_IO", value_enum)]
    io: Option<IoArg>,
    /// Rows in memory, in MiB, above which writes are answered 503 [default: 1024]
    #[arg(long, env = "TIDEMILL_HEAD_MIB", value_name = "MIB")]
    head_mib: Option<u64>,
    /// Rows in memory, in MiB, at which a flush to disk starts [default: 192]
    #[arg(long, env = "TIDEMILL_FLUSH_MIB", value_name = "MIB")]
    flush_mib: Option<u64>,
    /// Answer 404 to writes to a database that does not exist, instead of making it
    #[arg(long, env = "TIDEMILL_NO_AUTO_CREATE")]
    no_auto_create: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// How the log of the server itself is written, to stderr
    #[arg(long, env = "TIDEMILL_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What it tells: error, warn, info, debug, trace, or a filter such as `info,server=debug`
    #[arg(
        long,
        env = "TIDEMILL_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    log: String,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Connections at once; more wait to be accepted [default: 10000]
    #[arg(long, env = "TIDEMILL_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<usize>,
    /// Seconds in which a connection must have sent a request's head [default: 30]
    #[arg(long, env = "TIDEMILL_HEADER_SECONDS", value_name = "S")]
    header_seconds: Option<u64>,
    /// Seconds in which a request's body must have come [default: 60]
    #[arg(long, env = "TIDEMILL_BODY_SECONDS", value_name = "S")]
    body_seconds: Option<u64>,
    /// Size of a body as sent, in MiB [default: 64]
    #[arg(long, env = "TIDEMILL_MAX_BODY_MIB", value_name = "MIB")]
    max_body_mib: Option<usize>,
    /// Size of a body once decompressed, in MiB [default: 256]
    #[arg(long, env = "TIDEMILL_MAX_DECODED_MIB", value_name = "MIB")]
    max_decoded_mib: Option<usize>,
    /// Seconds that a query may take [default: 60]
    #[arg(long, env = "TIDEMILL_QUERY_SECONDS", value_name = "S")]
    query_seconds: Option<u64>,
    /// Memory that a query may take, in MiB [default: 1024]
    #[arg(long, env = "TIDEMILL_QUERY_MIB", value_name = "MIB")]
    query_mib: Option<usize>,
    /// Frames that may wait for a subscriber [default: 256]
    #[arg(long, env = "TIDEMILL_SUBSCRIBER_FRAMES", value_name = "N")]
    subscriber_frames: Option<usize>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum IoArg {
    Auto,
    Uring,
    Std,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
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
        set(
            &mut c.io,
            self.io.map(|io| match io {
                IoArg::Auto => Io::Auto,
                IoArg::Uring => Io::Uring,
                IoArg::Std => Io::Std,
            }),
        );
        set(
            &mut c.head_bytes,
            self.head_mib.map(|m| m.saturating_mul(1 << 20)),
        );
        set(
            &mut c.flush_bytes,
            self.flush_mib.map(|m| m.saturating_mul(1 << 20)),
        );
        c.allow_remote |= self.allow_remote;
        c.auto_create_databases &= !self.no_auto_create;
        c.hosts.extend(self.hosts.iter().cloned());
        let (l, a) = (&mut c.limits, &self.limits);
        set(&mut l.connections, a.max_connections);
        set(&mut l.header_seconds, a.header_seconds);
        set(&mut l.body_seconds, a.body_seconds);
        set(
            &mut l.body_bytes,
            a.max_body_mib.map(|m| m.saturating_mul(1 << 20)),
        );
        set(
            &mut l.decoded_bytes,
            a.max_decoded_mib.map(|m| m.saturating_mul(1 << 20)),
        );
        set(&mut l.query_seconds, a.query_seconds);
        set(
            &mut l.query_bytes,
            a.query_mib.map(|m| m.saturating_mul(1 << 20)),
        );
        set(&mut l.subscriber_frames, a.subscriber_frames);
        Ok(c)
    }

    fn start_log(&self) -> anyhow::Result<()> {
        let filter = tracing_subscriber::EnvFilter::try_new(&self.log).context("--log")?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().init(),
        }
        Ok(())
    }
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

/// Serves until SIGTERM or SIGINT.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let config = args.config()?;
    args.start_log()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("serve")
        .build()?;
    runtime.block_on(async {
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
            // A signal during recovery: nothing has been acknowledged, so there is nothing to end.
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        opened.context("the database did not open")?;
        tracing::info!(address = %server.address(), "ready");
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("ending");
        server.stop().await;
        Ok(())
    })
}
