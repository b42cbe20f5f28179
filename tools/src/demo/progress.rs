//! The line that tells how the demo goes: kept up to date on a terminal, a new one now and then elsewhere.

use super::feed::{Progress, Stop};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const ON_TERMINAL: Duration = Duration::from_millis(500);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// Tells of the progress until the end.
pub(super) async fn tell(progress: Arc<Progress>, mut stop: Stop) {
    let terminal = stderr().is_terminal();
    let bar = terminal.then(|| {
        let bar = ProgressBar::new_spinner();
        // The template is a constant; without it the bar would only look different.
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}") {
            bar.set_style(style);
        }
        bar
    });
    let (mut last, mut at) = (progress.events(), Instant::now());
    let pause = if terminal { ON_TERMINAL } else { ELSEWHERE };
    while !stop.within(pause).await {
        let events = progress.events();
        let rate = (events - last) as f64 / at.elapsed().as_secs_f64();
        (last, at) = (events, Instant::now());
        let line = line(&progress, rate);
        match &bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None => say(&line),
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Writes a line where scripts read it. Nobody reading is no reason to end.
pub(super) fn say(line: &str) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn line(progress: &Progress, rate: f64) -> String {
    let events = grouped(progress.events());
    let lsn = grouped(progress.lsn.load(Ordering::Relaxed));
    let clock = clock(progress.clock.load(Ordering::Relaxed));
    format!("{events} events, {rate:.0}/s · flights at {clock} · lsn {lsn}")
}

/// Seconds since the epoch as date, hour and minute.
pub(super) fn clock(seconds: i64) -> String {
    match chrono::DateTime::from_timestamp(seconds, 0) {
        Some(time) if seconds != 0 => time.format("%Y-%m-%d %H:%M").to_string(),
        _ => "–".to_owned(),
    }
}

/// `1234567` as `1,234,567`
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(n), text);
        }
        assert_eq!(clock(978_307_260), "2001-01-01 00:01");
        assert_eq!(clock(0), "–");
    }
}
