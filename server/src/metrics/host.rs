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
pub(crate) struct HostSample {
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) memory_percent: Option<f64>,
    pub(crate) memory_used: Option<u64>,
    pub(crate) disk_read: Option<f64>,
    pub(crate) disk_written: Option<f64>,
    pub(crate) received: Option<f64>,
    pub(crate) sent: Option<f64>,
}

/// Samples the host; each sample is over the time since the last.
pub(crate) struct Host {
    last: Counters,
    at: Instant,
}

impl Host {
    pub(crate) fn new() -> Host {
        Host {
            last: read_counters(),
            at: Instant::now(),
        }
    }

    pub(crate) fn sample(&mut self) -> HostSample {
        let (now, at) = (read_counters(), Instant::now());
        let seconds = at.duration_since(self.at).as_secs_f64();
        let rate =
            |new: u64, old: u64| (seconds > 0.0).then(|| new.saturating_sub(old) as f64 / seconds);
        let all = now.cpu_all.saturating_sub(self.last.cpu_all);
        let busy = now.cpu_busy.saturating_sub(self.last.cpu_busy);
        let memory = memory();
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

fn read_counters() -> Counters {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpu_busy, cpu_all) = cpu(&text("/proc/stat")).unwrap_or_default();
    let (disk_read, disk_written) = disks(&text("/proc/diskstats"));
    let (received, sent) = network(&text("/proc/net/dev"));
    Counters {
        cpu_busy,
        cpu_all,
        disk_read,
        disk_written,
        received,
        sent,
    }
}

/// Busy and all ticks, from the first line of `/proc/stat`. Guests' time is part of user's already.
fn cpu(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .filter_map(|t| t.parse().ok())
        .collect();
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4).unwrap_or(&0);
    Some((all - idle, all))
}

/// Bytes read and written by whole disks; partitions and stacked devices would count them twice.
fn disks(stats: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in stats.lines() {
        let f: Vec<&str> = line.split_whitespace().collect();
        let (Some(name), Some(read), Some(written)) = (f.get(2), f.get(5), f.get(9)) else {
            continue;
        };
        let virtual_disk = ["loop", "ram", "dm-", "md", "zram", "sr"]
            .iter()
            .any(|p| name.starts_with(p));
        if virtual_disk || is_partition(name) {
            continue;
        }
        let sectors = |t: &str| t.parse::<u64>().unwrap_or(0) * 512;
        sum = (sum.0 + sectors(read), sum.1 + sectors(written));
    }
    sum
}

fn is_partition(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return false;
    }
    match name.as_bytes() {
        [b'n', b'v', b'm', b'e', ..] | [b'm', b'm', b'c', ..] => stem.ends_with('p'),
        _ => true,
    }
}

/// Bytes received and sent by all interfaces but loopback.
fn network(dev: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in dev.lines() {
        let Some((name, counters)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let n: Vec<u64> = counters
            .split_whitespace()
            .filter_map(|t| t.parse().ok())
            .collect();
        if let (Some(received), Some(sent)) = (n.first(), n.get(8)) {
            sum = (sum.0 + received, sum.1 + sent);
        }
    }
    sum
}

/// Bytes used and there in all.
fn memory() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
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
