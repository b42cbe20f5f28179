//! The command as a process: started, asked, ended by signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// The command under test.
pub const TIDEMILL: &str = env!("CARGO_BIN_EXE_tidemill");

/// A process that listens: `serve` or `demo`. Killed when dropped.
pub struct Listening {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// `http://127.0.0.1:PORT`
    pub url: String,
}

impl Listening {
    /// Starts the command on a free port and waits until its data is open, and its streams are there.
    pub fn start(command: &str, data: &Path, more: &[&str]) -> Listening {
        Listening::start_at("127.0.0.1:0", command, data, more)
    }

    /// As [`Listening::start`], at an address of choice.
    pub fn start_at(address: &str, command: &str, data: &Path, more: &[&str]) -> Listening {
        let mut listening = Listening::begin(address, command, data, more);
        listening.wait_ready();
        let mut line = String::new();
        while command == "demo" && !line.starts_with("Ctrl-C ends it") {
            line.clear();
            let read = listening.stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "the demo has ended");
        }
        listening
    }

    /// Starts the command and waits until it says where it listens; it may still be opening its data.
    pub fn begin(address: &str, command: &str, data: &Path, more: &[&str]) -> Listening {
        let mut child = Command::new(TIDEMILL)
            .arg(command)
            .args(["--listen", address, "--data-dir"])
            .arg(data)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("Tidemill listens on ");
        let url = url
            .unwrap_or_else(|| panic!("{command} said {line:?}"))
            .to_owned();
        Listening { child, stdout, url }
    }

    /// Waits until recovery is done: before that `/ready` answers 503.
    fn wait_ready(&self) {
        let deadline = Deadline::in_seconds(60);
        loop {
            match self.request("GET", "/ready", "") {
                (200, _) => return,
                (503, _) => deadline.pause("the server to be ready"),
                (status, reply) => panic!("/ready: {status} {reply}"),
            }
        }
    }

    /// Posts a body and gives the answer's; anything but success is a failure of the test.
    pub fn post(&self, path: &str, body: &str) -> String {
        let (status, reply) = self.request("POST", path, body);
        assert!((200..300).contains(&status), "{path}: {status} {reply}");
        reply
    }

    /// Sends a request on a connection of its own; gives status and body.
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut socket = std::net::TcpStream::connect(address).expect("it listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body.as_bytes()).unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        let status = reply.get(9..12).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{path}: {reply}"));
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        (status, body.to_owned())
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs a script in the shell.
    pub fn sql(&self, script: &str) -> Output {
        sql(&self.url, &["-c", script], "")
    }

    /// The lines of a query's result as CSV, without the header.
    pub fn rows(&self, query: &str) -> Vec<String> {
        let out = sql(&self.url, &["--format", "csv", "-c", query], "");
        assert!(
            out.status.success(),
            "{query}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    /// The single number that a query yields.
    pub fn number(&self, query: &str) -> u64 {
        let rows = self.rows(query);
        rows[0]
            .parse()
            .unwrap_or_else(|_| panic!("{query} gave {rows:?}"))
    }

    /// Kills it, as a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it can be waited for");
    }

    /// Ends it by a signal and gives what it said last and its status.
    pub fn end(mut self, name: &str) -> (String, ExitStatus) {
        signal(&self.child, name);
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends a wait for something that only asking can tell.
pub struct Deadline(Instant);

impl Deadline {
    /// So many seconds from now.
    pub fn in_seconds(seconds: u64) -> Deadline {
        Deadline(Instant::now() + Duration::from_secs(seconds))
    }

    /// Leaves the asked one alone for a moment; fails the test when the time is up.
    pub fn pause(&self, what: &str) {
        assert!(Instant::now() < self.0, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills processes unless it is dropped in time, so that a test which would hang fails instead.
pub struct Watchdog(
    #[allow(dead_code, reason = "its drop is the message")] std::sync::mpsc::Sender<()>,
);

impl Watchdog {
    /// Gives these processes so many seconds.
    pub fn over(processes: Vec<u32>, seconds: u64) -> Watchdog {
        let (alive, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let late = ended.recv_timeout(Duration::from_secs(seconds));
            if late == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                for id in processes {
                    // It may have ended already.
                    let _ = Command::new("sh")
                        .args(["-c", &format!("kill -9 {id}")])
                        .status();
                }
            }
        });
        Watchdog(alive)
    }
}

/// Runs the shell with arguments and a standard input.
pub fn sql(url: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = shell(url, arguments);
    // A shell that has ended already, as it should at an error, reads no more.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Starts the shell.
pub fn shell(url: &str, arguments: &[&str]) -> Child {
    Command::new(TIDEMILL)
        .args(["sql", "--url", url])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the shell starts")
}

/// Sends a signal by its name.
pub fn signal(child: &Child, name: &str) {
    let kill = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", child.id())])
        .status();
    assert!(kill.unwrap().success(), "kill -{name}");
}
