//! `prometheus.WriteRequest`. Its labels stand in the series as text, so their raw bytes are the key of the series.

use super::labels::Label;
use super::series::{Opened, Series};
use super::type_name;
use crate::admission::Rejection;
use crate::metric::{Fault, Pen, Scratch};
use crate::wire::{Malformed, Reader};
use std::borrow::Cow;

const LABEL: u32 = 1;
const SAMPLE: u32 = 2;
const EXEMPLAR: u32 = 3;
const HISTOGRAM: u32 = 4;

pub(super) fn decode(
    body: &[u8],
    pen: &mut Pen<'_, '_>,
    scratch: &mut Scratch,
) -> Result<(), Rejection> {
    let mut request = Reader::new(body);
    let mut series = 0;
    while let Some((number, value)) = request.next()? {
        match number {
            1 => {
                series += 1;
                one(value.bytes()?, series, pen, scratch)?;
            }
            3 => metadata(value.message()?, pen)?,
            _ => {}
        }
    }
    Ok(())
}

fn metadata(mut message: Reader<'_>, pen: &mut Pen<'_, '_>) -> Result<(), Rejection> {
    let (mut kind, mut name, mut help, mut unit) = ("", "", "", "");
    while let Some((number, value)) = message.next()? {
        match number {
            1 => kind = type_name(value.u64()?),
            2 => name = value.text()?,
            4 => help = value.text()?,
            5 => unit = value.text()?,
            _ => {}
        }
    }
    pen.metadata(name, [kind, help, unit])
}

/// The raw labels of a series and where what is behind them begins. All its labels, whatever stands between them.
fn key(bytes: &[u8]) -> Result<(Cow<'_, [u8]>, Reader<'_>), Malformed> {
    let mut reader = Reader::new(bytes);
    let mut behind = reader;
    while let Some((LABEL, _)) = reader.next()? {
        behind = reader;
    }
    let mut key = Cow::Borrowed(&bytes[..bytes.len() - behind.rest().len()]);
    // Looked through for stray labels before a sample of it is taken.
    let mut all = behind;
    loop {
        let before = all.rest();
        let Some((number, _)) = all.next()? else {
            break;
        };
        if number == LABEL {
            let raw = &before[..before.len() - all.rest().len()];
            key.to_mut().extend_from_slice(raw);
        }
    }
    Ok((key, behind))
}

fn labels(raw: &[u8]) -> Result<Vec<Label<'_>>, Malformed> {
    let (mut reader, mut labels) = (Reader::new(raw), Vec::new());
    while let Some((number, value)) = reader.next()? {
        if number != LABEL {
            continue;
        }
        let (mut name, mut text) = ("", "");
        let mut message = value.message()?;
        while let Some((number, value)) = message.next()? {
            match number {
                1 => name = value.text()?,
                2 => text = value.text()?,
                _ => {}
            }
        }
        labels.push((name, text));
    }
    Ok(labels)
}

fn one(
    bytes: &[u8],
    number: usize,
    pen: &mut Pen<'_, '_>,
    scratch: &mut Scratch,
) -> Result<(), Rejection> {
    let (key, mut points) = key(bytes)?;
    let series = Series::new(number, &key, 0, || labels(&key).map_err(Fault::from));
    let opened = series.open(pen)?;
    while let Some((number, value)) = points.next()? {
        match number {
            SAMPLE => series.sample(pen, &opened, value.message()?)?,
            HISTOGRAM => series.histogram(pen, &opened, value.message()?, scratch)?,
            EXEMPLAR => exemplar(&series, &opened, value.bytes()?, pen)?,
            _ => {}
        }
    }
    Ok(())
}

fn exemplar<'a, F: Fn() -> Result<Vec<Label<'a>>, Fault>>(
    series: &Series<'_, F>,
    opened: &Opened,
    bytes: &[u8],
    pen: &mut Pen<'_, '_>,
) -> Result<(), Rejection> {
    let (mut value_of, mut ms) = (0.0, 0);
    let mut message = Reader::new(bytes);
    while let Some((number, value)) = message.next()? {
        match number {
            2 => value_of = value.f64()?,
            3 => ms = value.i64()?,
            _ => {}
        }
    }
    // Its labels have the number that a series' labels have.
    series.exemplar(pen, opened, Ok(labels(bytes)?), value_of, ms)
}
