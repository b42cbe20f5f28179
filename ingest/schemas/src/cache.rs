//! What a registry has said, kept for a while.

use super::{Missing, SchemaId, SchemaSource};
use ingest_decode::Wait;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers that are kept at most.
const CAPACITY: usize = 1_000;
/// How long an id stays unknown before the registry is asked again: a poisoned topic must not flood it.
const UNKNOWN: Duration = Duration::from_secs(30);

type Known = Result<Arc<SchemaSource>, String>;

/// Answers by what was asked. Schemas never change, so they stay until there are too many.
#[derive(Default)]
pub(super) struct Cache {
    known: HashMap<SchemaId, (Instant, Known)>,
    /// The order in which they came.
    order: VecDeque<SchemaId>,
    /// The registry is not asked before this time.
    down: Option<(Instant, Wait)>,
}

impl Cache {
    /// What is known, if that still counts.
    pub fn get(
        &mut self,
        id: &SchemaId,
        now: Instant,
    ) -> Option<Result<Arc<SchemaSource>, Missing>> {
        match self.known.get(id) {
            Some((_, Ok(source))) => return Some(Ok(source.clone())),
            Some((at, Err(why))) if now.duration_since(*at) < UNKNOWN => {
                return Some(Err(Missing::Unknown(why.clone())));
            }
            _ => {}
        }
        let (until, wait) = self.down.as_ref()?;
        if now >= *until {
            self.down = None;
            return None;
        }
        Some(Err(Missing::Wait(Wait {
            reason: wait.reason.clone(),
            after: *until - now,
        })))
    }

    /// Keeps an answer.
    pub fn put(&mut self, id: SchemaId, answer: &Result<Arc<SchemaSource>, Missing>, now: Instant) {
        let known = match answer {
            Ok(source) => Ok(source.clone()),
            Err(Missing::Unknown(why)) => Err(why.clone()),
            Err(Missing::Wait(wait)) => {
                self.down = Some((now + wait.after, wait.clone()));
                return;
            }
        };
        self.down = None;
        if self.known.insert(id, (now, known)).is_none() {
            self.order.push_back(id);
        }
        while self.known.len() > CAPACITY {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SchemaKind;

    fn source() -> Arc<SchemaSource> {
        Arc::new(SchemaSource::new(SchemaKind::Avro, "\"int\""))
    }

    #[test]
    fn schemas_stay_and_what_is_unknown_is_asked_again_in_a_while() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let id = SchemaId::Id(1);
        assert!(cache.get(&id, now).is_none());
        let unknown = Err(Missing::Unknown("no".into()));
        cache.put(id, &unknown, now);
        assert_eq!(cache.get(&id, now), Some(unknown));
        assert!(cache.get(&id, now + UNKNOWN).is_none());
        cache.put(id, &Ok(source()), now);
        assert!(cache.get(&id, now + 100 * UNKNOWN).unwrap().is_ok());
    }

    #[test]
    fn a_registry_that_is_down_is_left_alone_for_as_long_as_it_says() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(SchemaId::Id(1), &Ok(source()), now);
        let wait = Wait {
            reason: "down".into(),
            after: Duration::from_secs(1),
        };
        cache.put(SchemaId::Id(2), &Err(Missing::Wait(wait)), now);
        let later = now + Duration::from_millis(400);
        match cache.get(&SchemaId::Id(3), later) {
            Some(Err(Missing::Wait(wait))) => assert_eq!(wait.after, Duration::from_millis(600)),
            other => panic!("{other:?}"),
        }
        assert!(
            cache.get(&SchemaId::Id(1), later).unwrap().is_ok(),
            "it is known"
        );
        assert!(
            cache
                .get(&SchemaId::Id(3), now + Duration::from_secs(1))
                .is_none()
        );
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for id in 0..3 * CAPACITY as u32 {
            cache.put(SchemaId::Id(id), &Err(Missing::Unknown("no".into())), now);
        }
        assert_eq!((cache.known.len(), cache.order.len()), (CAPACITY, CAPACITY));
        assert!(
            cache
                .get(&SchemaId::Id(3 * CAPACITY as u32 - 1), now)
                .is_some()
        );
        assert!(cache.get(&SchemaId::Id(0), now).is_none());
    }
}
