//! Purchases by way of Kafka: `demo --kafka` produces them to a topic, from which the server's own source takes them.

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The topic of the stream `purchases`.
pub(super) const TOPIC: &str = "purchases";
/// Partitions of the topic where the demo makes it.
const PARTITIONS: i32 = 4;
/// The project's own script that runs a broker.
const SCRIPT: &str = "tests/kafka/broker.sh";
/// How long the brokers may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker of the demo's own, stopped when the demo ends.
pub(super) struct Broker {
    script: PathBuf,
}

impl Broker {
    /// Starts a broker by the project's script; gives its address too.
    ///
    /// # Errors
    /// When the script is not found from here, or fails: it says why.
    pub(super) fn start() -> anyhow::Result<(Broker, String)> {
        let script = find(SCRIPT).with_context(|| {
            format!("{SCRIPT} is not in a folder above this one; name a running broker: --kafka=HOST:PORT")
        })?;
        let output = Command::new("bash")
            .arg(&script)
            .arg("start")
            .stderr(std::process::Stdio::inherit())
            .output()
            .with_context(|| format!("running {}", script.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let address = said.split_whitespace().rfind(|word| {
            word.rsplit_once(':')
                .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        });
        match address {
            Some(address) if output.status.success() => {
                let address = address.to_owned();
                Ok((Broker { script }, address))
            }
            _ => bail!(
                "{} start: {}; {}",
                script.display(),
                output.status,
                said.trim()
            ),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The demo ends all the same; the script has told why.
        let _ = Command::new("bash").arg(&self.script).arg("stop").output();
    }
}

/// A file of the project, looked for from the working folder and from the program upwards.
fn find(name: &str) -> Option<PathBuf> {
    let places = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    places.into_iter().flatten().find_map(|place| {
        let above = |dir: &Path| Some(dir.join(name)).filter(|file| file.is_file());
        place.ancestors().find_map(above)
    })
}

/// Produces to the topic.
#[derive(Clone)]
pub(super) struct Counter {
    producer: FutureProducer,
}

impl Counter {
    /// Connects, and makes the topic if it is not there.
    ///
    /// # Errors
    /// When the brokers don't answer or refuse.
    pub(super) async fn open(brokers: &str) -> anyhow::Result<Counter> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("compression.codec", "lz4")
            .set("linger.ms", "5");
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let made = admin
            .create_topics([&topic], &options)
            .await
            .with_context(|| format!("asking the brokers at {brokers}"))?;
        for outcome in made {
            match outcome {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => bail!("the topic {TOPIC} can't be made: {code}"),
            }
        }
        Ok(Counter {
            producer: config.create()?,
        })
    }

    /// Produces each line as a record, keyed by its `user_id`, and waits until the brokers have them; gives their number.
    ///
    /// # Errors
    /// When one is refused.
    pub(super) async fn produce(&self, lines: &[u8]) -> anyhow::Result<u64> {
        let rows = lines.split(|b| *b == b'\n').filter(|l| !l.is_empty());
        let sent = rows.map(|row| {
            let key = row
                .split(|b| *b == b':')
                .nth(1)
                .and_then(|rest| rest.split(|b| *b == b',').next());
            let mut record = FutureRecord::<[u8], [u8]>::to(TOPIC).payload(row);
            if let Some(key) = key {
                record = record.key(key);
            }
            self.producer.send(record, PATIENCE)
        });
        let mut count = 0;
        for outcome in futures::future::join_all(sent).await {
            outcome
                .map_err(|(error, _)| error)
                .context("producing a purchase")?;
            count += 1;
        }
        Ok(count)
    }

    /// Waits until nothing is on its way.
    pub(super) fn finish(&self) {
        // What was not delivered by then was not counted either.
        let _ = self.producer.flush(PATIENCE);
    }
}
