//! `tidemill sql` at a terminal: a pseudo-terminal stands for the person before it.

use super::process::{Listening, TIDEMILL};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long the shell may take over anything.
const PATIENCE: Duration = Duration::from_secs(60);

struct Terminal {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    /// All that was shown and not yet looked at.
    shown: String,
}

impl Terminal {
    fn start(url: &str, state: &Path) -> Terminal {
        let (mut master, mut slave) = (0, 0);
        let size = libc::winsize {
            ws_row: 40,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the two numbers are live and written to; no name and no settings are passed.
        let made = unsafe {
            libc::openpty(
                &mut master,
                &mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                &size,
            )
        };
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: both were just made, and belong to nobody else.
        let (master, slave) =
            unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        let child = Command::new(TIDEMILL)
            .args(["sql", "--url", url])
            .env("XDG_STATE_HOME", state)
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .expect("the shell starts");
        let keys = File::from(master);
        let mut reader = keys.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Ends with an error once the shell has closed its side.
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal {
            child,
            keys,
            screen,
            shown: String::new(),
        }
    }

    /// Types a line.
    fn enter(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\r").as_bytes()).unwrap();
    }

    /// Waits until a text is shown; what came before it is forgotten.
    fn see(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} in {:?}", self.shown),
            }
        }
    }

    fn end(mut self) -> ExitStatus {
        self.enter("\\q");
        self.child.wait().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_prompt_outlives_the_server_and_the_history_every_end() {
    let dir = tempfile::tempdir().unwrap();
    let (data, state) = (dir.path().join("data"), dir.path().join("state"));
    let server = Listening::start("serve", &data, &["--log", "error"]);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let mut shell = Terminal::start(&server.url, &state);
    shell.see("tidemill> ");
    shell.enter("SELECT 40 + 2 AS answer;");
    shell.see("42");
    shell.see("tidemill> ");

    assert!(server.end("TERM").1.success());
    for _ in 0..2 {
        shell.enter("SELECT 1 AS lost;");
        shell.see("no answer from http://");
        shell.see("the next statement tries to reach it again");
        shell.see("tidemill> ");
    }

    let server = Listening::start_at(&address, "serve", &data, &["--log", "error"]);
    shell.enter("SELECT 1; SELECT 50 + 5 AS found; SELECT nothing;");
    shell.see("answers again");
    shell.see("55");
    shell.see("at: statement 3");
    shell.see("tidemill> ");

    // Killed, it has lost nothing of what was typed.
    let file = state.join("tidemill/sql_history");
    let history = std::fs::read_to_string(&file).unwrap();
    assert!(
        history.contains("SELECT 40 + 2 AS answer;") && history.contains("SELECT 50 + 5 AS found;"),
        "{history}"
    );
    drop(shell);
    let mut second = Terminal::start(&server.url, &state);
    second.see("tidemill> ");
    second.enter("SELECT 7 AS seven;");
    second.see("(1 row)");
    assert!(second.end().success());
    let history = std::fs::read_to_string(&file).unwrap();
    for kept in ["SELECT 40 + 2 AS answer;", "SELECT 7 AS seven;"] {
        assert_eq!(history.matches(kept).count(), 1, "{history}");
    }
}
