use super::*;
use std::time::Instant;

fn disks() -> Vec<(tempfile::TempDir, Arc<dyn Disk>)> {
    [IoKind::Std, IoKind::Auto]
        .into_iter()
        .map(|kind| {
            let dir = tempfile::tempdir().unwrap();
            let disk = open_disk(kind, dir.path()).unwrap();
            (dir, disk)
        })
        .collect()
}

#[test]
fn files_read_back_what_was_written() {
    for (_dir, disk) in disks() {
        disk.create_dir("a/b").unwrap();
        let file = disk.create("a/b/one.wal").unwrap();
        assert_eq!(
            disk.create("a/b/one.wal").err().unwrap().kind(),
            io::ErrorKind::AlreadyExists
        );
        file.preallocate(10_000).unwrap();
        file.write_at(9_990, b"0123456789abc").unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.len().unwrap(), 10_003);
        let map = file.map().unwrap();
        assert_eq!(&map[9_990..], b"0123456789abc");
        assert!(map[..9_990].iter().all(|b| *b == 0));
        let mut buf = [0; 4];
        assert_eq!(
            file.read_at(10_001, &mut buf).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        disk.rename("a/b/one.wal", "a/b/two.wal").unwrap();
        disk.sync_dir("a/b").unwrap();
        let two = DirEntry {
            name: "two.wal".into(),
            len: 10_003,
        };
        assert_eq!(disk.list("a/b").unwrap(), vec![two]);
        disk.remove("a/b/two.wal").unwrap();
        assert_eq!(disk.list("a/b").unwrap(), vec![]);
        assert_eq!(disk.list("nowhere").unwrap(), vec![]);
        assert_eq!(&map[9_990..], b"0123456789abc", "a map outlives its name");
    }
}

#[test]
fn queues_report_every_write_once_and_give_the_buffer_back() {
    for (_dir, disk) in disks() {
        let file = disk.create("log").unwrap();
        let mut queue = disk.queue().unwrap();
        let mut done = Vec::new();
        for round in 0..20u64 {
            for i in 0..3u64 {
                let n = round * 3 + i;
                let write = DurableWrite {
                    file: file.clone(),
                    offset: n * 100,
                    data: vec![n as u8; 100],
                };
                queue.submit(write, n);
            }
            queue.wait(2, None, &mut done).unwrap();
        }
        while queue.in_flight() > 0 {
            queue.wait(1, None, &mut done).unwrap();
        }
        let mut tokens: Vec<u64> = done.iter().map(|c| c.token).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, (0..60).collect::<Vec<_>>(), "{}", disk.kind());
        for c in &done {
            assert!(c.result.is_ok());
            assert_eq!(c.data, vec![c.token as u8; 100]);
        }
        let map = file.map().unwrap();
        for n in 0..60usize {
            assert!(map[n * 100..(n + 1) * 100].iter().all(|b| *b == n as u8));
        }
    }
}

#[test]
fn a_waker_ends_a_wait_and_is_remembered_until_the_next_one() {
    for (_dir, disk) in disks() {
        let mut queue = disk.queue().unwrap();
        let waker = queue.waker();
        let mut done = Vec::new();
        for _ in 0..3 {
            waker.wake();
            waker.wake();
            queue.wait(1, None, &mut done).unwrap();
        }
        let start = Instant::now();
        let nap = Duration::from_millis(5);
        queue.wait(1, Some(nap), &mut done).unwrap();
        assert!(
            start.elapsed() >= nap,
            "two calls before a wait count as one"
        );
        let other = std::thread::spawn(move || waker.wake());
        queue.wait(1, None, &mut done).unwrap();
        other.join().unwrap();
        assert!(done.is_empty());
    }
}

/// A file whose descriptor refuses writes: what the kernel says must come back with its token.
struct ReadOnly(std::fs::File);

impl File for ReadOnly {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, data, offset)
    }
    fn preallocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn drop_cache(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn map(&self) -> io::Result<Bytes> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn raw_fd(&self) -> Option<RawFd> {
        Some(std::os::fd::AsRawFd::as_raw_fd(&self.0))
    }
}

#[test]
fn a_refused_write_is_an_error_with_its_token() {
    for (dir, disk) in disks() {
        let path = dir.path().join("readonly");
        std::fs::write(&path, b"x").unwrap();
        let file = Arc::new(ReadOnly(std::fs::File::open(&path).unwrap()));
        let mut queue = disk.queue().unwrap();
        let write = DurableWrite {
            file,
            offset: 0,
            data: vec![1; 10],
        };
        queue.submit(write, 99);
        let mut done = Vec::new();
        queue.wait(1, None, &mut done).unwrap();
        assert_eq!(done.len(), 1);
        assert_eq!(done[0].token, 99);
        assert_eq!(
            done[0].result.as_ref().unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for bad in [
        "", "/", "/etc", "a/", "a//b", "..", "../a", "a/../b", "a/.", ".hidden", "a b", "a\0", "ä",
        "a\\b",
    ] {
        assert!(!is_safe_name(bad), "{bad:?}");
        let dir = tempfile::tempdir().unwrap();
        let disk = StdDisk::new(dir.path()).unwrap();
        let error = disk.create(bad).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad:?}");
    }
    for good in ["a", "wal/00000001.wal", "segments/x_y-z.seg"] {
        assert!(is_safe_name(good), "{good:?}");
    }
}

#[test]
fn a_directory_has_one_disk_at_a_time() {
    for kind in [IoKind::Std, IoKind::Auto] {
        let dir = tempfile::tempdir().unwrap();
        let disk = open_disk(kind, dir.path()).unwrap();
        for second in [IoKind::Std, IoKind::Auto] {
            let refused = open_disk(second, dir.path()).err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        }
        drop(disk);
        open_disk(kind, dir.path()).unwrap();
    }
}
