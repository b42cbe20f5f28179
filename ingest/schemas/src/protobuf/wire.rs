//! Protobuf's wire format, read with every length checked.

use super::shape::{Holds, Message, Times};
use crate::text::bad;
use ingest_decode::RowReason;
use std::borrow::Cow;

/// Fields that are passed over because nobody knows them may be groups within groups.
const MAX_GROUPS: usize = 100;
/// Steps beyond those that the bytes themselves are worth.
const FREE_STEPS: usize = 1 << 20;

/// How much work a message may still be: a few bytes can name a wide message many times.
pub(super) struct Steps(usize);

impl Steps {
    pub fn new(bytes: usize) -> Steps {
        Steps(FREE_STEPS.saturating_add(bytes.saturating_mul(16)))
    }

    pub fn take(&mut self, n: usize) -> Result<(), RowReason> {
        let left = self.0.checked_sub(n);
        self.0 = left.ok_or_else(|| bad("more fields than so few bytes can mean"))?;
        Ok(())
    }
}

/// A value as it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Eight(u64),
    /// Wire type 5.
    Four(u32),
    /// Wire type 2, and what is within a group.
    Bytes(&'a [u8]),
}

/// All that was sent of a field.
#[derive(Debug)]
pub(super) enum Got<'a> {
    /// A scalar: the last one counts.
    One(Raw<'a>),
    /// A message: its parts one after the other.
    Joined(Cow<'a, [u8]>),
    /// In order; several may come in one piece.
    Many(Vec<Raw<'a>>),
}

fn short() -> RowReason {
    bad("the message ends within a value")
}

pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, RowReason> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or_else(short)?;
        *rest = tail;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(bad("a varint of more than 64 bits"))
}

fn take<'a>(rest: &mut &'a [u8], n: u64) -> Result<&'a [u8], RowReason> {
    let n = usize::try_from(n).map_err(|_| short())?;
    let (head, tail) = rest.split_at_checked(n).ok_or_else(short)?;
    *rest = tail;
    Ok(head)
}

pub(super) fn four(rest: &mut &[u8]) -> Result<u32, RowReason> {
    let (head, tail) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    *rest = tail;
    Ok(u32::from_le_bytes(*head))
}

pub(super) fn eight(rest: &mut &[u8]) -> Result<u64, RowReason> {
    let (head, tail) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    *rest = tail;
    Ok(u64::from_le_bytes(*head))
}

/// A field's number and wire type.
fn tag(rest: &mut &[u8]) -> Result<(u32, u8), RowReason> {
    let tag = varint(rest)?;
    let number = u32::try_from(tag >> 3)
        .ok()
        .filter(|n| (1..1 << 29).contains(n));
    let number = number.ok_or_else(|| bad("a field's number is out of range"))?;
    Ok((number, (tag & 7) as u8))
}

/// The value of that wire type.
fn raw<'a>(rest: &mut &'a [u8], number: u32, wire: u8) -> Result<Raw<'a>, RowReason> {
    Ok(match wire {
        0 => Raw::Varint(varint(rest)?),
        1 => Raw::Eight(eight(rest)?),
        2 => {
            let n = varint(rest)?;
            Raw::Bytes(take(rest, n)?)
        }
        3 => Raw::Bytes(group(rest, number)?),
        5 => Raw::Four(four(rest)?),
        4 => return Err(bad("a group ends that has not begun")),
        _ => return Err(bad(format!("wire type {wire} is none"))),
    })
}

/// What is within a group, up to its end.
fn group<'a>(rest: &mut &'a [u8], number: u32) -> Result<&'a [u8], RowReason> {
    let all = *rest;
    let mut open = vec![number];
    loop {
        let within = all.len() - rest.len();
        let (number, wire) = tag(rest)?;
        match wire {
            3 if open.len() == MAX_GROUPS => return Err(RowReason::TooDeep(MAX_GROUPS)),
            3 => open.push(number),
            4 => {
                if open.pop() != Some(number) {
                    return Err(bad("a group ends that has not begun"));
                }
                if open.is_empty() {
                    return Ok(&all[..within]);
                }
            }
            _ => {
                raw(rest, number, wire)?;
            }
        }
    }
}

/// Whether values of this type may come packed.
fn packable(holds: &Holds) -> bool {
    !matches!(holds, Holds::Text | Holds::Bytes | Holds::Message(_))
}

fn fits(holds: &Holds, raw: &Raw<'_>) -> bool {
    match holds {
        Holds::Double | Holds::Fixed64 | Holds::Sfixed64 => matches!(raw, Raw::Eight(_)),
        Holds::Float | Holds::Fixed32 | Holds::Sfixed32 => matches!(raw, Raw::Four(_)),
        Holds::Text | Holds::Bytes | Holds::Message(_) => matches!(raw, Raw::Bytes(_)),
        _ => matches!(raw, Raw::Varint(_)),
    }
}

/// The values of a message's fields, in the order of its fields; fields that it does not know are passed over.
pub(super) fn gather<'a>(
    message: &Message,
    bytes: &'a [u8],
    steps: &mut Steps,
) -> Result<Vec<Option<Got<'a>>>, RowReason> {
    steps.take(message.fields.len() + 1)?;
    let mut got: Vec<Option<Got<'a>>> = Vec::new();
    got.resize_with(message.fields.len(), || None);
    let mut rest = bytes;
    while !rest.is_empty() {
        steps.take(1)?;
        let (number, wire) = tag(&mut rest)?;
        let value = raw(&mut rest, number, wire)?;
        let Some(i) = message.numbers.get(&number).copied() else {
            continue;
        };
        let field = &message.fields[i];
        let many = matches!(field.times, Times::Many | Times::Map);
        let packed = many && packable(&field.holds) && matches!(value, Raw::Bytes(_));
        if !packed && !fits(&field.holds, &value) {
            return Err(bad(format!(
                "field {} ({number}) comes as wire type {wire}",
                field.name
            )));
        }
        if let Some(group) = field.oneof.and_then(|o| message.oneofs.get(o)) {
            steps.take(group.len())?;
            for other in group.iter().filter(|o| **o != i) {
                got[*other] = None;
            }
        }
        match (&mut got[i], value) {
            (Some(Got::Many(all)), value) => all.push(value),
            (slot, value) if many => *slot = Some(Got::Many(vec![value])),
            (Some(Got::Joined(all)), Raw::Bytes(more)) => all.to_mut().extend_from_slice(more),
            (slot, Raw::Bytes(all)) if matches!(field.holds, Holds::Message(_)) => {
                *slot = Some(Got::Joined(Cow::Borrowed(all)));
            }
            (slot, value) => *slot = Some(Got::One(value)),
        }
    }
    Ok(got)
}

/// Calls `f` with each value of a field that may come packed.
pub(super) fn each<'a>(
    holds: &Holds,
    all: &[Raw<'a>],
    steps: &mut Steps,
    f: &mut dyn FnMut(Raw<'a>, &mut Steps) -> Result<(), RowReason>,
) -> Result<(), RowReason> {
    for value in all {
        match value {
            Raw::Bytes(packed) if packable(holds) => {
                let mut rest = *packed;
                while !rest.is_empty() {
                    steps.take(1)?;
                    let value = match holds {
                        Holds::Double | Holds::Fixed64 | Holds::Sfixed64 => {
                            Raw::Eight(eight(&mut rest)?)
                        }
                        Holds::Float | Holds::Fixed32 | Holds::Sfixed32 => {
                            Raw::Four(four(&mut rest)?)
                        }
                        _ => Raw::Varint(varint(&mut rest)?),
                    };
                    f(value, steps)?;
                }
            }
            value => f(*value, steps)?,
        }
    }
    Ok(())
}
