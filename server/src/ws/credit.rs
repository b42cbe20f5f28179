//! How much a client may send before what it has sent is stored: bytes and frames, granted anew as batches are done.

/// Bytes of batches on their way.
pub(super) const BYTES: usize = 1 << 20;
/// Batches on their way.
pub(super) const FRAMES: usize = 64;
/// Batches beyond the credit, one after the other, that end a connection.
const MAX_EXCESS: usize = 16;

/// What one client may still send, as it has been told.
#[derive(Debug)]
pub(super) struct Credit {
    bytes: usize,
    frames: usize,
    /// Done, and not granted again yet.
    back: Grant,
    /// Batches on their way.
    under_way: usize,
    /// Batches beyond the credit since the last one within it.
    excess: usize,
}

/// So much more may be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) bytes: usize,
    pub(super) frames: usize,
}

/// A batch is beyond the credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// It is refused.
    Refuse,
    /// It is refused, and the client does not learn: the connection ends.
    End,
}

impl Default for Credit {
    fn default() -> Self {
        Credit {
            bytes: BYTES,
            frames: FRAMES,
            back: Grant::default(),
            under_way: 0,
            excess: 0,
        }
    }
}

impl Credit {
    /// Takes a batch of so many bytes in.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Excess> {
        if bytes > self.bytes || self.frames == 0 {
            self.excess += 1;
            return Err(if self.excess > MAX_EXCESS {
                Excess::End
            } else {
                Excess::Refuse
            });
        }
        self.excess = 0;
        self.bytes -= bytes;
        self.frames -= 1;
        self.under_way += 1;
        Ok(())
    }

    /// A batch is done, one way or another. Gives what is to be granted now: a quarter of all, or what there is when
    /// nothing is under way, so that there is no grant per batch and none is held back.
    pub(super) fn done(&mut self, bytes: usize) -> Option<Grant> {
        self.under_way -= 1;
        self.back.bytes += bytes;
        self.back.frames += 1;
        let much = self.back.bytes >= BYTES / 4 || self.back.frames >= FRAMES / 4;
        if !much && self.under_way > 0 {
            return None;
        }
        let grant = std::mem::take(&mut self.back);
        self.bytes += grant.bytes;
        self.frames += grant.frames;
        Some(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_more_than_there_is_and_all_comes_back() {
        let mut credit = Credit::default();
        let (mut told, mut under_way) = (
            Grant {
                bytes: BYTES,
                frames: FRAMES,
            },
            Vec::new(),
        );
        // Sizes that are no part of each other.
        for i in 0..2_000usize {
            let bytes = 1 + i * 7_919 % 200_000;
            let within = bytes <= told.bytes && told.frames > 0;
            assert_eq!(
                credit.take(bytes).is_ok(),
                within,
                "the client knows what it may send"
            );
            if within {
                told.bytes -= bytes;
                told.frames -= 1;
                under_way.push(bytes);
            }
            let held: usize = under_way.iter().sum();
            assert!(held <= BYTES && under_way.len() <= FRAMES);
            if i % 3 == 0 && !under_way.is_empty() {
                let bytes = under_way.swap_remove(i % under_way.len());
                if let Some(grant) = credit.done(bytes) {
                    told.bytes += grant.bytes;
                    told.frames += grant.frames;
                }
            }
        }
        for bytes in under_way {
            if let Some(grant) = credit.done(bytes) {
                told.bytes += grant.bytes;
                told.frames += grant.frames;
            }
        }
        assert_eq!(
            told,
            Grant {
                bytes: BYTES,
                frames: FRAMES
            }
        );
    }

    #[test]
    fn who_does_not_stop_is_ended() {
        let mut credit = Credit::default();
        for _ in 0..MAX_EXCESS {
            assert_eq!(credit.take(BYTES + 1), Err(Excess::Refuse));
        }
        credit.take(1).unwrap();
        for _ in 0..MAX_EXCESS {
            assert_eq!(credit.take(BYTES), Err(Excess::Refuse));
        }
        assert_eq!(credit.take(BYTES), Err(Excess::End));
    }
}
