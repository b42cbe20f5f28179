//! What a sink's options say of Kafka.

use rdkafka::ClientConfig;

/// Settings that are not the user's to change, and why.
const FIXED: &[(&str, &str)] = &[
    (
        "transactional.id",
        "it is made of the names of database and sink",
    ),
    ("enable.idempotence", "a sink sends nothing twice"),
    ("acks", "a sink counts only what all replicas have"),
    ("group.id", "a sink's progress has a group of its own"),
    ("enable.auto.commit", "a sink's progress is its own to keep"),
    (
        "bootstrap.servers",
        "the option kafka_brokers says where to connect",
    ),
];

/// A Kafka sink, as declared.
#[derive(Clone, Debug)]
pub struct KafkaSinkSpec {
    /// `bootstrap.servers`.
    pub brokers: String,
    /// Where records go.
    pub topic: String,
    /// Partitions of a topic that has to be made; the broker's default without.
    pub partitions: Option<i32>,
    /// Its replicas.
    pub replicas: Option<i32>,
    /// Whether records go out in transactions.
    pub exactly_once: bool,
    /// Names the producer: two that have the same name shut each other out.
    pub transactional_id: String,
    /// The consumer group whose offset is the sink's progress.
    pub group: String,
    /// Settings of librdkafka.
    pub settings: Vec<(String, String)>,
}

impl KafkaSinkSpec {
    /// What options declare. `brokers` are those of the configuration, `settings` its settings; the sink's own go before
    /// them. `member` names this database among others, `sink` the sink in it, and `epoch` tells it from an earlier one of
    /// its name.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn of(
        options: &[(String, String)],
        brokers: Option<&str>,
        settings: &[(String, String)],
        (member, sink, epoch): (&str, &str, u64),
    ) -> Result<KafkaSinkSpec, String> {
        let option = |name: &str| {
            let mut all = options.iter().rev();
            all.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
        };
        let count = |name: &str| match option(name) {
            None => Ok(None),
            Some(text) => match text.parse::<i32>() {
                Ok(n) if n >= 1 => Ok(Some(n)),
                _ => Err(format!("{name} is a number from 1 on, not '{text}'")),
            },
        };
        let topic = option("kafka_topic").ok_or("a sink needs kafka_topic, where its rows go")?;
        let brokers = option("kafka_brokers")
            .or(brokers)
            .ok_or("no Kafka is known: give kafka_brokers, or set it in the configuration")?;
        let exactly_once = match option("exactly_once") {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(format!("exactly_once is true or false, not '{other}'")),
        };
        let mut all: Vec<(String, String)> = settings.to_vec();
        all.extend(options.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("kafka.")?;
            Some((name.to_owned(), value.clone()))
        }));
        for (name, _) in &all {
            if let Some((_, why)) = FIXED.iter().find(|(n, _)| n == name) {
                return Err(format!("kafka.{name} can't be set: {why}"));
            }
        }
        Ok(KafkaSinkSpec {
            brokers: brokers.into(),
            topic: topic.into(),
            partitions: count("partitions")?,
            replicas: count("replicas")?,
            exactly_once,
            transactional_id: format!("tidemill-{member}-{sink}"),
            group: format!("tidemill-sink-{member}-{sink}-{epoch}"),
            settings: all,
        })
    }

    pub(super) fn base(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        let common = [
            ("client.id", "tidemill"),
            ("reconnect.backoff.max.ms", "1000"),
            ("socket.nagle.disable", "true"),
            ("allow.auto.create.topics", "false"),
        ];
        for (name, value) in common.iter().chain(defaults) {
            config.set(*name, *value);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// The settings of the producer.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.base(&[
            ("compression.type", "lz4"),
            // Java's: keys lie where other producers of the topic put them.
            ("partitioner", "murmur2_random"),
            ("linger.ms", "2"),
            // What waits for the broker, at most.
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "32768"),
            // A transaction that nobody goes on with keeps readers waiting for so long.
            ("transaction.timeout.ms", "60000"),
        ]);
        config.set("enable.idempotence", "true").set("acks", "all");
        if self.exactly_once {
            config.set("transactional.id", &self.transactional_id);
        }
        config
    }

    /// The settings of the consumer that stands for the group.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.base(&[("isolation.level", "read_committed")]);
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false");
        config
    }

    /// For people: brokers and topic.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{} {}", self.brokers, self.topic)
    }
}
