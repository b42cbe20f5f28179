//! Who takes what of a partition that the members of a group share.
//!
//! Each member has a log of its own, so that no log tells how far the others are. What tells is the group's committed
//! offset: a member commits it *before* it takes the records below, and the broker refuses the commit of one that is no
//! longer the owner. So each record is claimed by one member, once. A member that dies behind its claim owes the rest:
//! it reads that first when it comes back. The offset's metadata says who claimed from where, and up to where.

use std::fmt::Write;

/// First bytes of the metadata.
const MAGIC: &str = "tm1";
/// Bytes of metadata that are kept to: a broker takes 4096 unless it is told otherwise.
const MAX_TEXT: usize = 3_500;

/// What one member has claimed last, in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    member: String,
    from: u64,
    /// Where the next member went on; `None` while the claim grows with the committed offset.
    to: Option<u64>,
}

/// The claims on one partition, the current owner's last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims(Vec<Claim>);

impl Claims {
    /// Reads an offset's metadata; that of other programs holds no claims.
    pub(super) fn parse(metadata: &str) -> Claims {
        let read = |part: &str| {
            let (member, range) = part.split_once('=')?;
            let (from, to) = range.split_once('-')?;
            Some(Claim {
                member: member.into(),
                from: from.parse().ok()?,
                to: if to.is_empty() {
                    None
                } else {
                    Some(to.parse().ok()?)
                },
            })
        };
        let mut parts = metadata.split(';');
        if parts.next() != Some(MAGIC) {
            return Claims::default();
        }
        parts
            .map(read)
            .collect::<Option<Vec<Claim>>>()
            .map_or_else(Claims::default, Claims)
    }

    /// The metadata for an offset.
    pub(super) fn text(&self) -> String {
        let mut out = String::from(MAGIC);
        for claim in &self.0 {
            // Writing to a String can't fail.
            let _ = write!(out, ";{}={}-", claim.member, claim.from);
            if let Some(to) = claim.to {
                let _ = write!(out, "{to}");
            }
        }
        out
    }

    /// The member goes on at `from`, where the claims before it end. Where more members have come and gone than there is
    /// room for, the oldest claims are given up, and told in the log: they are those of servers that will hardly come back.
    pub(super) fn take_over(&mut self, member: &str, from: u64) {
        if (self.0.last()).is_some_and(|c| c.member == member && c.to.is_none()) {
            return;
        }
        if let Some(last) = self.0.last_mut() {
            last.to.get_or_insert(from);
        }
        // What it claimed before it has taken: it settles that first.
        self.0.retain(|c| c.member != member);
        self.0.push(Claim {
            member: member.into(),
            from,
            to: None,
        });
        while self.text().len() > MAX_TEXT && self.0.len() > 1 {
            let Claim { member, from, to } = self.0.remove(0);
            tracing::warn!(
                member,
                from,
                to,
                "the claim of a member that was seen long ago is forgotten: if it comes back, and has not taken all of it, \
                 what it has not taken stays missing"
            );
        }
    }

    /// Whether the member is the one that claims.
    pub(super) fn is_owner(&self, member: &str) -> bool {
        self.0.last().is_some_and(|c| c.member == member)
    }

    /// What the member has claimed, given the committed offset.
    pub(super) fn of(&self, member: &str, committed: u64) -> Option<(u64, u64)> {
        let claim = self.0.iter().find(|c| c.member == member)?;
        Some((claim.from, claim.to.unwrap_or(committed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn metadata_of_others_is_no_claim() {
        for text in ["", "x", "tm1;a", "tm1;a=1", "tm1;a=x-", "tm2;a=1-"] {
            assert_eq!(Claims::parse(text), Claims::default(), "{text}");
        }
        assert_eq!(Claims::parse("tm1;a=1-5;b=5-").text(), "tm1;a=1-5;b=5-");
    }

    #[test]
    fn very_many_members_fit() {
        let mut claims = Claims::default();
        for n in 0..1000 {
            claims.take_over(&format!("{n:016x}.77"), n * 1_000_000_000);
            assert!(claims.text().len() <= MAX_TEXT);
        }
        assert!(claims.0.len() > 50);
        assert!(claims.is_owner(&format!("{:016x}.77", 999)));
    }

    proptest! {
        /// Whatever the owners and however far each gets: every place is claimed by exactly the member that owned it, as
        /// long as each settles its claim before the next.
        #[test]
        fn every_place_is_claimed_once(turns in proptest::collection::vec((0..4usize, 0..9u64), 1..40)) {
            let names = ["a", "b", "c", "d"];
            let (mut claims, mut committed) = (Claims::default(), 0);
            let mut owned = Vec::new();
            for (who, more) in turns {
                claims = Claims::parse(&claims.text());
                if more > 0 {
                    claims.take_over(names[who], committed);
                    owned.extend((committed..committed + more).map(|_| who));
                    committed += more;
                }
                for (i, name) in names.iter().enumerate() {
                    let Some((from, to)) = claims.of(name, committed) else {
                        prop_assert!(!owned.contains(&i));
                        continue;
                    };
                    prop_assert!(from < to && to <= committed);
                    prop_assert!((from..to).all(|at| owned[at as usize] == i));
                    // It is the last thing that it claimed: nothing of it lies behind.
                    prop_assert!(owned[to as usize..].iter().all(|o| *o != i));
                }
            }
        }
    }
}
