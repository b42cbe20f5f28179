//! Memory maps that outlive what happens to their files.
//!
//! A mapped page whose file was cut short, or whose device can't read it, kills the process with SIGBUS. Here a handler
//! puts a page of zeros in its place and marks the map: whoever reads from it must ask [`is_damaged`] *after* it has
//! used the bytes, and throw away what it made of them if so.
//!
//! What makes it sound, in one place:
//! - the handler touches only atomics of leaked (never freed) slots and calls only `mmap` and `sigaction`, both of
//!   which are async-signal-safe on Linux;
//! - it remaps a page only inside a range that a live [`GuardedMap`] has published, so nothing but a map of ours changes;
//! - a slot is published after its map was made and withdrawn before it is unmapped;
//! - a fault elsewhere goes to the handler that was there before.

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// One map that the handler knows; a free slot has length 0.
struct Slot {
    start: AtomicUsize,
    len: AtomicUsize,
    damaged: AtomicBool,
    taken: AtomicBool,
    next: AtomicPtr<Slot>,
}

/// All slots, the newest first. Slots are leaked and used again, so the handler may walk them at any time.
static SLOTS: AtomicPtr<Slot> = AtomicPtr::new(std::ptr::null_mut());
/// Pages replaced so far; while it is 0 no map is damaged.
static FAULTS: AtomicU64 = AtomicU64::new(0);
/// The handler that was there before ours.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

fn slots() -> impl Iterator<Item = &'static Slot> {
    let mut at = SLOTS.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: slots are leaked boxes, linked in before they are published: never freed, never moved.
        let slot: &'static Slot = unsafe { at.as_ref()? };
        at = slot.next.load(Ordering::Acquire);
        Some(slot)
    })
}

/// A slot that nobody else has.
fn claim() -> &'static Slot {
    let free = slots().find(|s| {
        s.taken
            .compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    });
    if let Some(slot) = free {
        return slot;
    }
    let slot: &'static Slot = Box::leak(Box::new(Slot {
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        damaged: AtomicBool::new(false),
        taken: AtomicBool::new(true),
        next: AtomicPtr::default(),
    }));
    let address = std::ptr::from_ref(slot).cast_mut();
    let mut head = SLOTS.load(Ordering::Acquire);
    loop {
        slot.next.store(head, Ordering::Release);
        match SLOTS.compare_exchange_weak(head, address, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return slot,
            Err(now) => head = now,
        }
    }
}

/// A map of a whole file, watched by the handler for as long as it lives.
pub(super) struct GuardedMap {
    map: Mmap,
    slot: &'static Slot,
}

impl GuardedMap {
    /// Maps a file that is not empty.
    ///
    /// # Errors
    /// When the system refuses.
    ///
    /// # Safety
    /// Nobody may write into a part of the file whose bytes are in use.
    pub(super) unsafe fn new(file: &File) -> io::Result<GuardedMap> {
        install()?;
        // SAFETY: handed on to the caller; a file that is cut short meanwhile is what the handler is for.
        let map = unsafe { Mmap::map(file)? };
        let slot = claim();
        slot.damaged.store(false, Ordering::Relaxed);
        slot.start.store(map.as_ptr() as usize, Ordering::Release);
        slot.len.store(map.len(), Ordering::Release);
        Ok(GuardedMap { map, slot })
    }
}

impl AsRef<[u8]> for GuardedMap {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for GuardedMap {
    fn drop(&mut self) {
        self.slot.len.store(0, Ordering::Release);
        self.slot.taken.store(false, Ordering::Release);
    }
}

/// Whether these bytes lie in a map of which a page could not be read and shows zeros instead. To be asked after the
/// bytes were used: what was made of them is void then.
#[must_use]
pub fn is_damaged(bytes: &[u8]) -> bool {
    if FAULTS.load(Ordering::Acquire) == 0 {
        return false;
    }
    let at = bytes.as_ptr() as usize;
    slots().any(|s| {
        let start = s.start.load(Ordering::Acquire);
        let len = s.len.load(Ordering::Acquire);
        s.damaged.load(Ordering::Acquire) && at >= start && at - start < len
    })
}

/// Pages of maps that could not be read since the program began.
#[must_use]
pub fn map_faults() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

/// Puts the handler in place, once.
fn install() -> io::Result<()> {
    static FAILED: OnceLock<Option<i32>> = OnceLock::new();
    let failed = FAILED.get_or_init(|| {
        // SAFETY: an all-zero `sigaction` is a valid one: default action, empty mask, no flags.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: as above; the handler's signature is that of SA_SIGINFO, and `before` is live and writable.
        let set = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            if libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before) != 0 {
                return io::Error::last_os_error().raw_os_error();
            }
            // Before ours is in place: from then on the handler may need it.
            let _ = BEFORE.set(before);
            libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut())
        };
        (set != 0).then(|| io::Error::last_os_error().raw_os_error().unwrap_or(0))
    });
    match failed {
        None => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(*code)),
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a live siginfo to a handler set with SA_SIGINFO.
    let at = unsafe { (*info).si_addr() } as usize;
    let ours = slots().find(|s| {
        let start = s.start.load(Ordering::Acquire);
        let len = s.len.load(Ordering::Acquire);
        len > 0 && at >= start && at - start < len.next_multiple_of(PAGE)
    });
    if let Some(slot) = ours {
        slot.damaged.store(true, Ordering::Release);
        FAULTS.fetch_add(1, Ordering::AcqRel);
        let page = at & !(PAGE - 1);
        // SAFETY: the page lies in a read-only map of ours that is alive, since somebody reads from it: it is replaced by
        // another read-only page, and bytes of a map are never assumed to stay what they were (see `is_damaged`).
        let replaced = unsafe {
            libc::mmap(
                page as *mut libc::c_void,
                PAGE,
                libc::PROT_READ,
                libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if replaced != libc::MAP_FAILED {
            return;
        }
    }
    // Not ours, or no page to be had: whoever was responsible before gets it when the access is tried again.
    if let Some(before) = BEFORE.get() {
        // SAFETY: `before` is what `sigaction` once gave.
        unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
    }
}

/// Bytes replaced at once. Where pages are larger the remap fails, and the fault takes its old way.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_cut_under_its_map_reads_as_zeros_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.write_all(&[7; 5 * PAGE + 100]).unwrap();
        // SAFETY: nobody writes to the file; it is cut, which is the point.
        let map = unsafe { GuardedMap::new(&file).unwrap() };
        // SAFETY: as above.
        let other = unsafe { GuardedMap::new(&file).unwrap() };
        assert!(map.as_ref().iter().all(|b| *b == 7));
        assert!(!is_damaged(&map.as_ref()[PAGE..]));
        file.set_len(2 * PAGE as u64).unwrap();
        let sum: u64 = map.as_ref().iter().map(|b| u64::from(*b)).sum();
        assert_eq!(sum, 7 * 2 * PAGE as u64);
        assert!(is_damaged(&map.as_ref()[..10]), "the whole map is suspect");
        assert!(
            !is_damaged(other.as_ref()),
            "nobody has read from the other"
        );
        assert!(map_faults() >= 4);
        drop(map);
        drop(other);
        // A slot is used again without its past.
        file.set_len(PAGE as u64).unwrap();
        // SAFETY: as above.
        let again = unsafe { GuardedMap::new(&file).unwrap() };
        assert!(again.as_ref().iter().all(|b| *b == 7));
        assert!(!is_damaged(again.as_ref()));
    }
}
