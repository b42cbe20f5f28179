//! The ids of topics: a topic that was deleted and made anew has another one. The crate does not offer them, librdkafka
//! does, so this asks it directly.

use super::client::Consumer;
use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

/// The ids of the topics that the brokers know, by name; an empty map when they do not answer in time, and brokers before
/// Kafka 2.8 know none.
pub(super) fn topic_ids(
    consumer: &Consumer,
    topics: &[&str],
    patience: Duration,
) -> HashMap<String, String> {
    let names: Vec<CString> = topics
        .iter()
        .filter_map(|t| CString::new(*t).ok())
        .collect();
    if names.is_empty() {
        return HashMap::new();
    }
    let mut pointers: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
    let timeout = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    let client = consumer.client().native_ptr();
    // SAFETY: `client` lives as long as `consumer`. `pointers` and the strings behind them live until the collection, which
    // copies them, is made. Each object made here is destroyed here, once, after its last use: what the event owns
    // (descriptions, ids, texts) is copied out before the event goes.
    unsafe {
        let collection =
            rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = rd::rd_kafka_AdminOptions_new(
            client,
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut words = [0 as c_char; 64];
        rd::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout,
            words.as_mut_ptr(),
            words.len(),
        );
        let queue = rd::rd_kafka_queue_new(client);
        rd::rd_kafka_DescribeTopics(client, collection, options, queue);
        let event = rd::rd_kafka_queue_poll(queue, timeout);
        let mut ids = HashMap::new();
        if !event.is_null() {
            read(event, &mut ids);
            rd::rd_kafka_event_destroy(event);
        }
        rd::rd_kafka_queue_destroy(queue);
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_TopicCollection_destroy(collection);
        ids
    }
}

/// Copies the ids out of an answer.
///
/// # Safety
/// `event` is a live event; it is not touched by anybody else meanwhile.
unsafe fn read(event: *mut rd::rd_kafka_event_t, ids: &mut HashMap<String, String>) {
    // SAFETY: the result, its descriptions and what they hold belong to the event, which is live; the count is that of the
    // array. Null is looked for wherever librdkafka may give it.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return;
        }
        let mut count = 0;
        let descriptions = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if descriptions.is_null() {
            return;
        }
        for i in 0..count {
            let description = *descriptions.add(i);
            let error = rd::rd_kafka_TopicDescription_error(description);
            let failed = !error.is_null()
                && rd::rd_kafka_error_code(error)
                    != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            let id = rd::rd_kafka_TopicDescription_topic_id(description);
            if failed || id.is_null() {
                continue;
            }
            let (high, low) = (
                rd::rd_kafka_Uuid_most_significant_bits(id),
                rd::rd_kafka_Uuid_least_significant_bits(id),
            );
            let name = CStr::from_ptr(rd::rd_kafka_TopicDescription_name(description));
            if (high, low) != (0, 0) {
                ids.insert(
                    name.to_string_lossy().into_owned(),
                    format!("{high:016x}{low:016x}"),
                );
            }
        }
    }
}
