//! What the host and this process use, from `/proc`.

use std::fs;
use std::time::Instant;

/// Counters of the host at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    cpu_busy: u64,
    cpu_all: u64,
    disk_read: u64,
    disk_written: u64,
    received: u64,
    sent: u64,
}

/// Rates and levels of the host over the last interval; what the host does not tell is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostSample {
    /// Share of the processors' time that was work, 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Share of the memory that is in use, 0 to 100.
    pub memory_percent: Option<f64>,
    /// Bytes of memory in use.
    pub memory_used: Option<u64>,
    /// Bytes a second read from disks.
    pub disk_read: Option<f64>,
    /// Bytes a second written to disks.
    pub disk_written: Option<f64>,
    /// Bytes a second received from the network.
    pub received: Option<f64>,
    /// Bytes a second sent to the network.
    pub sent: Option<f64>,
}

/// Samples the host; each sample is over the time since the last.
pub struct Host {
    last: Counters,
    at: Instant,
}

impl Default for Host {
    fn default() -> Host {
        Host::new()
    }
}

impl Host {
    /// A sampler whose first sample covers the time from now on.
    #[must_use]
    pub fn new() -> Host {
        Host {
            last: read_counters(),
            at: Instant::now(),
        }
    }

    /// What has happened since the last sample.
    pub fn sample(&mut self) -> HostSample {
        let (now, at) = (read_counters(), Instant::now());
        let seconds = at.duration_since(self.at).as_secs_f64();
        let rate =
            |new: u64, old: u64| (seconds > 0.0).then(|| new.saturating_sub(old) as f64 / seconds);
        let all = now.cpu_all.saturating_sub(self.last.cpu_all);
        let busy = now.cpu_busy.saturating_sub(self.last.cpu_busy);
        let memory = memory(&read("/proc/meminfo"));
        let sample = HostSample {
            cpu_percent: (all > 0).then(|| 100.0 * busy as f64 / all as f64),
            memory_percent: memory.map(|(used, total)| 100.0 * used as f64 / total as f64),
            memory_used: memory.map(|(used, _)| used),
            disk_read: rate(now.disk_read, self.last.disk_read),
            disk_written: rate(now.disk_written, self.last.disk_written),
            received: rate(now.received, self.last.received),
            sent: rate(now.sent, self.last.sent),
        };
        (self.last, self.at) = (now, at);
        sample
    }
}

/// What can't be read has no counts.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn read_counters() -> Counters {
    let (cpu_busy, cpu_all) = cpu(&read("/proc/stat")).unwrap_or_default();
    let (disk_read, disk_written) = disks(&read("/proc/diskstats"));
    let (received, sent) = network(&read("/proc/net/dev"));
    Counters {
        cpu_busy,
        cpu_all,
        disk_read,
        disk_written,
        received,
        sent,
    }
}

/// Busy and all ticks: `cpu user nice system idle iowait irq softirq steal guest guest_nice`. The guests' time is in
/// user and nice already.
fn cpu(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|l| l.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map_while(|t| t.parse().ok())
        .collect();
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
    Some((all - idle, all))
}

/// Bytes read and written by whole disks; partitions and stacked devices would count them twice.
fn disks(stats: &str) -> (u64, u64) {
    let lines = stats.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(2);
        let name = fields.next()?;
        let counts: Vec<u64> = fields.map_while(|n| n.parse().ok()).collect();
        let made_up = ["loop", "ram", "dm-", "md", "zram", "nbd", "sr"]
            .iter()
            .any(|p| name.starts_with(p));
        (!made_up).then_some((name, *counts.get(2)?, *counts.get(6)?))
    });
    let lines: Vec<(&str, u64, u64)> = lines.collect();
    let disks = lines
        .iter()
        .filter(|(name, ..)| !lines.iter().any(|(disk, ..)| is_partition(name, disk)));
    // Sectors count 512 bytes here whatever the disk's are.
    disks.fold((0, 0), |sum, (_, read, written)| {
        (sum.0 + read * 512, sum.1 + written * 512)
    })
}

/// Whether a device is a partition of a disk: `sda1` of `sda`, `nvme0n1p1` of `nvme0n1`.
fn is_partition(name: &str, disk: &str) -> bool {
    let rest = name.strip_prefix(disk).and_then(|rest| {
        match disk.ends_with(|c: char| c.is_ascii_digit()) {
            true => rest.strip_prefix('p'),
            false => Some(rest),
        }
    });
    rest.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Bytes received and sent by all interfaces but loopback.
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

/// Bytes used and there in all.
fn memory(info: &str) -> Option<(u64, u64)> {
    let kib = |name: &str| -> Option<u64> {
        let line = info.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (total, free) = (kib("MemTotal:")?, kib("MemAvailable:")?);
    (total > 0).then(|| (total.saturating_sub(free) * 1024, total * 1024))
}

/// What this process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessUse {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: u64,
}

/// Reads `/proc/self`.
pub(crate) fn process_use() -> ProcessUse {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command's name may hold blanks and parentheses; fields are counted behind the last one.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, f)| f)
        .split_whitespace()
        .collect();
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|t| t.parse::<u64>().ok())
            .unwrap_or(0)
    };
    // SAFETY: sysconf reads no memory of ours.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split_whitespace()
        .nth(1)
        .and_then(|t| t.parse::<u64>().ok())
        .unwrap_or(0);
    // SAFETY: as above.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as u64;
    ProcessUse {
        cpu_seconds: (ticks(11) + ticks(12)) as f64 / per_second,
        resident_bytes: pages * page,
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |d| d.count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_as_the_kernel_writes_them() {
        assert_eq!(
            cpu("cpu  10 1 5 100 4 0 2 1 9 9\ncpu0 1 1 1 1"),
            Some((19, 123))
        );
        assert_eq!(cpu(""), None);
        let stats = "   8  0 sda 1 0 100 5 2 0 50 5 0 0 0\n   8  1 sda1 1 0 100 5 2 0 50 5 0 0 0\n 259 0 nvme0n1 1 0 10 5 2 0 20 5 0 0 0\n 259 1 nvme0n1p1 1 0 10 5 2 0 20 5 0 0 0\n 7 0 loop0 1 0 9 0 0 0 9 0\n";
        assert_eq!(disks(stats), (110 * 512, 70 * 512));
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n    lo: 7 0 0 0 0 0 0 0 7 0\n  eth0:100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n";
        assert_eq!(network(dev), (100, 200));
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
            assert_eq!(is_partition(name, disk), part, "{name} of {disk}");
        }
        // Disks whose names end in digits, as some clouds and boards have them, are no partitions.
        let stats = "254 0 vda1 1 0 10 1 1 0 20 1\n179 0 mmcblk0 1 0 1 1 1 0 2 1\n";
        assert_eq!(disks(stats), (11 * 512, 22 * 512));
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
            assert_eq!((disks(text), network(text)), ((0, 0), (0, 0)), "{text}");
        }
    }

    #[test]
    fn this_process_uses_memory_and_files() {
        let used = process_use();
        assert!(
            used.resident_bytes > 100_000 && used.open_files >= 3,
            "{used:?}"
        );
    }
}
