//! `tidemill demo`: a server with something going on. It replays real flights in event time, samples this host, and
//! makes purchases with a few fraudsters among them, all through the server's own HTTP port.
//!
//! Nothing is lost or doubled when it ends, however it ends: flights of one time are committed together, so that the
//! latest time in the database tells where to go on; the other two sources belong to the present.

mod feed;
mod flights;
mod kafka;
pub(crate) mod progress;
mod purchases;
mod schema;
mod sources;

use crate::sql::client::Client;
use anyhow::{Context, anyhow};
use feed::{Progress, Stop};
use flights::Flights;
use progress::{clock, grouped, say};
use purchases::Shop;
use sources::Source;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

/// Options of `tidemill demo`.
#[derive(clap::Args)]
pub struct DemoArgs {
    /// Where the data lies.
    #[arg(long, default_value = "./tidemill-demo")]
    data_dir: PathBuf,
    /// Address and port to listen on; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: String,
    /// Seconds of the flights' time that pass in a second: at 600 a day takes 144 seconds.
    #[arg(long, default_value_t = 600.0, value_parser = positive)]
    speed: f64,
    /// Honest purchases a second.
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    purchases_per_second: f64,
    /// Fraudsters among the customers.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(..=1000))]
    fraudsters: u64,
    /// Have the purchases go through Kafka: a broker of the demo's own, which the project's script starts, or the one
    /// given.
    #[arg(long, value_name = "BROKERS", num_args = 0..=1, default_missing_value = "", require_equals = true)]
    kafka: Option<String>,
    /// Leave the flights out.
    #[arg(long)]
    no_flights: bool,
    /// Leave the samples of this host out.
    #[arg(long)]
    no_host: bool,
    /// Leave the purchases out.
    #[arg(long)]
    no_purchases: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n > 0.0 && n <= 1e9 => Ok(n),
        _ => Err("expected a number above 0, up to 1e9".to_owned()),
    }
}

/// Runs the demo until SIGINT or SIGTERM.
///
/// # Errors
/// When the server does not start, or a source can't write what it has.
pub fn run(args: DemoArgs) -> anyhow::Result<()> {
    // The progress line and the log share a screen: only what matters is logged.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let last = runtime.block_on(serve_and_play(&args));
    // A recovery that was interrupted need not come to its end: it has acknowledged nothing.
    runtime.shutdown_background();
    say(&last?);
    Ok(())
}

/// What ends the demo in order.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    async fn wait(&mut self) {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
    }
}

/// Starts the server, plays, and stops the server; gives the last line to say.
async fn serve_and_play(args: &DemoArgs) -> anyhow::Result<String> {
    // From here on no signal is a sudden death, recovery included.
    let mut ends = Ends {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let (_broker, brokers) = match args.kafka.as_deref() {
        None => (None, None),
        Some("") => {
            say("Starting a Kafka broker ..");
            let (broker, address) = tokio::task::spawn_blocking(kafka::Broker::start).await??;
            (Some(broker), Some(address))
        }
        Some(brokers) => (None, Some(brokers.to_owned())),
    };
    let counter = match &brokers {
        Some(brokers) => Some(kafka::Counter::open(brokers).await?),
        None => None,
    };
    let config = server::Config {
        data_dir: args.data_dir.clone(),
        listen: args.listen.clone(),
        kafka: server::Kafka {
            brokers,
            ..server::Kafka::default()
        },
        ..server::Config::default()
    };
    let mut server = server::Server::start(config).await.with_context(|| {
        format!(
            "the server did not start on {} with {}",
            args.listen,
            args.data_dir.display()
        )
    })?;
    let url = format!("http://{}", server.address());
    say(&format!("Tidemill listens on {url}"));
    let opened = tokio::select! {
        opened = server.ready() => opened,
        () = ends.wait() => return Ok(format!("Ended while {} was being opened.", args.data_dir.display())),
    };
    opened.with_context(|| format!("{} did not open", args.data_dir.display()))?;
    // A server that has started is stopped in order, whatever happens to the sources.
    let outcome = play(args, &url, counter.clone(), &mut ends).await;
    if let Some(counter) = counter {
        counter.finish();
    }
    server.stop().await;
    outcome
}

/// Plays until the end; gives the last line to say.
async fn play(
    args: &DemoArgs,
    url: &str,
    counter: Option<kafka::Counter>,
    ends: &mut Ends,
) -> anyhow::Result<String> {
    let client = Client::new(url)?;
    schema::make(&client).await?;
    let (latest, replayed) = schema::replayed(&client)
        .await
        .context("asking where the replay stands")?;
    greet(args, url, latest, replayed);

    let progress = Arc::new(Progress::default());
    progress.replayed.store(replayed, Ordering::Relaxed);
    progress.clock.store(latest.unwrap_or(0), Ordering::Relaxed);
    let (tell_stop, stop) = Stop::pair();
    let source = Source {
        client,
        progress: progress.clone(),
        stop: stop.clone(),
    };
    let mut sources = JoinSet::new();
    if !args.no_flights {
        let (source, speed) = (source.clone(), args.speed);
        let flights = tokio::task::spawn_blocking(Flights::load).await??;
        sources.spawn(async move {
            let all = flights.count();
            if source.flights(flights, latest, speed).await? {
                say(&format!(
                    "All {} flights are through; the rest goes on.",
                    grouped(all)
                ));
            }
            Ok(())
        });
    }
    if !args.no_host {
        sources.spawn(source.clone().host());
    }
    if !args.no_purchases {
        let seed = chrono::Utc::now().timestamp_micros() as u64;
        let shop = Shop::new(args.purchases_per_second, args.fraudsters, seed);
        sources.spawn(source.clone().purchases(shop, counter));
    }
    let line = tokio::spawn(progress::tell(progress.clone(), stop));

    let mut outcome = Ok(());
    loop {
        tokio::select! {
            () = ends.wait() => break,
            Some(ended) = sources.join_next() => {
                outcome = ended.map_err(|e| anyhow!(e)).and_then(|done| done);
                if outcome.is_err() {
                    break;
                }
            }
        }
    }
    // Every receiver may have ended already.
    let _ = tell_stop.send(true);
    while let Some(ended) = sources.join_next().await {
        outcome = outcome.and(ended.map_err(|e| anyhow!(e)).and_then(|done| done));
    }
    line.await?;
    outcome?;
    Ok(farewell(&progress, args))
}

fn greet(args: &DemoArgs, url: &str, latest: Option<i64>, replayed: u64) {
    say(&format!("  page   {url}/"));
    say(&format!("  shell  tidemill sql --url {url}"));
    let data = args.data_dir.display();
    match latest {
        None => say(&format!("  data   {data}, new")),
        Some(time) => {
            say(&format!(
                "  data   {data}, goes on after {} flights at {}",
                grouped(replayed),
                clock(time)
            ));
        }
    }
    say("Ctrl-C ends it; started again, it goes on.");
}

fn farewell(progress: &Progress, args: &DemoArgs) -> String {
    let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    format!(
        "Ended at lsn {}: {} flights, {} purchases and {} host samples written in this run; {} flights in {}.",
        count(&progress.lsn),
        count(&progress.flights),
        count(&progress.purchases),
        count(&progress.samples),
        count(&progress.replayed),
        args.data_dir.display()
    )
}
