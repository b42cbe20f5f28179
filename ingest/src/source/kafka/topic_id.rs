//! The ids of topics: a topic that was deleted and made anew has another one. The crate does not offer them, librdkafka
//! does, so this asks it directly.

use super::client::Consumer;
use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;
use std::time::Duration;

/// A question for the ids of topics, on its way to the brokers.
pub(super) struct Question<'c> {
    queue: *mut rd::rd_kafka_queue_t,
    of: PhantomData<&'c Consumer>,
}

impl<'c> Question<'c> {
    /// Asks; the answer comes, or is empty, within `patience`.
    pub(super) fn ask(consumer: &'c Consumer, topics: &[&str], patience: Duration) -> Self {
        let names: Vec<CString> = topics
            .iter()
            .filter_map(|t| CString::new(*t).ok())
            .collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
        let timeout = millis(patience);
        let client = consumer.client().native_ptr();
        // SAFETY: `client` lives as long as `consumer`. `pointers` and the strings behind them live until the collection,
        // which copies them, is made. What is made here is destroyed here, once, after its last use, but for the queue: that
        // is for the answer, and destroyed with this question, before `consumer` can be.
        unsafe {
            let queue = rd::rd_kafka_queue_new(client);
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
            rd::rd_kafka_DescribeTopics(client, collection, options, queue);
            rd::rd_kafka_AdminOptions_destroy(options);
            rd::rd_kafka_TopicCollection_destroy(collection);
            Question {
                queue,
                of: PhantomData,
            }
        }
    }

    /// The ids of the topics that the brokers know, by name, if the answer comes within `wait`. An empty map when they have
    /// not answered in time, and brokers before Kafka 2.8 know no ids. To be asked until there is an answer.
    pub(super) fn answer(&self, wait: Duration) -> Option<HashMap<String, String>> {
        // SAFETY: the queue is live, and so is an event from it until it is destroyed here, after all was copied out of it.
        unsafe {
            let event = rd::rd_kafka_queue_poll(self.queue, millis(wait));
            if event.is_null() {
                return None;
            }
            let mut ids = HashMap::new();
            read(event, &mut ids);
            rd::rd_kafka_event_destroy(event);
            Some(ids)
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        // SAFETY: made in `ask`, destroyed here alone. An answer that comes later finds a queue that librdkafka counts
        // references to.
        unsafe { rd::rd_kafka_queue_destroy(self.queue) }
    }
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
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
