//! The parent's side of a child process: what it is asked, and the ways in which it can fail to answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::child::MARK;
use crate::contender::{Entry, Outcome};
use crate::oracle::Reading;

/// What came instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A typed error.
    Refused(String),
    /// A panic, an abort or a deadly signal.
    Died(String),
    /// Nothing, for as long as we wait.
    Hung,
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    child: std::process::Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<std::thread::JoinHandle<String>>,
    timeout: Duration,
}

/// What all children of a run have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nursery {
    pub(crate) seed: u64,
    pub(crate) timeout: Duration,
}

impl Nursery {
    /// Starts a child for the contender on `dir`, behind a tracer where a command for one is given.
    pub(crate) fn start(&self, entry: &Entry, dir: &Path, tracer: Option<Command>) -> Outcome<Child> {
        let program = std::env::current_exe()?;
        let mut command = match tracer {
            Some(mut tracer) => {
                tracer.arg(program);
                tracer
            }
            None => Command::new(program),
        };
        command.arg("child").arg(entry.name).arg(dir).arg(self.seed.to_string());
        command.env("WALRUS_DATA_DIR", dir).env("WALRUS_QUIET", "1").env("RUST_BACKTRACE", "0");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().ok_or("a child without output")?);
        std::thread::spawn(move || {
            let lines = stdout.split(b'\n').map_while(Result::ok);
            for line in lines {
                let line = String::from_utf8_lossy(&line).into_owned();
                // What else is printed there is talk.
                if let Some((_, line)) = line.split_once(MARK) {
                    if sender.send(line.to_owned()).is_err() {
                        return;
                    }
                }
            }
        });
        let mut errors = child.stderr.take().ok_or("a child without errors")?;
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What could be read is what there is to show.
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdin = child.stdin.take();
        Ok(Child { child, stdin, lines, stderr: Some(stderr), timeout: self.timeout })
    }

    /// Opens and reads back what is in `dir`.
    pub(crate) fn read(&self, entry: &Entry, dir: &Path, count: u64) -> Outcome<Result<Reading, Failure>> {
        let mut child = self.start(entry, dir, None)?;
        Ok(child.open().and_then(|()| child.read(count)))
    }
}

impl Child {
    /// The process id, as the tracer wants it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Opens the contender.
    pub(crate) fn open(&mut self) -> Result<(), Failure> {
        self.ask("open").map(drop)
    }

    /// Reads everything back, the first `count` records by name.
    pub(crate) fn read(&mut self, count: u64) -> Result<Reading, Failure> {
        let answer = self.ask(&format!("read {count}"))?;
        let reading = answer.strip_prefix("read ").and_then(Reading::from_line);
        reading.ok_or_else(|| Failure::Died(format!("a strange answer: {answer}")))
    }

    /// Commits `from..to` one by one up to the first error: how many were acknowledged, and that error.
    pub(crate) fn commit(&mut self, from: u64, to: u64) -> Result<(u64, Option<String>), Failure> {
        let answer = self.ask(&format!("commit {from} {to}"))?;
        let parts = answer.strip_prefix("acked ").and_then(|rest| rest.split_once(' '));
        let parts = parts.and_then(|(acked, error)| Some((acked.parse().ok()?, error)));
        let (acked, error) = parts.ok_or_else(|| Failure::Died(format!("a strange answer: {answer}")))?;
        Ok((acked, (error != "-").then(|| error.to_owned())))
    }

    /// One question, one answer.
    pub(crate) fn ask(&mut self, question: &str) -> Result<String, Failure> {
        self.send(question);
        self.answer(|_| false)
    }

    /// Asks without waiting.
    pub(crate) fn send(&mut self, question: &str) {
        if let Some(stdin) = &mut self.stdin {
            // A child that has died is noticed when it does not answer.
            let _ = writeln!(stdin, "{question}").and_then(|()| stdin.flush());
        }
    }

    /// The next line that `aside` does not take.
    pub(crate) fn answer(&mut self, mut aside: impl FnMut(&str) -> bool) -> Result<String, Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if aside(&line) => {}
                Ok(line) if line == "panicked" => return Err(Failure::Died(self.last_words())),
                Ok(line) => {
                    return match line.strip_prefix("error ") {
                        Some(error) => Err(Failure::Refused(error.to_owned())),
                        None => Ok(line),
                    };
                }
                Err(RecvTimeoutError::Timeout) => return Err(Failure::Hung),
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::Died(self.last_words())),
            }
        }
    }

    /// Ends the process the hard way, from inside, and waits for it.
    pub(crate) fn abort(mut self) {
        self.send("abort");
        self.stdin = None;
        let deadline = Instant::now() + self.timeout;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How the process ended, and what it complained of.
    fn last_words(&mut self) -> String {
        // It is ending or has ended; a kill only makes sure.
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let told = stderr.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("note:"));
        format!("{status}: {}", told.take(3).collect::<Vec<_>>().join(" "))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already dead is dead enough.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Directories of one run, all below one that goes away with it.
#[derive(Debug)]
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A fresh directory below `parent`.
    pub(crate) fn new(parent: &Path) -> Outcome<Self> {
        // Tracers tell paths as the kernel knows them.
        Ok(Self(tempfile::Builder::new().prefix("torture-").tempdir_in(parent.canonicalize()?)?))
    }

    /// A path below it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
