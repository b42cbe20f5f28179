//! What is left after the power went, or after the process was killed.

use super::Rng;
use super::state::{Inode, SECTOR, State};

/// How likely an unsynced change is to survive; a crash draws one for all of its changes, so that both ends and the
/// chaos between them occur.
const SURVIVAL_PERCENT: [u64; 5] = [0, 10, 50, 90, 100];

impl State {
    /// The power goes and comes back: unsynced changes survive or don't, each for itself.
    pub fn lose_power(&mut self) {
        let survival = SURVIVAL_PERCENT[self.rng.index(SURVIVAL_PERCENT.len())];
        for op in std::mem::take(&mut self.pending) {
            if self.rng.chance(survival) {
                op.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let State {
            inodes, rng, names, ..
        } = self;
        for (index, inode) in inodes.iter_mut().enumerate() {
            if names.values().any(|named| *named == index) {
                inode.lose_power(rng, survival);
            } else {
                *inode = Inode::default();
            }
        }
        // The device goes by the names that have survived.
        for (name, inode) in &self.names {
            self.inodes[*inode].name.clone_from(name);
        }
        self.restart();
    }

    /// The process dies and the host lives: what was written is still seen, synced or not.
    pub fn restart(&mut self) {
        self.generation += 1;
        self.powered = true;
        self.cut_at = None;
    }
}

impl Inode {
    fn lose_power(&mut self, rng: &mut Rng, survival: u64) {
        let mut kept = std::mem::take(&mut self.durable);
        if kept.len() < self.seen.len() {
            // The new length may have been stored with all, some or none of its bytes.
            let grown = self.seen.len() - kept.len();
            let len = match rng.below(3) {
                0 => kept.len(),
                1 => kept.len() + rng.index(grown + 1),
                _ => self.seen.len(),
            };
            kept.resize(len, 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(kept.len());
            if start >= end {
                continue;
            }
            let new = &self.seen[start..end];
            match rng.below(20) {
                0 => {
                    let middle = start + rng.index(end - start);
                    kept[start..middle].copy_from_slice(&new[..middle - start]);
                }
                1 => {
                    let middle = start + rng.index(end - start);
                    kept[middle..end].fill_with(|| rng.bits() as u8);
                }
                _ if rng.chance(survival) => kept[start..end].copy_from_slice(new),
                _ => {}
            }
        }
        self.lost.clear();
        self.seen.clone_from(&kept);
        self.durable = kept;
    }
}
