//! One message of a source, as the source holds it.

/// A header: its name and its value, which may be null.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A message. Everything is borrowed from the client library's memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// Kafka's key.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in their order.
    pub headers: &'a [Header<'a>],
    /// The source's own time of the message, in nanoseconds since the epoch.
    pub time_ns: Option<i64>,
    /// Kafka's topic, NATS' subject, MQTT's topic, or a file's name.
    pub topic: &'a str,
    /// Kafka's partition; 0 elsewhere.
    pub partition: i32,
    /// Kafka's offset, JetStream's stream sequence, or a byte offset in a file.
    pub offset: u64,
}
