//! What a stream's options declare: which kind of source it has, and how that is read.

use super::control::{Control, Ended};
use super::file::{self, FileSpec};
use super::kafka::{self, KafkaSpec};
use super::mqtt::{self, MqttSpec};
use super::nats::{self, NatsSpec};
use super::pipe::Pipe;
use super::runtime::SourcesConfig;
use tsdb::Stream;

/// A source, as declared.
pub(super) enum Spec {
    Kafka(KafkaSpec),
    Nats(NatsSpec),
    Mqtt(MqttSpec),
    File(FileSpec),
}

/// The options that declare a source of each kind.
const KINDS: &[(&str, &str)] = &[
    ("kafka_topic", "kafka"),
    ("kafka_topic_pattern", "kafka"),
    ("nats_stream", "nats"),
    ("nats_subject", "nats"),
    ("mqtt_topic", "mqtt"),
    ("file_path", "file"),
];

/// The kind of a stream's source; `None` when it has none.
pub(super) fn kind(stream: &Stream) -> Option<&'static str> {
    let has = |name: &str| stream.options.kept(name).is_some();
    KINDS.iter().find(|(name, _)| has(name)).map(|(_, k)| *k)
}

/// Where the server of a kind of source is told.
pub(super) fn server_of(kind: &str) -> String {
    let option = match kind {
        "kafka" => "kafka_brokers",
        "nats" => "nats_url",
        _ => "mqtt_url",
    };
    format!("set {option} in the statement, or in the configuration")
}

impl Spec {
    /// What the stream's options declare; `None` when that is no source, or one whose server is not known.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub(super) fn of(stream: &Stream, config: &SourcesConfig) -> Result<Option<Spec>, String> {
        Ok(match kind(stream) {
            Some("kafka") => KafkaSpec::of(
                stream,
                config.kafka_brokers.as_deref(),
                &config.kafka_settings,
            )?
            .map(Spec::Kafka),
            Some("nats") => NatsSpec::of(stream, config.nats_url.as_deref())?.map(Spec::Nats),
            Some("mqtt") => MqttSpec::of(stream, config.mqtt_url.as_deref())?.map(Spec::Mqtt),
            Some("file") => FileSpec::of(stream, &config.file_roots)?.map(Spec::File),
            _ => None,
        })
    }

    /// For people: what is read.
    pub(super) fn endpoint(&self) -> String {
        match self {
            Spec::Kafka(spec) => spec.endpoint(),
            Spec::Nats(spec) => spec.endpoint(),
            Spec::Mqtt(spec) => spec.endpoint(),
            Spec::File(spec) => spec.endpoint(),
        }
    }

    /// Reads until `control` tells to end. `member` names this database among others.
    pub(super) fn run(
        &self,
        member: &str,
        control: &Control,
        make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
    ) -> Result<(), Ended> {
        match self {
            Spec::Kafka(spec) => kafka::run(spec, member, control, make_pipe),
            Spec::Nats(spec) => nats::run(spec, control, make_pipe),
            Spec::Mqtt(spec) => mqtt::run(spec, member, control, make_pipe),
            Spec::File(spec) => file::run(spec, control, make_pipe),
        }
    }
}
