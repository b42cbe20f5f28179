//! What a stream's options say of Kafka.

use crate::source::Start;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use tsdb::Stream;

/// Which topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// These.
    Named(Vec<String>),
    /// All whose whole name matches, those that come to be later among them.
    Matching(String),
}

/// A Kafka source, as declared.
#[derive(Clone, Debug)]
pub struct KafkaSpec {
    /// `bootstrap.servers`.
    pub brokers: String,
    /// What is read.
    pub topics: Topics,
    /// The consumer group whose members share the partitions; without one, all partitions are read here.
    pub group: Option<String>,
    /// Where new partitions begin.
    pub start: Start,
    /// Settings of librdkafka.
    pub settings: Vec<(String, String)>,
}

/// Tells whether a topic is meant.
pub(super) type Matcher = Box<dyn Fn(&str) -> bool + Send>;

/// Settings that are not the user's to change, and why.
const FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", "positions lie in Tidemill's own log"),
    (
        "enable.auto.offset.store",
        "positions lie in Tidemill's own log",
    ),
    (
        "auto.offset.reset",
        "use kafka_start; a position is never reset by itself",
    ),
    (
        "partition.assignment.strategy",
        "members hand partitions over one by one, cooperative-sticky",
    ),
    (
        "group.protocol",
        "members claim what they read by the classic protocol",
    ),
];

impl KafkaSpec {
    /// What the stream's options declare; `None` when it has no topic, or when no brokers are known. `brokers` are those of
    /// the configuration, `settings` its settings; a stream's own go before them.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn of(
        stream: &Stream,
        brokers: Option<&str>,
        settings: &[(String, String)],
    ) -> Result<Option<KafkaSpec>, String> {
        let option = |name: &str| stream.options.kept(name);
        let topics = match (option("kafka_topic"), option("kafka_topic_pattern")) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err("kafka_topic and kafka_topic_pattern exclude each other".into());
            }
            (Some(names), None) => Topics::Named(
                names
                    .split(',')
                    .map(|n| n.trim().to_owned())
                    .filter(|n| !n.is_empty())
                    .collect(),
            ),
            (None, Some(pattern)) => Topics::Matching(pattern.to_owned()),
        };
        let Some(brokers) = option("kafka_brokers").or(brokers) else {
            return Ok(None);
        };
        let mut all: Vec<(String, String)> = settings.to_vec();
        let own = stream.options.extra.iter();
        all.extend(own.filter_map(|(name, value)| {
            let name = name.strip_prefix("kafka.")?;
            Some((name.to_owned(), value.clone()))
        }));
        for (name, _) in &all {
            if let Some((_, why)) = FIXED.iter().find(|(n, _)| n == name) {
                return Err(format!("kafka.{name} can't be set: {why}"));
            }
        }
        let group = option("kafka_group").map(str::to_owned);
        let group = group.or_else(|| {
            let of_setting = all.iter().rev().find(|(n, _)| n == "group.id");
            of_setting.map(|(_, v)| v.clone())
        });
        all.retain(|(n, _)| n != "group.id");
        let start = option("kafka_start")
            .map_or(Ok(Start::Earliest), |t| Start::parse("kafka_start", t))?;
        let spec = KafkaSpec {
            brokers: brokers.into(),
            topics,
            group,
            start,
            settings: all,
        };
        drop(spec.matcher()?);
        Ok(Some(spec))
    }

    /// Tells whether a topic is meant.
    ///
    /// # Errors
    /// When the pattern is none.
    pub(super) fn matcher(&self) -> Result<Matcher, String> {
        match &self.topics {
            Topics::Named(names) => {
                let names = names.clone();
                Ok(Box::new(move |topic| names.iter().any(|n| n == topic)))
            }
            Topics::Matching(pattern) => {
                let regex = regex::Regex::new(&format!("^(?:{pattern})$"))
                    .map_err(|e| format!("kafka_topic_pattern: {e}"))?;
                Ok(Box::new(move |topic| {
                    !topic.starts_with("__") && regex.is_match(topic)
                }))
            }
        }
    }

    /// For people: brokers and topics.
    #[must_use]
    pub fn endpoint(&self) -> String {
        match &self.topics {
            Topics::Named(names) => format!("{} {}", self.brokers, names.join(", ")),
            Topics::Matching(pattern) => format!("{} /{pattern}/", self.brokers),
        }
    }

    /// The settings of a consumer.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let defaults = [
            ("client.id", "tidemill"),
            ("isolation.level", "read_committed"),
            ("allow.auto.create.topics", "false"),
            // Messages wait here for the log, at most so many.
            ("queued.max.messages.kbytes", "32768"),
            // The default of a second leaves the queue empty for most of it: the log takes those kilobytes in a tenth.
            ("fetch.queue.backoff.ms", "5"),
            ("fetch.error.backoff.ms", "100"),
            ("fetch.wait.max.ms", "100"),
            ("reconnect.backoff.max.ms", "1000"),
            ("topic.metadata.refresh.interval.ms", "10000"),
            ("socket.nagle.disable", "true"),
            // So long an answer may take: a claim that gets none holds the log's place, and the group. The default is a minute.
            ("socket.timeout.ms", "15000"),
            ("statistics.interval.ms", "1000"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "1000"),
            // So long the brokers wait at most for a member that is to join anew, and all others with them. The default is 5 min.
            ("max.poll.interval.ms", "60000"),
        ];
        for (name, value) in defaults {
            config.set(name, value);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
            if name == "debug" {
                // Otherwise it is asked for and not told.
                config.set_log_level(RDKafkaLogLevel::Debug);
            }
        }
        // What is not set follows what is: these may not be less.
        let follows = [
            ("max.poll.interval.ms", "session.timeout.ms", 0),
            ("socket.timeout.ms", "fetch.wait.max.ms", 1000),
        ];
        for (name, other, more) in follows {
            let ms = |name| config.get(name).and_then(|v| v.parse::<u32>().ok());
            let least = ms(other).map(|ms| ms.saturating_add(more));
            if ms(name) < least
                && self.settings.iter().all(|(n, _)| n != name)
                && let Some(least) = least
            {
                config.set(name, least.to_string());
            }
        }
        config
            .set("bootstrap.servers", &self.brokers)
            // Without a group of its own a consumer still needs a name for one; nothing is committed under it.
            .set("group.id", self.group.as_deref().unwrap_or("tidemill"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error");
        config
    }
}
