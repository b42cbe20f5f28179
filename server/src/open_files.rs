//! How many files this process may have open: each connection is one.

use crate::config::Limits;

/// Files that are kept for the database itself: segments, log, catalog.
const RESERVED: u64 = 256;

/// Raises the soft limit to the hard one, as any process may, and gives what it is now; `None` where there is no telling.
fn raise() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call writes one rlimit, to ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return None;
    }
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: the call reads one rlimit, ours.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0;
    Some(if done {
        raised.rlim_cur
    } else {
        limit.rlim_cur
    })
}

/// Makes room for the connections that are allowed, or allows fewer.
pub(crate) fn make_room(limits: &mut Limits) {
    if let Some(files) = raise()
        && let Some(fewer) = fitting(limits.connections, files)
    {
        tracing::warn!(
            files,
            wanted = limits.connections,
            allowed = fewer,
            "the limit on open files allows fewer connections; raise it with ulimit -n or LimitNOFILE"
        );
        limits.connections = fewer;
    }
}

/// How many connections there is room for, if that is fewer than wanted.
fn fitting(connections: usize, files: u64) -> Option<usize> {
    let room = usize::try_from(files.saturating_sub(RESERVED)).unwrap_or(usize::MAX);
    (room < connections).then_some(room.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_files_that_may_be_open() {
        assert_eq!(fitting(10_000, 1_048_576), None);
        assert_eq!(fitting(10_000, libc::RLIM_INFINITY), None);
        assert_eq!(fitting(10_000, 4_096), Some(3_840));
        assert_eq!(fitting(10, 100), Some(1));
        assert_eq!(fitting(3_840, 4_096), None);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let now = raise().unwrap();
        assert!(now >= 256, "{now} files");
        assert_eq!(raise(), Some(now));
    }
}
