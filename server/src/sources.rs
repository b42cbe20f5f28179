//! Sources, wired to the catalog and to queries.

use crate::config::Config;
use ingest::schemas::builtin::Registry;
use ingest::schemas::{Registries, kind_of, value_format};
use ingest::source::{Format, SourceStatus, Sources, SourcesConfig};
use query::{SourceBoard, SourceInfo, SourcePartition};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Makes ready what `config` says of sources; they run once [`follow`] does.
pub(crate) fn sources(
    engine: &tsdb::Engine,
    config: &Config,
    registry: Arc<Registry>,
) -> Result<Arc<Sources>, tsdb::Error> {
    let registries = Registries {
        runtime: Handle::current(),
        builtin: Some(registry),
    };
    let settings = config.kafka.settings.iter();
    let config = SourcesConfig {
        kafka_brokers: config.kafka.brokers.clone(),
        kafka_settings: settings.map(|(n, v)| (n.clone(), v.clone())).collect(),
        formats: Box::new(move |stream| format(stream, &registries)),
        nats_url: config.sources.nats_url.clone(),
        mqtt_url: config.sources.mqtt_url.clone(),
        file_roots: config.sources.file_roots.clone(),
    };
    Sources::new(engine.clone(), config).map(Arc::new)
}

/// The format of a stream whose messages have a schema; `None` for the others.
fn format(stream: &tsdb::Stream, registries: &Registries) -> Result<Option<Format>, String> {
    let options = &stream.options.extra;
    let name = options.iter().rev().find(|(n, _)| n == "value_format");
    if name.is_none_or(|(_, name)| kind_of(name).is_none()) {
        return Ok(None);
    }
    value_format(options, registries).map(|format| Some(Format::Custom(format)))
}

/// Starts and ends sources as the catalog changes, until the server ends.
pub(crate) async fn follow(
    sources: Arc<Sources>,
    mut changed: watch::Receiver<u64>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let now = sources.clone();
        // A source that ends is waited for, so this may take a while.
        if tokio::task::spawn_blocking(move || now.reconcile())
            .await
            .is_err()
        {
            tracing::error!("the sources could not be brought in line with the catalog");
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            more = changed.changed() => if more.is_err() { return },
        }
    }
}

/// What queries see of sources.
pub(crate) struct Board(pub(crate) Arc<Sources>);

impl SourceBoard for Board {
    fn sources(&self) -> Vec<SourceInfo> {
        self.0.statuses().iter().map(|s| info(s)).collect()
    }

    fn pause(&self, stream: &tsdb::Stream, paused: bool) -> bool {
        self.0.pause(stream, paused)
    }

    fn declare(&self, stream: &tsdb::Stream) {
        self.0.declare(stream);
    }

    fn obstacle(&self, stream: &tsdb::Stream) -> Option<String> {
        self.0.obstacle(stream)
    }
}

fn info(status: &SourceStatus) -> SourceInfo {
    let (state, error) = status.state();
    let partitions = status
        .partitions()
        .into_iter()
        .map(|(name, p)| SourcePartition {
            name,
            position: p.next.load(Ordering::Relaxed),
            end: p.end(),
            lag: p.lag(),
            error: p.trouble(),
        });
    SourceInfo {
        db: status.db.clone(),
        stream: status.stream.clone(),
        kind: status.kind.into(),
        endpoint: status.endpoint.clone(),
        state: state.name().into(),
        error,
        messages: status.messages.load(Ordering::Relaxed),
        rows: status.rows.load(Ordering::Relaxed),
        rejected: status.rejected.load(Ordering::Relaxed),
        partitions: partitions.collect(),
    }
}
