//! The log alone: append from several threads, wait for durability, follow, truncate, close, crash, open again, give up what is damaged.
//!
//! `cargo run --release --example log_alone [directory]`; without a directory it works in a temporary one, which it
//! removes at the end. It prints what it does and what the log says about it, one line a step.
#![expect(clippy::print_stdout, reason = "a program that a person watches")]
#![expect(clippy::disallowed_methods, reason = "a program with threads and a stop-watch of its own")]

use std::error::Error;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use laminar_vfs::{Env, remove_tree};
use laminar_wal::{Lsn, RecoverTo, Wal, WalOptions};

const THREADS: u32 = 4;
const ORDERS: u32 = 500;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let dir =
        given.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("laminar-log-alone-{}", std::process::id())));
    line("step", "figure", "what it means");
    println!("{}", "-".repeat(96));
    tell(&dir)?;
    if given.is_none() {
        remove_tree(&*Env::real().vfs, &dir)?;
    }
    Ok(())
}

fn line(step: &str, figure: impl Display, meaning: &str) {
    println!("{step:<28} {:>14}  {meaning}", figure.to_string());
}

fn options() -> WalOptions {
    WalOptions::new().segment_bytes(256 << 10)
}

fn tell(dir: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (wal, report) = Wal::open(dir, options())?;
    line("open", if report.created { "created" } else { "found" }, &format!("log {}", wal.log_id()));
    let begin = wal.end_lsn();

    let mut follower = wal.follow(begin)?;
    let following = thread::spawn(move || {
        let mut seen = 0u32;
        while let Ok(Some(_)) = follower.next() {
            seen += 1;
        }
        seen
    });

    let started = Instant::now();
    append_from_threads(&wal)?;
    let stats = wal.stats();
    let millis = started.elapsed().as_millis();
    line(
        "append from 4 threads",
        stats.records,
        &format!("records, each waited for until it was durable: {millis} ms"),
    );
    line("syncs", stats.syncs, &format!("the threads shared them: {} waits ended", stats.waits_served));

    let batch = wal.append_batch(&[b"debit account 1", b"credit account 2"])?;
    wal.sync()?;
    line("append a batch", batch.start, "its position; both records are recovered, or neither");

    let lsn = wal.append(b"awaited")?;
    block_on(wal.durable(lsn))?;
    line("await, without a runtime", wal.durable_lsn(), "everything before this position survives power loss");

    let truncated = wal.truncate_below(lsn)?;
    line("truncate", truncated.segments, &format!("whole segments removed, {} KiB", truncated.bytes >> 10));

    wal.append(b"only in memory")?;
    wal.append(b"handed to the operating system")?;
    wal.commit()?;
    wal.append(b"lost with the process")?;
    line("drop without closing", wal.end_lsn() > wal.written_lsn(), "whether something was not even handed over");
    drop(wal);
    line("follow", following.join().map_err(|_| "the follower has panicked")?, "records seen as they became durable");

    open_again(dir)?;
    give_up(dir)
}

fn append_from_threads(wal: &Wal) -> Result<(), Box<dyn Error + Send + Sync>> {
    thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|number| {
                scope.spawn(move || {
                    for order in 0..ORDERS {
                        let lsn = wal.append(format!("order {order} of thread {number}").as_bytes())?;
                        wal.wait_durable(lsn)?;
                    }
                    Ok::<(), laminar_wal::Error>(())
                })
            })
            .collect();
        for writer in writers {
            writer.join().map_err(|_| "a writer has panicked")??;
        }
        Ok(())
    })
}

fn open_again(dir: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (wal, report) = Wal::open(dir, options())?;
    line("open again", report.rewritten_bytes, "bytes written anew: the last stop was no clean one");
    let mut records = wal.replay(wal.start_lsn())?;
    let (mut count, mut last) = (0u32, (Lsn::ZERO, String::new()));
    while let Some(record) = records.next()? {
        count += 1;
        last = (record.lsn, String::from_utf8_lossy(record.payload).into_owned());
    }
    line("replay", count, &format!("records from position {}; the last: {:?}", wal.start_lsn(), last.1));
    wal.close()?;

    let (wal, report) = Wal::open(dir, options())?;
    line(
        "close, and open",
        if report.clean { "clean" } else { "unclean" },
        "a clean end is found by reading a few KiB",
    );
    wal.close()?;
    Ok(())
}

/// One byte of the first segment is damaged, and what comes from there on is given up.
fn give_up(dir: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let files = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path());
    let segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "wal"));
    let first = segments.min().ok_or("a log has a segment")?;
    let mut bytes = std::fs::read(&first)?;
    *bytes.get_mut(5000).ok_or("a segment is longer")? ^= 1;
    std::fs::write(&first, bytes)?;

    let (wal, report) = Wal::open(dir, options().recover_to(RecoverTo::LastGood))?;
    let given_up = report.given_up.ok_or("the damage was found")?;
    line("a damaged byte", given_up.files.len(), &format!("files moved aside; given up: {} on", given_up.from));
    wal.close()?;
    let (wal, report) = Wal::open(dir, options())?;
    line("open again", report.given_up_before.len(), "of them are there, and told until somebody removes them");
    wal.close()?;
    Ok(())
}

/// Runs a future on this thread alone.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
