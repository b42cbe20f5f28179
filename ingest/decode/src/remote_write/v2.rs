//! `io.prometheus.write.v2.Request`. Labels are numbers of symbols, which differ from request to request, so the key of a
//! series is put together from the symbols.

use super::labels::Label;
use super::series::{Opened, Series};
use super::type_name;
use crate::admission::Rejection;
use crate::metric::{Fault, MetricReason, Pen, Scratch};
use crate::wire::{Reader, Value};

/// The first byte of this version's keys: no version 1 series begins with it.
const KEY: u8 = 0;
/// Symbols of a request: an empty one takes two bytes there and sixteen here.
const MAX_SYMBOLS: usize = 4 << 20;
/// Labels of a series, names and values.
const MAX_REFS: usize = 8_192;

const REFS: u32 = 1;
const SAMPLE: u32 = 2;
const HISTOGRAM: u32 = 3;
const EXEMPLAR: u32 = 4;
const METADATA: u32 = 5;
const CREATED: u32 = 6;

pub(super) fn decode(
    body: &[u8],
    pen: &mut Pen<'_, '_>,
    scratch: &mut Scratch,
) -> Result<(), Rejection> {
    // Symbols stand first, but need not.
    let mut request = Reader::new(body);
    let mut symbols = Vec::new();
    while let Some((number, value)) = request.next()? {
        if number == 4 {
            symbols.push(value.text()?);
        }
        if symbols.len() > MAX_SYMBOLS {
            let message = format!("more than {MAX_SYMBOLS} symbols; send smaller requests");
            return Err(Rejection::new(413, "rows_too_large", message));
        }
    }
    let mut request = Reader::new(body);
    let (mut number_of, mut refs) = (0, Vec::new());
    let mut key = std::mem::take(&mut scratch.key);
    while let Some((number, value)) = request.next()? {
        if number == 5 {
            number_of += 1;
            let one = One {
                bytes: value.bytes()?,
                number: number_of,
                symbols: &symbols,
            };
            one.take(&mut key, &mut refs, pen, scratch)?;
        }
    }
    scratch.key = key;
    Ok(())
}

/// A series of a request.
#[derive(Clone, Copy)]
struct One<'a> {
    bytes: &'a [u8],
    number: usize,
    symbols: &'a [&'a str],
}

const BAD_REF: MetricReason = MetricReason::Invalid("a reference points past the symbols");

/// Names and values by their numbers.
fn labels<'a>(refs: &[u32], symbols: &[&'a str]) -> Result<Vec<Label<'a>>, MetricReason> {
    let (pairs, rest) = refs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(MetricReason::Invalid("a label's name has no value"));
    }
    let symbol = |r: u32| symbols.get(r as usize).copied().ok_or(BAD_REF);
    pairs
        .iter()
        .map(|[name, value]| Ok((symbol(*name)?, symbol(*value)?)))
        .collect()
}

fn read_refs(value: Value<'_>, refs: &mut Vec<u32>) -> Result<(), crate::wire::Malformed> {
    Reader::varints(value, |v| {
        // One more than there may be says that there are too many.
        if refs.len() <= MAX_REFS {
            refs.push(v as u32);
        }
        Ok(())
    })
}

impl<'a> One<'a> {
    fn take(
        self,
        key: &mut Vec<u8>,
        refs: &mut Vec<u32>,
        pen: &mut Pen<'_, '_>,
        scratch: &mut Scratch,
    ) -> Result<(), Rejection> {
        refs.clear();
        let (mut points, mut exemplars, mut created, mut about) = (0, 0, 0, None);
        let mut reader = Reader::new(self.bytes);
        while let Some((number, value)) = reader.next()? {
            match number {
                REFS => read_refs(value, refs)?,
                SAMPLE | HISTOGRAM => points += 1,
                EXEMPLAR => exemplars += 1,
                METADATA => about = Some(value.message()?),
                CREATED => created = value.i64()?,
                _ => {}
            }
        }
        key.clear();
        key.push(KEY);
        // What is wrong with them is said when the labels are taken apart: such a key is never known.
        let mut wrong = refs.len() > MAX_REFS || !refs.len().is_multiple_of(2);
        for r in &*refs {
            match self.symbols.get(*r as usize) {
                Some(symbol) => {
                    key.extend_from_slice(&(symbol.len() as u32).to_le_bytes());
                    key.extend_from_slice(symbol.as_bytes());
                }
                None => wrong = true,
            }
        }
        let symbols = self.symbols;
        let own = || {
            if refs.len() > MAX_REFS {
                return Err(MetricReason::TooMany("labels", MAX_REFS / 2));
            }
            labels(refs, symbols)
        };
        let series = Series::new(self.number, key, created, || Ok(own()?));
        let opened = match wrong || points == 0 {
            true => {
                let empty = MetricReason::Invalid("a series has neither samples nor histograms");
                Err(own().err().unwrap_or(empty))
            }
            false => series.open(pen)?,
        };
        if let (Err(reason), 0) = (&opened, points + exemplars) {
            series.refuse(pen, reason);
            return Ok(());
        }
        let mut reader = Reader::new(self.bytes);
        while let Some((number, value)) = reader.next()? {
            match number {
                SAMPLE => series.sample(pen, &opened, value.message()?)?,
                HISTOGRAM => series.histogram(pen, &opened, value.message()?, scratch)?,
                EXEMPLAR => self.exemplar(&series, &opened, value.message()?, pen)?,
                _ => {}
            }
        }
        match (about, opened) {
            (Some(message), Ok(entry)) => self.metadata(message, entry, pen),
            _ => Ok(()),
        }
    }

    fn exemplar<F: Fn() -> Result<Vec<Label<'a>>, Fault>>(
        self,
        series: &Series<'_, F>,
        opened: &Opened,
        mut message: Reader<'_>,
        pen: &mut Pen<'_, '_>,
    ) -> Result<(), Rejection> {
        let (mut refs, mut value_of, mut ms) = (Vec::new(), 0.0, 0);
        while let Some((number, value)) = message.next()? {
            match number {
                1 => read_refs(value, &mut refs)?,
                2 => value_of = value.f64()?,
                3 => ms = value.i64()?,
                _ => {}
            }
        }
        let labels = if refs.len() > MAX_REFS {
            Err(MetricReason::TooMany("labels", MAX_REFS / 2))
        } else {
            labels(&refs, self.symbols)
        };
        series.exemplar(pen, opened, labels, value_of, ms)
    }

    /// What a series' metric is. References of it that point nowhere mean nothing.
    fn metadata(
        self,
        mut message: Reader<'_>,
        entry: u32,
        pen: &mut Pen<'_, '_>,
    ) -> Result<(), Rejection> {
        let (mut kind, mut help, mut unit) = ("", 0, 0);
        while let Some((number, value)) = message.next()? {
            match number {
                1 => kind = type_name(value.u64()?),
                3 => help = value.u32()?,
                4 => unit = value.u32()?,
                _ => {}
            }
        }
        let text = |r: u32| self.symbols.get(r as usize).copied().unwrap_or("");
        pen.metadata_of(entry, [kind, text(help), text(unit)])
    }
}
