//! What this host is doing: CPU, memory, disk and network, from `/proc`.

use serde_json::{Map, Value};
use std::fs;

/// Counts of the host since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Totals {
    /// CPU time in ticks: working, and in all.
    cpu: (u64, u64),
    /// Bytes read from and written to disks.
    disk: (u64, u64),
    /// Bytes received and sent.
    network: (u64, u64),
}

/// Samples the host.
pub(super) struct Sampler {
    last: Totals,
}

impl Sampler {
    /// A sampler whose first sample covers the time from now on.
    pub(super) fn new() -> Sampler {
        Sampler { last: totals() }
    }

    /// The `seconds` since the last sample as a row: percentages, bytes, and bytes a second.
    pub(super) fn sample(&mut self, now_ms: i64, seconds: f64) -> String {
        let now = totals();
        let row = row(
            self.last,
            now,
            memory(&read("/proc/meminfo")),
            now_ms,
            seconds,
        );
        self.last = now;
        Value::Object(row).to_string()
    }
}

fn row(
    last: Totals,
    now: Totals,
    memory: Option<(u64, u64)>,
    now_ms: i64,
    seconds: f64,
) -> Map<String, Value> {
    // A counter that went back belongs to a device that was replaced.
    let grown = |now: u64, last: u64| now.saturating_sub(last) as f64;
    let rate = |now, last| round(grown(now, last) / seconds.max(1e-3));
    let mut row = Map::new();
    let mut put = |name: &str, value: Value| drop(row.insert(name.to_owned(), value));
    put("timestamp", now_ms.into());
    let all = grown(now.cpu.1, last.cpu.1);
    if all > 0.0 {
        put(
            "cpu_percent",
            round(100.0 * grown(now.cpu.0, last.cpu.0) / all).into(),
        );
    }
    if let Some((used, total)) = memory {
        put(
            "memory_percent",
            round(100.0 * used as f64 / total.max(1) as f64).into(),
        );
        put("memory_used_bytes", used.into());
    }
    put(
        "disk_read_bytes_per_sec",
        rate(now.disk.0, last.disk.0).into(),
    );
    put(
        "disk_write_bytes_per_sec",
        rate(now.disk.1, last.disk.1).into(),
    );
    put(
        "net_rx_bytes_per_sec",
        rate(now.network.0, last.network.0).into(),
    );
    put(
        "net_tx_bytes_per_sec",
        rate(now.network.1, last.network.1).into(),
    );
    row
}

/// Two digits behind the point: the rest is noise that only takes space.
fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

fn totals() -> Totals {
    Totals {
        cpu: cpu(&read("/proc/stat")).unwrap_or_default(),
        disk: disk(&read("/proc/diskstats")),
        network: network(&read("/proc/net/dev")),
    }
}

/// What can't be read has no counts.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// `cpu user nice system idle iowait irq softirq steal guest guest_nice`; the guests' time is in user and nice.
fn cpu(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|l| l.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map_while(|n| n.parse().ok())
        .collect();
    let all = ticks.iter().sum::<u64>();
    let rest = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
    Some((all - rest, all))
}

/// Sums whole disks; partitions and stacked devices would count the same bytes again.
fn disk(stats: &str) -> (u64, u64) {
    let lines = stats.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(2);
        let name = fields.next()?;
        let counts: Vec<u64> = fields.map_while(|n| n.parse().ok()).collect();
        let made_up = ["loop", "ram", "dm-", "md", "zram", "nbd"]
            .iter()
            .any(|p| name.starts_with(p));
        (!made_up).then_some((name, *counts.get(2)?, *counts.get(6)?))
    });
    let lines: Vec<(&str, u64, u64)> = lines.collect();
    let disks = lines
        .iter()
        .filter(|(name, ..)| !lines.iter().any(|(disk, ..)| is_part(name, disk)));
    // Sectors count 512 bytes here whatever the disk's are.
    disks.fold((0, 0), |sum, (_, read, written)| {
        (sum.0 + read * 512, sum.1 + written * 512)
    })
}

/// Whether a device is a partition of a disk: `sda1` of `sda`, `nvme0n1p1` of `nvme0n1`.
fn is_part(name: &str, disk: &str) -> bool {
    let rest = name.strip_prefix(disk).and_then(|rest| {
        match disk.ends_with(|c: char| c.is_ascii_digit()) {
            true => rest.strip_prefix('p'),
            false => Some(rest),
        }
    });
    rest.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Sums the interfaces except the loopback.
fn network(dev: &str) -> (u64, u64) {
    let lines = dev.lines().filter_map(|line| line.split_once(':'));
    let counts = lines
        .filter(|(name, _)| name.trim() != "lo")
        .filter_map(|(_, counts)| {
            let counts: Vec<u64> = counts
                .split_whitespace()
                .map_while(|n| n.parse().ok())
                .collect();
            Some((*counts.first()?, *counts.get(8)?))
        });
    counts.fold((0, 0), |sum, (received, sent)| {
        (sum.0 + received, sum.1 + sent)
    })
}

/// Bytes in use and in all.
fn memory(info: &str) -> Option<(u64, u64)> {
    let kib = |name: &str| {
        let line = info.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let total = kib("MemTotal:")?;
    let used = total.saturating_sub(kib("MemAvailable:")?);
    Some((used << 10, total << 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(
            cpu("cpu  10 0 5 80 5 0 0 0 3 0\ncpu0 1 1 1 1\n"),
            Some((15, 100))
        );
        let stats = "8 0 sda 1 0 10 1 1 0 20 1\n8 1 sda1 1 0 9 1 1 0 20 1\n259 0 nvme0n1 1 0 1 1 1 0 2 1\n\
                     259 1 nvme0n1p1 1 0 1 1 1 0 2 1\n7 0 loop0 1 0 500 1 1 0 0 1\n";
        assert_eq!(disk(stats), (11 * 512, 22 * 512));
        let dev = "Inter-| Receive | Transmit\n face |bytes\n lo: 9 0 0 0 0 0 0 0 9\neth0:100 1 0 0 0 0 0 0 50 1 0 0\n";
        assert_eq!(network(dev), (100, 50));
        assert_eq!(
            memory("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n"),
            Some((600 << 10, 1000 << 10))
        );
    }

    #[test]
    fn partitions_are_told_from_disks_with_longer_names() {
        for (name, disk, part) in [
            ("sda1", "sda", true),
            ("sdaa", "sda", false),
            ("sda", "sda", false),
            ("nvme0n1p2", "nvme0n1", true),
            ("nvme0n10", "nvme0n1", false),
        ] {
            assert_eq!(is_part(name, disk), part, "{name} of {disk}");
        }
    }

    #[test]
    fn tables_in_another_form_count_nothing() {
        for text in [
            "",
            "cpu",
            "cpu x y",
            "a b c d e f",
            ":",
            "eth0:",
            "MemTotal: x",
        ] {
            assert!(cpu(text).is_none() && memory(text).is_none(), "{text}");
            assert_eq!((disk(text), network(text)), ((0, 0), (0, 0)), "{text}");
        }
    }

    #[test]
    fn rates_are_over_the_time_that_passed() {
        let last = Totals {
            cpu: (10, 100),
            disk: (0, 1000),
            network: (500, 0),
        };
        let now = Totals {
            cpu: (60, 200),
            disk: (400, 1000),
            network: (100, 0),
        };
        let row = row(last, now, None, 7, 2.0);
        assert_eq!(row["cpu_percent"], 50.0);
        assert_eq!(row["disk_read_bytes_per_sec"], 200.0);
        assert_eq!(row["net_rx_bytes_per_sec"], 0.0);
        assert!(!row.contains_key("memory_percent"));
    }
}
