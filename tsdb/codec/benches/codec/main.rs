//! Size and speed of every codec on the data it is for, on one core.
//!
//! `cargo bench -p tsdb-codec` prints the table; with `--smoke`, or when run by `cargo test`, each
//! case runs once on few rows, so that the bench cannot rot.

mod columns;

use std::hint::black_box;
use std::time::{Duration, Instant};
use tsdb_codec::{
    Encoding, Result, decode_bool, decode_bytes, decode_f64, decode_i64, encode_bool, encode_bytes,
    encode_f64, encode_f64_with, encode_i64, encode_i64_runs, encode_i64_with,
};
use tsz::stream::{BufferedReader, BufferedWriter};
use tsz::{DataPoint, Decode, Encode, StdDecoder, StdEncoder};

/// How much is run.
struct Plan {
    /// Rows of a column: a chunk of a segment.
    rows: usize,
    /// Time spent on each measurement; zero runs once.
    budget: Duration,
}

impl Plan {
    fn from_args() -> Plan {
        let full = std::env::args().any(|a| a == "--bench");
        let smoke = std::env::args().any(|a| a == "--smoke");
        match full && !smoke {
            true => Plan {
                rows: 16_000,
                budget: Duration::from_millis(150),
            },
            false => Plan {
                rows: 2_000,
                budget: Duration::ZERO,
            },
        }
    }

    /// Rows a second, in millions, of the fastest of the runs that fit in the budget: other work
    /// on the machine only ever slows a run down.
    fn speed(&self, mut run: impl FnMut()) -> f64 {
        let begin = Instant::now();
        let mut best = Duration::MAX;
        loop {
            let start = Instant::now();
            run();
            best = best.min(start.elapsed());
            if begin.elapsed() >= self.budget {
                return self.rows as f64 / best.as_secs_f64().max(1e-9) / 1e6;
            }
        }
    }
}

fn line(codec: &str, data: &str, bytes_per_value: f64, encode: f64, decode: f64) {
    println!("{codec:<16} {data:<22} {bytes_per_value:>10.4} {encode:>12.0} {decode:>12.0}");
}

/// Measures one way to encode and decode one column.
fn measure<T: Copy + Default + PartialEq>(
    plan: &Plan,
    codec: &str,
    data: &str,
    values: &[T],
    encode: impl Fn(&mut Vec<u8>) -> Result<Encoding>,
    decode: impl Fn(&[u8], usize, &mut Vec<T>) -> Result<()>,
) {
    let mut bytes = Vec::new();
    let Ok(encoding) = encode(&mut bytes) else {
        return;
    };
    let mut out = Vec::new();
    decode(&bytes, values.len(), &mut out).expect("what was encoded decodes");
    assert!(out == values, "{codec} changes {data}");
    let size = bytes.len() as f64 / values.len() as f64;
    let encode_speed = plan.speed(|| {
        bytes.clear();
        let _ = black_box(encode(black_box(&mut bytes)));
    });
    let decode_speed = plan.speed(|| {
        out.clear();
        let _ = black_box(decode(black_box(&bytes), values.len(), &mut out));
    });
    let name = match codec {
        "" => format!("-> {encoding:?}"),
        _ => codec.to_owned(),
    };
    line(&name, data, size, encode_speed, decode_speed);
}

fn integers(plan: &Plan) {
    const CODECS: [Encoding; 8] = [
        Encoding::Raw,
        Encoding::ForBitPack,
        Encoding::RunLength,
        Encoding::Huffman,
        Encoding::HuffmanDelta,
        Encoding::Delta,
        Encoding::DeltaOfDelta,
        Encoding::Pco,
    ];
    for column in columns::integers(plan.rows) {
        let values = &column.values;
        for codec in CODECS {
            let encode = |out: &mut Vec<u8>| encode_i64_with(codec, values, out).map(|()| codec);
            measure(
                plan,
                &format!("{codec:?}"),
                column.name,
                values,
                encode,
                decode_i64,
            );
        }
        let chosen = |out: &mut Vec<u8>| Ok(encode_i64(values, out));
        measure(plan, "", column.name, values, chosen, decode_i64);
        let by_runs = |out: &mut Vec<u8>| Ok(encode_i64_runs(values, &column.run_starts, out));
        measure(
            plan,
            "",
            &format!("{}, runs", column.name),
            values,
            by_runs,
            decode_i64,
        );
    }
}

fn floats(plan: &Plan) {
    const CODECS: [Encoding; 5] = [
        Encoding::FloatRaw,
        Encoding::FloatBits,
        Encoding::Gorilla,
        Encoding::Alp,
        Encoding::FloatPco,
    ];
    for (name, values) in columns::floats(plan.rows) {
        for codec in CODECS {
            let encode = |out: &mut Vec<u8>| encode_f64_with(codec, &values, out).map(|()| codec);
            measure(
                plan,
                &format!("{codec:?}"),
                name,
                &values,
                encode,
                decode_f64,
            );
        }
        let chosen = |out: &mut Vec<u8>| Ok(encode_f64(&values, out));
        measure(plan, "", name, &values, chosen, decode_f64);
        baseline(plan, name, &values);
    }
}

/// The Gorilla of another crate, whose times cost it one bit a row.
fn baseline(plan: &Plan, name: &str, values: &[f64]) {
    let encode = || {
        let mut encoder = StdEncoder::new(0, BufferedWriter::new());
        for (i, &value) in values.iter().enumerate() {
            encoder.encode(DataPoint::new(i as u64 + 1, value));
        }
        encoder.close()
    };
    let bytes = encode();
    let size = bytes.len() as f64 / values.len() as f64;
    let encode_speed = plan.speed(|| {
        black_box(encode());
    });
    let decode_speed = plan.speed(|| {
        let mut decoder = StdDecoder::new(BufferedReader::new(bytes.clone()));
        while let Ok(point) = decoder.next() {
            black_box(point.get_value());
        }
    });
    line("tsz (with times)", name, size, encode_speed, decode_speed);
}

fn others(plan: &Plan) {
    let alternating: Vec<bool> = (0..plan.rows).map(|i| i * i % 7 < 3).collect();
    let runs: Vec<bool> = (0..plan.rows).map(|i| i / 500 % 2 == 0).collect();
    for (name, values) in [("booleans", alternating), ("booleans in runs", runs)] {
        let encode = |out: &mut Vec<u8>| Ok(encode_bool(&values, out));
        measure(plan, "", name, &values, encode, decode_bool);
    }
    for (name, offsets, data) in columns::strings(plan.rows) {
        let mut bytes = Vec::new();
        let encoding = encode_bytes(&offsets, &data, &mut bytes);
        let (mut ends, mut text) = (Vec::new(), Vec::new());
        let mut decode = |bytes: &[u8]| {
            ends.clear();
            text.clear();
            decode_bytes(bytes, plan.rows, data.len(), &mut ends, &mut text)
        };
        decode(&bytes).expect("what was encoded decodes");
        let decode_speed = plan.speed(|| {
            let _ = black_box(decode(black_box(&bytes)));
        });
        assert!(
            ends == offsets && text == data,
            "{encoding:?} changes {name}"
        );
        let size = bytes.len() as f64 / plan.rows as f64;
        let encode_speed = plan.speed(|| {
            bytes.clear();
            encode_bytes(&offsets, &data, black_box(&mut bytes));
        });
        line(
            &format!("-> {encoding:?}"),
            name,
            size,
            encode_speed,
            decode_speed,
        );
    }
}

fn main() {
    let plan = Plan::from_args();
    println!(
        "{:<16} {:<22} {:>10} {:>12} {:>12}",
        "codec", "data", "bytes/row", "enc Mrows/s", "dec Mrows/s"
    );
    integers(&plan);
    floats(&plan);
    others(&plan);
}
