//! Independent pieces of work, shared out to threads.

use crate::Error;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `work(0) .. work(n - 1)` on up to `threads` threads, this one among them.
///
/// # Errors
/// The first error in order of the pieces; pieces not begun by then are left out.
pub(crate) fn spread<T: Send>(
    n: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    if threads.min(n) <= 1 {
        return (0..n).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(n));
    let run = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n {
                return;
            }
            let result = work(i);
            if result.is_err() {
                next.store(n, Ordering::Relaxed);
            }
            done.lock().push((i, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(n) {
            scope.spawn(run);
        }
        run();
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}
