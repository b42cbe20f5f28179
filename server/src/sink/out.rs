//! Where a sink's records go: Kafka, or in tests something that fails when it should.

use ingest::sink::kafka::{KafkaLink, KafkaSinkSpec, Progress, Trouble};

/// A connection, given up at the first trouble. See [`KafkaLink`].
pub(super) trait Out: Send {
    fn begin(&mut self) -> Result<(), Trouble>;
    fn put(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Trouble>;
    fn commit(&mut self, progress: Progress) -> Result<(), Trouble>;
}

impl Out for KafkaLink {
    fn begin(&mut self) -> Result<(), Trouble> {
        KafkaLink::begin(self)
    }

    fn put(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Trouble> {
        KafkaLink::put(self, key, value)
    }

    fn commit(&mut self, progress: Progress) -> Result<(), Trouble> {
        KafkaLink::commit(self, progress)
    }
}

/// A connection, and how far the sink is.
pub(super) type Connected = (Box<dyn Out>, Option<Progress>);

/// Connects a sink; the function says whether to give it up.
pub(super) type Connect =
    dyn Fn(&KafkaSinkSpec, &dyn Fn() -> bool) -> Result<Connected, Trouble> + Send + Sync;

/// Connects a sink to Kafka.
pub(super) fn kafka(spec: &KafkaSinkSpec, stop: &dyn Fn() -> bool) -> Result<Connected, Trouble> {
    let (link, progress) = KafkaLink::connect(spec, stop)?;
    Ok((Box::new(link), progress))
}
