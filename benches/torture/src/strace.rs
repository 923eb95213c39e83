//! strace: one failed sync for a running process, and a record of what a process wrote.
//!
//! No preloaded library and no patched kernel: the tracer attaches to a child that has just acknowledged a record, so that
//! exactly the next sync fails, whatever syncs a contender makes before.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use crate::contender::Outcome;

/// The calls that make data durable.
const SYNCS: &str = "fsync,fdatasync,sync_file_range,msync,syncfs";

/// The calls that change files, or the position at which the next one does.
const WRITES: &str = "openat,open,creat,close,lseek,read,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,\
                      copy_file_range,sendfile,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mmap,io_uring_setup";

/// Whether there is a strace that may trace.
pub(crate) fn is_available() -> bool {
    let probe = Command::new("strace").args(["-o", "/dev/null", "true"]).stdin(Stdio::null()).output();
    probe.is_ok_and(|output| output.status.success())
}

/// A tracer that starts the program given to it and writes down what that writes.
pub(crate) fn record(output: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "0", "-e"]).arg(format!("trace={SYNCS},{WRITES}")).arg("-o").arg(output);
    command
}

/// A tracer attached to a running process, under which the first sync of each thread fails with EIO.
#[derive(Debug)]
pub(crate) struct Injector {
    strace: Child,
    output: PathBuf,
    /// Kept open: strace goes on talking, and would die of a pipe that nobody holds.
    _stderr: BufReader<ChildStderr>,
}

impl Injector {
    /// Attaches; returns when the next sync is bound to fail.
    pub(crate) fn attach(process: u32, output: &Path, with_writes: bool) -> Outcome<Self> {
        let calls = if with_writes { format!("{SYNCS},{WRITES}") } else { SYNCS.to_owned() };
        let mut strace = Command::new("strace")
            .args(["-f", "-y", "-s", "0", "-e"])
            .arg(format!("trace={calls}"))
            .arg("-e")
            .arg(format!("inject={SYNCS}:error=EIO:when=1"))
            .arg("-o")
            .arg(output)
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = BufReader::new(strace.stderr.take().ok_or("a tracer without errors")?);
        let mut line = String::new();
        stderr.read_line(&mut line)?;
        if !line.contains("attached") {
            stderr.read_to_string(&mut line)?;
            return Err(format!("strace did not attach: {line}").into());
        }
        Ok(Self { strace, output: output.to_path_buf(), _stderr: stderr })
    }

    /// How many syncs have failed so far.
    pub(crate) fn count(&self) -> usize {
        let trace = std::fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&trace).matches("(INJECTED)").count()
    }

    /// Lets go of the process as soon as a sync has failed, so that it stays at one; gives up after `timeout`.
    pub(crate) fn detach_after_one(self, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        while self.count() == 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.detach()
    }

    /// Lets go of the process and tells how many syncs have failed.
    pub(crate) fn detach(mut self) -> usize {
        self.end();
        self.count()
    }

    fn end(&mut self) {
        let id = i32::try_from(self.strace.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // Told to terminate, strace detaches first. Already gone is as good.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.strace.wait();
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        if matches!(self.strace.try_wait(), Ok(None)) {
            self.end();
        }
    }
}
