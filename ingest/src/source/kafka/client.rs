//! librdkafka's callbacks.

use super::core::Core;
use parking_lot::Mutex;
use rdkafka::bindings::rd_kafka_resp_err_t as RespErr;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use serde::Deserialize;
use std::collections::HashMap;

pub(super) type Consumer = BaseConsumer<Context>;

/// What the callbacks work on. They run on the reading thread, inside of `poll`, but for the statistics and errors, which
/// touch nothing that is locked for long.
pub(super) struct Context {
    pub(super) core: Mutex<Core>,
}

impl ClientContext for Context {
    fn stats_raw(&self, statistics: &[u8]) {
        if let Ok(statistics) = serde_json::from_slice::<Statistics<'_>>(statistics) {
            self.core.lock().note_ends(&statistics);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.core.lock().note_error(&error, reason);
    }

    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "kafka");
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Context>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let given = error == RespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        self.core.lock().rebalance(consumer, given, partitions);
    }
}

/// The part of librdkafka's statistics that tells where partitions end.
#[derive(Deserialize)]
pub(super) struct Statistics<'a> {
    #[serde(borrow)]
    pub(super) topics: HashMap<&'a str, TopicStatistics>,
}

#[derive(Deserialize)]
pub(super) struct TopicStatistics {
    pub(super) partitions: HashMap<i32, PartitionStatistics>,
}

#[derive(Deserialize)]
pub(super) struct PartitionStatistics {
    /// The place after the last message; -1 or less when it is not known.
    pub(super) hi_offset: i64,
    /// The same for those who read only what is committed.
    #[serde(default)]
    pub(super) ls_offset: i64,
}
